import { useAcknowledge } from "../app/acknowledge.ts";
import { useWhyNotRespond } from "../app/session.ts";
import { Button } from "./button.tsx";

interface AckProps {
  pages: readonly string[];
  /** What is acknowledged, for readers who do not see the row. */
  what: string;
  look?: "solid" | "plain";
  wide?: boolean;
  count?: boolean;
}

export function AckButton({ pages, what, look = "plain", wide = false, count = false }: AckProps) {
  const { start, progressOf } = useAcknowledge();
  const reason = useWhyNotRespond();
  const states = pages.map(progressOf);
  const late = states.includes("late");
  const busy = states.some((state) => state !== null);
  return (
    <Button
      look={late ? "danger" : look}
      icon="check"
      className="ack"
      wide={wide}
      reason={reason}
      busy={late ? "Not acked yet, retrying" : busy && "Acking…"}
      onClick={(event) => {
        event.stopPropagation();
        start(pages, what);
      }}
    >
      Ack{count && pages.length > 1 ? ` ${pages.length}` : ""}
      <span className="unseen"> {what}</span>
    </Button>
  );
}
