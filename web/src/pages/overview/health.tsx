import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Overview } from "../../api/types.ts";
import { formatBytes, formatCount, formatNumber, plural } from "../../lib/units.ts";
import { Icon } from "../../ui/icons.tsx";
import { Time } from "../../ui/time.tsx";

function Fact({ label, good, children }: { label: string; good?: boolean; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{label}</dt>
      <dd>
        {good !== undefined && (
          <span className="fact-mark" data-tone={good ? "ok" : "warning"}>
            <Icon name={good ? "check" : "close"} size={12} />
            <span className="unseen">{good ? "good: " : "bad: "}</span>
          </span>
        )}
        <span>{children}</span>
      </dd>
    </div>
  );
}

/** How well the watcher itself is doing. */
export function Health({ overview }: { overview: Overview }) {
  const { rules, deliveries, storage, targets } = overview;
  return (
    <dl className="facts">
      <Fact label="Rules" good={rules.failing === 0}>
        {rules.failing === 0 ? (
          `${plural(rules.rules, "rule")} in ${plural(rules.groups, "group")}`
        ) : (
          <Link to="/alerts/rules" search={{ show: "failing" }}>
            {rules.failing} of {rules.rules} failing
          </Link>
        )}
      </Fact>
      <Fact label="Last evaluation">
        <Time at={rules.last_evaluation_at} after=" ago" />
      </Fact>
      <Fact label="Notifications" good={deliveries.failing === 0 && deliveries.failed_24h === 0}>
        <Link to="/alerts/notifications">{deliveries.failed_24h === 0 ? "none lost in 24 h" : `${deliveries.failed_24h} lost in 24 h`}</Link>
      </Fact>
      <Fact label="Targets" good={targets.down === 0}>
        {formatCount(targets.up)} up
        {targets.unknown > 0 && `, ${formatCount(targets.unknown)} not scraped yet`}
      </Fact>
      <Fact label="Silences">
        <Link to="/alerts/silences">{overview.silences_active} active</Link>
      </Fact>
      <Fact label="Series">
        <span className="number">{formatCount(storage.series)}</span>
      </Fact>
      <Fact label="Samples">
        <span className="number">{formatNumber(storage.samples_per_second)} /s</span>
      </Fact>
      <Fact label="Write-ahead log">
        <span className="number">{formatBytes(storage.wal_bytes)}</span>
      </Fact>
    </dl>
  );
}
