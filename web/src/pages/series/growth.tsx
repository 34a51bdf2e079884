import { useMemo } from "react";
import type { Cardinality } from "../../api/cardinality.ts";
import { useZone } from "../../app/settings.ts";
import { columnsOf } from "../../lib/objectives.ts";
import { formatClock, parseInstant } from "../../lib/time.ts";
import { formatCount, plural } from "../../lib/units.ts";
import type { SeriesLook } from "../../plot/canvas.tsx";
import { Plot } from "../../plot/plot.tsx";
import { Card } from "../../ui/card.tsx";

const NONE: ReadonlySet<number> = new Set();
/** Five minutes each; this many make the rate of an hour. */
const PER_HOUR = 12;
const LOOKS: readonly SeriesLook[] = [{ colour: "plot-1", filled: true }];
const NAMES = ["new series an hour"];

/** Draws how fast series come, over the last day. */
export function Growth({ all }: { all: Cardinality }) {
  const zone = useZone();
  const frame = useMemo(() => {
    const at = (moment: Cardinality["moments"][number]) => parseInstant(moment.at) ?? Number.NaN;
    // The moment under way is not whole yet, and would look like a fall.
    const whole = all.moments.slice(0, -1);
    const created = columnsOf(whole.map((each) => [at(each), each.created * PER_HOUR] as const));
    return { times: created.times, rows: [created.values] };
  }, [all.moments]);
  const since = parseInstant(all.counted_since);
  const peak = all.moments.reduce((most, each) => (each.created > most.created ? each : most), all.moments[0] ?? { created: 0, at: "" });
  const peakAt = parseInstant(peak.at);
  const sentence = peak.created === 0 || peakAt === null ? "No new series." : `Most came at ${formatClock(peakAt, zone)}: ${plural(peak.created, "new series", "new series")} in five minutes.`;
  const refused = all.moments.slice(-PER_HOUR).reduce((sum, each) => sum + each.refused, 0);
  return (
    <Card title="New series" note={since === null ? undefined : `${formatCount(all.new_series)} in the last hour, counted since ${formatClock(since, zone)}`}>
      {frame.times.length < 2 ? (
        <p className="muted growth-wait">The trend begins ten minutes after the start. {sentence}</p>
      ) : (
        <>
          <Plot frame={frame} names={NAMES} zone={zone} height={140} hidden={NONE} coloured={null} looks={LOOKS} format={formatCount} label={`New series an hour over the last day. ${sentence}`} />
          <p className="muted growth-words">
            {sentence}
            {refused > 0 && ` ${plural(refused, "sample")} of the last hour found no series.`}
          </p>
        </>
      )}
    </Card>
  );
}
