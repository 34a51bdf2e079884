import { useId, useState } from "react";
import { foldLines, type SubLine } from "../../lib/why.ts";
import { Icon, type IconName } from "../../ui/icons.tsx";

const ICONS: Record<SubLine["kind"], IconName | null> = { takes: "check", passes: "chevronDown", refuses: "dash", plain: null };

/** The lines below a line, such as the way down the tree: the routes that did not take part wait behind a button. */
export function Way({ lines: more, label }: { lines: readonly string[]; label: string }) {
  const [open, setOpen] = useState(false);
  const list = useId();
  const { lines, folded, words } = foldLines(more);
  if (lines.length === 0) return null;
  return (
    <div className="way">
      <ul id={list} className="way-lines" aria-label={label}>
        {lines.map((line, index) =>
          line.kept || open ? (
            // The same line may stand twice, and none ever moves.
            <li key={index} className="way-line" data-kind={line.kind} style={{ paddingLeft: `${Math.min(line.depth, 6) * 14}px` }}>
              {ICONS[line.kind] && <Icon name={ICONS[line.kind] ?? "dash"} size={12} />}
              <span>{line.text}</span>
            </li>
          ) : null,
        )}
      </ul>
      {folded > 0 && (
        <button type="button" className="fold" aria-expanded={open} aria-controls={list} onClick={() => setOpen(!open)}>
          <Icon name={open ? "chevronDown" : "chevronRight"} size={12} />
          {words}
        </button>
      )}
    </div>
  );
}
