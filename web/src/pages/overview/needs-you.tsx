import { Link } from "@tanstack/react-router";
import type { Overview, Page } from "../../api/types.ts";
import { plural } from "../../lib/units.ts";
import { AckButton } from "../../ui/ack-button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { SeverityMark, Tag } from "../../ui/marks.tsx";
import { Empty } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";

function rank(page: Page): number {
  return page.state === "triggered" ? 0 : 1;
}

function Row({ page }: { page: Page }) {
  const labels = Object.entries(page.group_labels).filter(([name]) => name !== "alertname");
  const first = page.alerts[0];
  return (
    <li className="need">
      <SeverityMark severity={page.severity} bare quiet={page.state !== "triggered"} />
      <div className="need-words">
        <p className="need-title clip">
          {first ? (
            <Link to="/alerts" search={{ alert: first }}>
              {page.title}
            </Link>
          ) : (
            page.title
          )}
        </p>
        <p className="need-facts clip">
          {plural(page.firing_count, "alert")} firing, open <Time at={page.opened_at} />
          {labels.length > 0 && `, ${labels.map(([name, value]) => `${name} ${value}`).join(", ")}`}
        </p>
      </div>
      {page.state === "triggered" ? (
        <AckButton pages={[page.id]} what={page.title} look={page.severity === "critical" ? "solid" : "plain"} />
      ) : (
        <Tag tone="acked">
          <Icon name="user" size={12} />
          {page.acknowledged_by} <Time at={page.acknowledged_at} />
        </Tag>
      )}
    </li>
  );
}

/** The open pages that call the reader, those that nobody has first. */
export function NeedsYou({ overview }: { overview: Overview }) {
  if (overview.needs_you.length === 0) {
    return (
      <Empty good title="Nothing waits for you">
        {overview.pages_open === 0 ? "No page is open." : `${plural(overview.pages_open, "page")} ${overview.pages_open === 1 ? "is" : "are"} open for others.`}
      </Empty>
    );
  }
  return (
    <ul className="needs">
      {overview.needs_you
        .toSorted((left, right) => rank(left) - rank(right))
        .map((page) => (
          <Row key={page.id} page={page} />
        ))}
    </ul>
  );
}
