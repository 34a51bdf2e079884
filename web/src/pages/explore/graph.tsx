import { useMemo, useState } from "react";
import { seriesName } from "../../api/queries.ts";
import type { QueryResult } from "../../api/types.ts";
import { useZone } from "../../app/settings.ts";
import { frameOf, lastOf } from "../../lib/series.ts";
import { formatStamp } from "../../lib/time.ts";
import { formatNumber, plural } from "../../lib/units.ts";
import { lineVariable } from "../../plot/palette.ts";
import { Plot } from "../../plot/plot.tsx";
import { Banner, Empty } from "../../ui/states.tsx";

/** More series than this are drawn grey, with the largest and the one under the pointer in colour. */
const MANY = 20;
const TOP = 5;
/** A plot of more series than this says nothing and freezes the tab. */
const MOST = 200;

interface GraphProps {
  result: QueryResult;
  start: number;
  end: number;
  step: number;
  onZoom: (start: number, end: number) => void;
}

export function Graph({ result, start, end, step, onZoom }: GraphProps) {
  const zone = useZone();
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  const [column, setColumn] = useState<number | null>(null);
  const [near, setNear] = useState<number | null>(null);
  const drawn = useMemo(() => {
    const all = result.resultType === "matrix" ? result.result : [];
    const series = all.slice(0, MOST);
    return { all: all.length, frame: frameOf(series, start, end, step), names: series.map((each) => seriesName(each.metric)) };
  }, [result, start, end, step]);
  const { frame, names } = drawn;
  const lasts = useMemo(() => frame.rows.map(lastOf), [frame]);
  const order = useMemo(() => {
    const indices = names.map((_, index) => index);
    return names.length <= MANY ? indices : indices.sort((left, right) => (lasts[right] ?? Number.NEGATIVE_INFINITY) - (lasts[left] ?? Number.NEGATIVE_INFINITY));
  }, [names, lasts]);
  const coloured = useMemo(() => (names.length <= MANY ? null : new Set(order.slice(0, TOP))), [names, order]);

  if (names.length === 0) return <Empty icon="search" title="No series matches">The expression is valid and has no value in this range.</Empty>;
  const at = column === null ? undefined : frame.times[column];
  const highest = lasts.reduce<number>((best, value, index) => ((value ?? Number.NEGATIVE_INFINITY) > (lasts[best] ?? Number.NEGATIVE_INFINITY) ? index : best), 0);
  const toggle = (index: number, alone: boolean) =>
    setHidden((now) => {
      const others = names.map((_, other) => other).filter((other) => other !== index);
      if (alone) return now.size === others.length && !now.has(index) ? new Set() : new Set(others);
      const next = new Set(now);
      if (!next.delete(index)) next.add(index);
      return next;
    });

  return (
    <div className="graph">
      {drawn.all > MOST && (
        <Banner tone="info">
          Drawing {MOST} of {drawn.all} series. Aggregate or filter to see the others.
        </Banner>
      )}
      <Plot
        frame={frame}
        names={names}
        zone={zone}
        height={340}
        hidden={hidden}
        coloured={coloured}
        onZoom={onZoom}
        onCursor={(nextColumn, series) => {
          setColumn(nextColumn);
          setNear(series);
        }}
        label={`${plural(names.length, "series", "series")} over time. Highest at the end: ${names[highest]}${lasts[highest] == null ? "" : ` with ${formatNumber(lasts[highest] ?? 0)}`}.`}
      />
      <p className="graph-at muted number">{at === undefined ? "Drag to zoom. Click a name to hide it, double-click to see it alone." : formatStamp(at * 1000, zone, end * 1000)}</p>
      <ul className="legend">
        {order.map((index) => {
          const name = names[index] ?? "";
          const value = column === null ? lasts[index] : frame.rows[index]?.[column];
          return (
            <li key={name}>
              <button type="button" className="legend-row" aria-pressed={!hidden.has(index)} data-near={near === index || undefined} onClick={(event) => toggle(index, event.detail > 1)}>
                <span className="legend-mark" style={{ background: coloured && !coloured.has(index) ? "var(--plot-grey)" : lineVariable(index) }} />
                <span className="legend-name mono clip" title={name}>
                  {name}
                </span>
                <span className="number">{value == null ? "–" : formatNumber(value)}</span>
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
