import { IconButton } from "./button.tsx";
import { toast } from "./toasts.tsx";

/** Copies a text; where the browser forbids it (plain HTTP), it says so instead of failing in silence. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied", { tone: "info" });
    } catch {
      toast("This browser does not let the page copy here", { tone: "info" });
    }
  };
  return <IconButton icon="copy" label={label} onClick={() => void copy()} />;
}
