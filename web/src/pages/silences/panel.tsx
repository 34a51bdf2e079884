import type { Matcher } from "../../lib/matchers.ts";
import { SidePanel } from "../../ui/overlays.tsx";
import { SilenceForm } from "./form.tsx";
import "../../styles/silences.css";

/** The form for a new silence, open when it has matchers to start with (none is a start too). */
export function SilencePanel({ start, onClose }: { start: Matcher[] | undefined; onClose: () => void }) {
  return (
    <SidePanel open={start !== undefined} onClose={onClose} title="New silence">
      {start && <SilenceForm start={start} onDone={onClose} />}
    </SidePanel>
  );
}
