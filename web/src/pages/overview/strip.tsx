import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Overview } from "../../api/types.ts";
import { formatCount } from "../../lib/units.ts";
import { SeverityMark } from "../../ui/marks.tsx";
import { Icon } from "../../ui/icons.tsx";

function Figure({ value, label, mark, tone, solid = false, note }: { value: number; label: string; mark: ReactNode; tone: string; solid?: boolean; note?: string }) {
  return (
    <span className="figure" data-tone={value > 0 ? tone : "calm"} data-solid={(solid && value > 0) || undefined}>
      <span className="figure-label">
        {mark}
        {label}
      </span>
      <span className="figure-line">
        <span className="figure-value number">{formatCount(value)}</span>
        {note && <span className="figure-note">{note}</span>}
      </span>
    </span>
  );
}

/** What is wrong now, in six figures; each leads to its list. */
export function Strip({ overview }: { overview: Overview }) {
  const { firing, targets, deliveries } = overview;
  return (
    <ul className="strip">
      <li>
        <Link to="/alerts" search={{ filter: ["severity=critical"], state: ["firing"] }}>
          <Figure value={firing.critical} label="Critical" mark={<SeverityMark severity="critical" bare />} tone="critical" solid note="firing" />
        </Link>
      </li>
      <li>
        <Link to="/alerts" search={{ filter: ["severity=warning"], state: ["firing"] }}>
          <Figure value={firing.warning} label="Warning" mark={<SeverityMark severity="warning" bare />} tone="warning" note="firing" />
        </Link>
      </li>
      <li>
        <Link to="/alerts" search={{ state: ["acknowledged"] }}>
          <Figure value={overview.acknowledged} label="Acknowledged" mark={<Icon name="user" size={14} />} tone="acked" note={`of ${formatCount(firing.critical + firing.warning + firing.info + firing.other)}`} />
        </Link>
      </li>
      <li>
        <Link to="/alerts" search={{ state: ["pending"] }}>
          <Figure value={overview.pending} label="Pending" mark={<Icon name="clock" size={14} />} tone="plain" />
        </Link>
      </li>
      <li>
        <Link to="/explore/targets" search={targets.down > 0 ? { show: "down" } : {}}>
          <Figure value={targets.down} label="Targets down" mark={<Icon name="target" size={14} />} tone="warning" note={`of ${formatCount(targets.up + targets.down + targets.unknown)}`} />
        </Link>
      </li>
      <li>
        <Link to="/alerts/notifications" search={deliveries.failing > 0 ? { state: "pending" } : {}}>
          <Figure value={deliveries.failing} label="Sends failing" mark={<Icon name="send" size={14} />} tone="warning" note={`${formatCount(deliveries.failed_24h)} lost in 24 h`} />
        </Link>
      </li>
    </ul>
  );
}
