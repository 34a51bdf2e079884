import type { DrillResult } from "../../api/drills.ts";
import { formatTook, isWithin } from "../../lib/drills.ts";
import { Bar } from "../../ui/meter.tsx";

/** Shows a measured time against its objective, with the limit marked and the finding in words. */
export function Goal({ name, seconds, limit }: { name: string; seconds: number | null; limit: number | null }) {
  const ok = isWithin(seconds, limit);
  const tone = ok === null ? "quiet" : ok ? "ok" : "critical";
  const top = Math.max(limit ?? 0, seconds ?? 0) * 1.15 || 1;
  return (
    <div className="goal" data-tone={tone}>
      <p className="goal-head">
        <span className="goal-name">{name}</span>
        <span className="goal-value number">{formatTook(seconds)}</span>
        <span className="goal-limit">
          {limit === null ? "no objective" : `of ${formatTook(limit)}`}
          {ok !== null && <span className="goal-word">{ok ? ", met" : ", missed"}</span>}
        </span>
      </p>
      <Bar share={(seconds ?? 0) / top} tone={tone} {...(limit === null ? {} : { mark: limit / top })} />
    </div>
  );
}

const WIDTH = 120;
const HEIGHT = 36;
/** As many drills as a small line can tell apart. */
const MOST = 20;

/** A small line of what was measured, oldest at the left, with the objective as a dashed line. */
export function Sparkline({ results, pick, limit, name }: { results: readonly DrillResult[]; pick: (result: DrillResult) => number | null; limit: number | null; name: string }) {
  const values = results
    .slice(0, MOST)
    .map(pick)
    .filter((each): each is number => each !== null)
    .toReversed();
  if (values.length < 2) return <span className="spark-none muted">{values.length === 0 ? "" : "one value so far"}</span>;
  const top = Math.max(limit ?? 0, ...values) * 1.1 || 1;
  const x = (index: number) => 4 + (index * (WIDTH - 8)) / (values.length - 1);
  const y = (value: number) => HEIGHT - 3 - (value / top) * (HEIGHT - 6);
  const last = values.length - 1;
  return (
    <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`${name} of the last ${values.length} drills: ${values.map((each) => formatTook(each)).join(", ")}.`}>
      {limit !== null && <line className="spark-limit" x1={0} x2={WIDTH} y1={y(limit)} y2={y(limit)} />}
      <polyline className="spark-line" points={values.map((value, index) => `${x(index)},${y(value)}`).join(" ")} />
      {values.map((value, index) => (
        <circle key={index} className="spark-dot" data-last={index === last || undefined} data-bad={(limit !== null && value > limit) || undefined} cx={x(index)} cy={y(value)} r={index === last ? 3 : 2} />
      ))}
    </svg>
  );
}
