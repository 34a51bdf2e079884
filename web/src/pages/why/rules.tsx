import { Link } from "@tanstack/react-router";
import type { WhyMargin, WhyRule } from "../../api/types.ts";
import { seriesName } from "../../api/queries.ts";
import { formatDuration } from "../../lib/time.ts";
import { formatCount, formatValue, plural } from "../../lib/units.ts";
import { Icon } from "../../ui/icons.tsx";
import { Tag } from "../../ui/marks.tsx";

const bare = (text: string) => text.replace(/\s/g, "");

/** `whole`: the expression of the rule; a comparison that is all of it is not written twice. */
function Margin({ margin, whole }: { margin: WhyMargin; whole: string }) {
  const unseen = margin.series - margin.left.length;
  return (
    <li className="margin">
      <p className="margin-head">
        {bare(margin.comparison) !== bare(whole) && <code>{margin.comparison}</code>}
        <Tag tone={margin.holds > 0 ? "warning" : "quiet"}>
          <Icon name={margin.holds > 0 ? "check" : "close"} size={12} />
          {margin.series === 0 ? "No series" : `Holds for ${formatCount(margin.holds)} of ${plural(margin.series, "series", "series")}`}
        </Tag>
      </p>
      {margin.left.length > 0 && (
        <ul className="readings" aria-label={`Nearest values of ${margin.comparison}`}>
          {margin.left.map((reading) => (
            <li key={seriesName(reading.labels)}>
              <span className="reading-name mono">{seriesName(reading.labels)}</span>
              <span className="reading-value number" title={reading.value}>
                {formatValue(reading.value)}
              </span>
            </li>
          ))}
          {margin.right !== null && (
            <li className="reading-right">
              <span className="reading-name">compared with</span>
              <span className="reading-value number" title={margin.right}>
                {formatValue(margin.right)}
              </span>
            </li>
          )}
        </ul>
      )}
      {unseen > 0 && margin.left.length > 0 && <p className="muted">{plural(unseen, "more series", "more series")}, further away.</p>}
    </li>
  );
}

/** A rule of the name as it is now, and what its comparisons compared at the instant. */
export function RuleRow({ rule, at }: { rule: WhyRule; at: string | undefined }) {
  return (
    <li className="rule">
      <div className="rule-head">
        <span className="rule-name">{rule.name}</span>
        {rule.error !== null && <Tag tone="critical">Fails</Tag>}
        <span className="muted clip">
          {rule.group}, <span className="mono">{rule.file}</span>
        </span>
        <span className="push muted number">{rule.for_seconds > 0 ? `for ${formatDuration(rule.for_seconds * 1000)}` : "no wait"}</span>
      </div>
      <Link className="rule-expression" to="/explore" search={{ expr: rule.expr, end: at }} title="Open in Explore">
        <code>{rule.expr}</code>
      </Link>
      {rule.error !== null && <p className="trouble">Its last evaluation failed: {rule.error}</p>}
      {rule.fault !== null && <p className="trouble">Its condition cannot be looked at: {rule.fault}</p>}
      {rule.margins.length > 0 && (
        <ul className="margins" aria-label={`What ${rule.name} compared`}>
          {rule.margins.map((margin) => (
            <Margin key={margin.comparison} margin={margin} whole={rule.expr} />
          ))}
        </ul>
      )}
    </li>
  );
}
