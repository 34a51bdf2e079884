import { useMemo } from "react";
import type { RunDetail, SamplePoint } from "../../api/runs.ts";
import { useZone } from "../../app/settings.ts";
import { columnsOf } from "../../lib/objectives.ts";
import { formatNumber, plural } from "../../lib/units.ts";
import type { SeriesLook } from "../../plot/canvas.tsx";
import { Plot } from "../../plot/plot.tsx";
import { Card } from "../../ui/card.tsx";
import { Tag } from "../../ui/marks.tsx";

const NONE: ReadonlySet<number> = new Set();
const LOOKS: readonly SeriesLook[] = [
  { colour: "plot-1", joined: true },
  { colour: "critical", width: 0, dots: true },
];
const NAMES = ["value", "broken"];
/** More probes than this are named, not drawn. */
const MOST = 6;

function Sample({ probe, points }: { probe: string; points: readonly SamplePoint[] }) {
  const zone = useZone();
  const frame = useMemo(() => {
    const { times, values } = columnsOf(points.map(([at, value]) => [at, value] as const));
    const bad = columnsOf(points.map(([at, value, ok]) => [at, ok ? null : value] as const)).values;
    return { times, rows: [values, bad] };
  }, [points]);
  const broken = points.filter(([, , ok]) => !ok).length;
  const last = points.at(-1);
  return (
    <div className="sample">
      <p className="sample-head">
        <span className="clip">{probe}</span>
        <span className="push number soft">{last?.[1] == null ? "no value" : formatNumber(last[1])}</span>
        <Tag tone={broken > 0 ? "critical" : "ok"}>{broken > 0 ? `broken ${plural(broken, "time")}` : "holds"}</Tag>
      </p>
      {frame.times.length > 1 && <Plot frame={frame} names={NAMES} zone={zone} height={120} hidden={NONE} coloured={null} looks={LOOKS} label={`${probe}: ${plural(points.length, "sample")}, ${broken} broken.`} />}
    </div>
  );
}

/** What was watched while the run acted. */
export function Samples({ samples }: { samples: RunDetail["samples"] }) {
  return (
    <Card title="What was watched">
      <div className="stack">
        {samples.slice(0, MOST).map((each) => (
          <Sample key={each.probe} probe={each.probe} points={each.points} />
        ))}
        {samples.length > MOST && <p className="muted">and {samples.length - MOST} more</p>}
      </div>
    </Card>
  );
}
