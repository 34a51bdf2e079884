import { useMemo } from "react";
import type { ObjectiveDetail } from "../../api/objectives.ts";
import { useZone } from "../../app/settings.ts";
import { burnDown, columnsOf, formatLeft, formatShare } from "../../lib/objectives.ts";
import { formatCount, formatNumber } from "../../lib/units.ts";
import type { SeriesLook } from "../../plot/canvas.tsx";
import { Plot } from "../../plot/plot.tsx";

const NONE: ReadonlySet<number> = new Set();
const LOOKS: readonly SeriesLook[] = [
  { colour: "plot-1", filled: true },
  { colour: "text3", dashed: true, width: 1, joined: true },
  { colour: "critical", dashed: true, width: 1, joined: true },
];
const NAMES = ["left", "even pace", "at this rate"];
const SPENT = { value: 0, words: "budget spent", side: "left" } as const;
const ERROR_NAMES = ["bad"];
const ERROR_LOOKS: readonly SeriesLook[] = [{ colour: "plot-7", filled: true, width: 1 }];

const percent = (value: number) => formatShare(value, 0);

/** Draws what was left of the budget over the window, beside the pace that spends it evenly, with the way it goes on at this rate. */
export function BurnDown({ objective, range }: { objective: ObjectiveDetail; range: number | null }) {
  const zone = useZone();
  const frame = useMemo(() => burnDown(objective, range), [objective, range]);
  return (
    <figure className="plot-figure">
      <Plot
        frame={frame}
        names={NAMES}
        zone={zone}
        height={260}
        hidden={NONE}
        coloured={null}
        looks={LOOKS}
        limit={SPENT}
        format={percent}
        label={`Budget left over ${objective.window.text}: now ${formatLeft(objective, 1)}.`}
      />
      <figcaption className="keyed">
        <span>
          <i data-look="line" /> budget left
        </span>
        <span>
          <i data-look="pace" /> even pace
        </span>
        {objective.budget.exhausted_at_forecast !== null && (
          <span>
            <i data-look="forecast" /> at this rate
          </span>
        )}
      </figcaption>
    </figure>
  );
}

/** Draws how many bad events there were in each part of the window, on the same axis of time. */
export function ErrorPlot({ objective, range }: { objective: ObjectiveDetail; range: number | null }) {
  const zone = useZone();
  const frame = useMemo(() => {
    const last = objective.errors.at(-1)?.[0] ?? 0;
    const { times, values } = columnsOf(objective.errors.filter(([at]) => range === null || at >= last - range));
    return { times, rows: [values] };
  }, [objective, range]);
  if (frame.times.length === 0) return null;
  const sum = (frame.rows[0] ?? []).reduce<number>((total, each) => total + (each ?? 0), 0);
  return (
    <figure className="plot-figure">
      <figcaption className="plot-title">Bad {objective.unit}</figcaption>
      <Plot frame={frame} names={ERROR_NAMES} zone={zone} height={110} hidden={NONE} coloured={null} looks={ERROR_LOOKS} format={formatNumber} label={`Bad ${objective.unit} over time, ${formatCount(sum)} in all.`} />
    </figure>
  );
}
