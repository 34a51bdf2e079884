import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { anatomyQuery } from "../../api/cardinality.ts";
import { byLabel, dropLabelRule, dropRule, selectorOf } from "../../lib/cardinality.ts";
import { formatCount, plural } from "../../lib/units.ts";
import { IconButton } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy.tsx";
import { Bar } from "../../ui/meter.tsx";
import { Region, Skeleton } from "../../ui/states.tsx";

/** Takes one metric apart: which of its labels makes so many series of it, and what to do about that. */
export function Anatomy({ metric, onClose }: { metric: string; onClose: () => void }) {
  const query = useQuery(anatomyQuery(metric));
  return (
    <section className="card anatomy" data-flush aria-label={`Labels of ${metric}`}>
      <header className="card-head">
        <h2 className="anatomy-name mono">{metric}</h2>
        <div className="card-note anatomy-acts">
          <Link to="/explore" search={{ expr: selectorOf(metric), tab: "table" }} className="link">
            Show its series
          </Link>
          <CopyButton text={dropRule(metric)} label={`Copy the rule that drops ${metric}`} />
          <IconButton icon="close" label="Close" onClick={onClose} />
        </div>
      </header>
      <Region query={query} what="this metric" skeleton={<Skeleton rows={4} height={40} />}>
        {(found) => {
          const most = Math.max(1, ...found.labels.map((label) => label.values));
          return (
            <>
              <p className="anatomy-words soft">
                {plural(found.series, "series", "series")}
                {found.seen < found.series && `, of which ${formatCount(found.seen)} were looked at`}
                {found.limit !== null && `, at most ${formatCount(found.limit)}`}. A label with many values makes many series.
              </p>
              <ul className="anatomy-labels">
                {found.labels.map((label) => (
                  <li key={label.name} className="anatomy-label">
                    <Link to="/explore" search={{ expr: byLabel(metric, label.name), tab: "table" }} className="link mono anatomy-label-name" title={`Count the series by ${label.name}`}>
                      {label.name}
                    </Link>
                    <Bar share={label.values / most} tone={label.values > found.seen / 4 && found.seen > 100 ? "warning" : "accent"} />
                    <span className="number anatomy-count">{plural(label.values, "value")}</span>
                    <span className="muted clip anatomy-top" title={label.top.map((top) => `${top.value}: ${top.series}`).join("\n")}>
                      {label.top
                        .slice(0, 3)
                        .map((top) => `${top.value} (${formatCount(top.series)})`)
                        .join(", ")}
                    </span>
                    <CopyButton text={dropLabelRule(metric, label.name)} label={`Copy the rule that takes ${label.name} from ${metric}`} />
                  </li>
                ))}
              </ul>
            </>
          );
        }}
      </Region>
    </section>
  );
}
