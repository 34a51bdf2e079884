import type { ReactNode } from "react";
import type { Alert, AlertState, Severity } from "../api/types.ts";
import { Icon } from "./icons.tsx";

const SHAPES: Record<Severity, string> = {
  critical: "M8 1l7 7-7 7-7-7z",
  warning: "M8 2l7 12.5H1z",
  info: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z",
  other: "M3 3h10v10H3z",
};

/** Shows how bad it is by shape, colour and, unless `bare`, in words. */
export function SeverityMark({ severity, bare = false, quiet = false }: { severity: Severity; bare?: boolean; quiet?: boolean }) {
  return (
    <span className="severity" data-tone={quiet ? "quiet" : severity}>
      <svg viewBox="0 0 16 16" width="12" height="12" aria-hidden="true" focusable="false">
        <path d={SHAPES[severity]} fill="currentColor" />
      </svg>
      <span className={bare ? "unseen" : ""}>{severity}</span>
    </span>
  );
}

export type Tone = Severity | "ok" | "acked" | "quiet" | "accent";

export function Tag({ tone = "quiet", solid = false, children, title }: { tone?: Tone; solid?: boolean; children: ReactNode; title?: string | undefined }) {
  return (
    <span className="tag" data-tone={tone} data-solid={solid || undefined} title={title}>
      {children}
    </span>
  );
}

const STATE_TONES: Record<AlertState, Tone> = { firing: "critical", pending: "quiet", resolved: "ok" };

export function alertStateTone(state: AlertState): Tone {
  return STATE_TONES[state];
}

/** Says what is being done about an alert: one tag, the one that matters most. */
export function AlertStateTag({ alert }: { alert: Alert }) {
  if (alert.state === "resolved") return <Tag tone="ok">Resolved</Tag>;
  if (alert.silenced_by.length > 0) return <Tag>Silenced</Tag>;
  if (alert.inhibited_by.length > 0) return <Tag>Inhibited</Tag>;
  if (alert.muted_by.length > 0) return <Tag title={alert.muted_by.join(", ")}>Muted</Tag>;
  if (alert.page?.state === "acknowledged") {
    return (
      <Tag tone="acked">
        <Icon name="user" size={12} />
        Acked{alert.page.acknowledged_by ? ` by ${alert.page.acknowledged_by}` : ""}
      </Tag>
    );
  }
  if (alert.unseen) return <Tag title={`since ${alert.unseen.since}`}>Not seen</Tag>;
  if (alert.state === "pending") return <Tag>Pending</Tag>;
  return (
    <Tag tone={alert.severity} solid={alert.severity === "critical"}>
      Firing
    </Tag>
  );
}

/** Says that an alert begins again and again. */
export function FlappingTag({ alert }: { alert: Alert }) {
  if (!alert.flapping) return null;
  return (
    <Tag tone="info" title="It has begun again and again; its end is told once it is quiet">
      Flapping
    </Tag>
  );
}

/** A label as text; never markup, since anybody who exports a metric can write it. */
export function LabelChip({ name, value, onPick }: { name: string; value: string; onPick?: ((name: string, value: string) => void) | undefined }) {
  const text = (
    <>
      <span className="label-name">{name}</span>
      <span className="label-value">{value}</span>
    </>
  );
  if (!onPick) return <span className="label">{text}</span>;
  return (
    <button type="button" className="label" title={`Show only ${name}=${value}`} onClick={() => onPick(name, value)}>
      {text}
    </button>
  );
}

export function LabelList({ labels, skip = [], onPick }: { labels: Record<string, string>; skip?: readonly string[]; onPick?: (name: string, value: string) => void }) {
  return (
    <ul className="labels">
      {Object.keys(labels)
        .filter((name) => !skip.includes(name))
        .sort()
        .map((name) => (
          <li key={name}>
            <LabelChip name={name} value={labels[name] ?? ""} onPick={onPick} />
          </li>
        ))}
    </ul>
  );
}
