import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import type { Drill, DrillResult } from "../../api/drills.ts";
import { useNow } from "../../app/clock.ts";
import { useZone } from "../../app/settings.ts";
import { formatTook, niceTop, PHASE_WORDS, PHASES, partsOf } from "../../lib/drills.ts";
import { columnsOf } from "../../lib/objectives.ts";
import { formatDay, formatStamp, parseInstant } from "../../lib/time.ts";
import { plural } from "../../lib/units.ts";
import type { SeriesLook } from "../../plot/canvas.tsx";
import { lineVariable } from "../../plot/palette.ts";
import { Plot } from "../../plot/plot.tsx";
import { VerdictTag } from "../runs/marks.tsx";

const NONE: ReadonlySet<number> = new Set();
const LOOKS: readonly SeriesLook[] = [
  { colour: "plot-1", dots: true, joined: true },
  { colour: "critical", dashed: true, width: 1, joined: true },
];

interface OverTimeProps {
  results: readonly DrillResult[];
  name: "RTO" | "RPO";
}

/** Draws one measured time over all drills, with the objective of each. */
function OverTime({ results, name }: OverTimeProps) {
  const zone = useZone();
  const key = name === "RTO" ? "rto_seconds" : "rpo_seconds";
  const frame = useMemo(() => {
    const own = columnsOf(results.map((each) => [parseInstant(each.at) ?? Number.NaN, each[key]] as const));
    const goal = columnsOf(results.map((each) => [parseInstant(each.at) ?? Number.NaN, each.objective[key]] as const));
    return { times: own.times, rows: [own.values, goal.values] };
  }, [results, key]);
  const names = useMemo(() => [name, "objective"], [name]);
  const missed = results.filter((each) => each.missed.includes(name.toLowerCase())).length;
  if (frame.times.length < 2) return null;
  return (
    <figure className="plot-figure">
      <figcaption className="plot-title">
        {name} over time <span className="muted">{missed === 0 ? "never missed" : `missed ${plural(missed, "time")}`}</span>
      </figcaption>
      <Plot frame={frame} names={names} zone={zone} height={150} hidden={NONE} coloured={null} looks={LOOKS} format={formatTook} label={`${name} of ${plural(frame.times.length, "drill")}, ${missed} missed.`} />
    </figure>
  );
}

/** Shows the phases of each drill one after the other, so that one sees which part got slower. */
function Phases({ results }: { results: readonly DrillResult[] }) {
  const zone = useZone();
  const now = useNow();
  const [chosen, setChosen] = useState<string | null>(null);
  const shown = results.filter((each) => partsOf(each).length > 0).slice(0, 12);
  if (shown.length === 0) return null;
  const top = niceTop(shown.flatMap((each) => [partsOf(each).reduce((sum, part) => sum + part.seconds, 0), each.objective.rto_seconds ?? 0]));
  const used = PHASES.filter((phase) => shown.some((each) => (each.phases[phase] ?? 0) > 0));
  return (
    <figure className="phases">
      <figcaption className="plot-title">Where the time went</figcaption>
      <ul className="phase-rows">
        {shown.map((result) => {
          const parts = partsOf(result);
          const at = parseInstant(result.at);
          const limit = result.objective.rto_seconds;
          return (
            <li key={result.run} className="phase-row" data-chosen={chosen === result.run || undefined} onPointerEnter={() => setChosen(result.run)} onPointerLeave={() => setChosen(null)}>
              <Link to="/drills/$id" params={{ id: result.run }} className="phase-day number" title={at === null ? "" : formatStamp(at, zone, now)}>
                {at === null ? result.run : formatDay(at, zone)}
              </Link>
              <span className="phase-track" role="img" aria-label={parts.map((part) => `${PHASE_WORDS[part.phase]} ${formatTook(part.seconds)}`).join(", ")}>
                {parts.map((part) => (
                  <span key={part.phase} className="phase-part" title={`${PHASE_WORDS[part.phase]} ${formatTook(part.seconds)}`} style={{ left: `${(100 * part.from) / top}%`, width: `${(100 * part.seconds) / top}%`, background: lineVariable(PHASES.indexOf(part.phase)) }} />
                ))}
                {limit !== null && <span className="phase-limit" style={{ left: `${(100 * limit) / top}%` }} />}
              </span>
              <span className="phase-sum number">{formatTook(parts.reduce((sum, part) => sum + part.seconds, 0))}</span>
              <span className="phase-verdict">
                <VerdictTag verdict={result.verdict} />
              </span>
            </li>
          );
        })}
      </ul>
      <ul className="phase-legend">
        {used.map((phase) => {
          const picked = shown.find((each) => each.run === chosen) ?? shown[0];
          return (
            <li key={phase}>
              <i style={{ background: lineVariable(PHASES.indexOf(phase)) }} />
              {PHASE_WORDS[phase]} <span className="number muted">{formatTook(picked?.phases[phase])}</span>
            </li>
          );
        })}
      </ul>
    </figure>
  );
}

export function Trend({ drill }: { drill: Drill }) {
  return (
    <div className="trend">
      <div className="trend-plots">
        <OverTime results={drill.results} name="RTO" />
        <OverTime results={drill.results} name="RPO" />
      </div>
      <Phases results={drill.results} />
    </div>
  );
}
