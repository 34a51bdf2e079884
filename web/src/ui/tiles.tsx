import type { ReactNode } from "react";

/** One large figure with its name above and what it means below. */
export function Tile({ label, tone = "plain", note, children }: { label: ReactNode; tone?: string; note?: ReactNode; children: ReactNode }) {
  return (
    <div className="tile" data-tone={tone}>
      <dt className="tile-label">{label}</dt>
      <dd>
        <span className="tile-value number">{children}</span>
        {note && <span className="tile-note">{note}</span>}
      </dd>
    </div>
  );
}

export function Tiles({ children }: { children: ReactNode }) {
  return <dl className="tiles">{children}</dl>;
}
