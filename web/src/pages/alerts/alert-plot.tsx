import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { rangeQuery, seriesName } from "../../api/queries.ts";
import type { Alert } from "../../api/types.ts";
import { serverNow } from "../../app/clock.ts";
import { useZone } from "../../app/settings.ts";
import { stepFor } from "../../lib/search.ts";
import { frameOf, isPartOf, lastOf } from "../../lib/series.ts";
import { splitThreshold } from "../../lib/threshold.ts";
import { HOUR, MINUTE, parseInstant } from "../../lib/time.ts";
import { formatNumber } from "../../lib/units.ts";
import { Plot } from "../../plot/plot.tsx";

const NONE_HIDDEN: ReadonlySet<number> = new Set();
const MOST = 12;

/** Draws the value that the rule looks at, from before the alert until now, with the limit that it crossed. */
export function AlertPlot({ alert, expr }: { alert: Alert; expr: string }) {
  const zone = useZone();
  const threshold = useMemo(() => splitThreshold(expr), [expr]);
  // The range is chosen once: a plot that slides while it is read is hard to read.
  const [asked] = useState(() => {
    const now = serverNow();
    const since = parseInstant(alert.active_at) ?? now;
    const range = Math.max(HOUR, Math.min(24 * HOUR, (now - since) * 1.5 + 10 * MINUTE));
    const step = stepFor(range, 160);
    const end = Math.floor(now / 1000 / step) * step;
    return { expr: threshold?.expr ?? expr, start: end - Math.floor(range / 1000 / step) * step, end, step };
  });
  const query = useQuery({ ...rangeQuery(asked), staleTime: Infinity });
  const result = query.data?.result;

  const drawn = useMemo(() => {
    if (result?.resultType !== "matrix") return null;
    const own = result.result.filter((series) => isPartOf(series.metric, alert.labels));
    const series = (own.length > 0 ? own : result.result).slice(0, MOST);
    return { frame: frameOf(series, asked.start, asked.end, asked.step), names: series.map((each) => seriesName(each.metric)) };
  }, [result, alert.labels, asked]);
  const limit = useMemo(() => (threshold ? { value: threshold.limit, words: `limit ${threshold.operator} ${formatNumber(threshold.limit)}` } : undefined), [threshold]);

  // The plot helps to judge; when it cannot be drawn, the facts around it still stand.
  if (query.isError) return null;
  if (!drawn) return <div className="alert-plot" />;
  if (drawn.names.length === 0) return <p className="muted">The expression has no value in this time.</p>;
  const last = lastOf(drawn.frame.rows[0] ?? []);
  return (
    <div className="alert-plot">
      <Plot
        frame={drawn.frame}
        names={drawn.names}
        zone={zone}
        height={150}
        hidden={NONE_HIDDEN}
        coloured={null}
        limit={limit}
        label={`Value of the rule${last === null ? "" : `, now ${formatNumber(last)}`}${limit ? `, ${limit.words}` : ""}.`}
      />
    </div>
  );
}
