import { useState } from "react";
import type { FiringBucket } from "../../api/types.ts";
import { useZone } from "../../app/settings.ts";
import { formatClock, localTime, parseInstant, zoneName } from "../../lib/time.ts";

const WIDTH = 384;
const HEIGHT = 96;

function total(bucket: FiringBucket): number {
  return bucket.critical + bucket.warning + bucket.other;
}

function sentence(buckets: readonly FiringBucket[], zone: string): string {
  const worst = buckets.reduce<FiringBucket | null>((most, each) => (most === null || total(each) > total(most) ? each : most), null);
  const at = parseInstant(worst?.at);
  if (!worst || at === null || total(worst) === 0) return "Nothing fired in the last 24 hours.";
  return `At most ${total(worst)} alerts fired at once, at ${formatClock(at, zone)} ${zoneName(at, zone)}.`;
}

/** Draws how many alerts fired in each quarter of an hour; the bars are read with the arrow keys too. */
export function FiringDay({ buckets }: { buckets: readonly FiringBucket[] }) {
  const zone = useZone();
  const [at, setAt] = useState<number | null>(null);
  if (buckets.length === 0) return <p className="muted">No history yet.</p>;
  const most = Math.max(4, ...buckets.map(total));
  const width = WIDTH / buckets.length;
  const chosen = at === null ? undefined : buckets[at];
  const chosenAt = parseInstant(chosen?.at);
  const move = (by: number) => setAt((now) => Math.max(0, Math.min(buckets.length - 1, (now ?? buckets.length) + by)));
  const hours = buckets.flatMap((bucket, index) => {
    const instant = parseInstant(bucket.at);
    if (instant === null) return [];
    const local = localTime(instant, zone);
    return local.minute < 15 && local.hour % 6 === 0 ? [{ index, text: formatClock(instant, zone) }] : [];
  });
  return (
    <figure className="day">
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions */}
      <div
        className="day-plot"
        role="img"
        tabIndex={0}
        aria-label={`${sentence(buckets, zone)} Arrow keys read the bars.`}
        onPointerMove={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          setAt(Math.max(0, Math.min(buckets.length - 1, Math.floor(((event.clientX - box.left) / box.width) * buckets.length))));
        }}
        onPointerLeave={() => setAt(null)}
        onBlur={() => setAt(null)}
        onKeyDown={(event) => {
          if (event.key === "ArrowLeft") move(-1);
          if (event.key === "ArrowRight") move(1);
        }}
      >
        <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
          {[0, 0.5, 1].map((part) => (
            <line key={part} className="day-grid" x1={0} x2={WIDTH} y1={0.5 + part * (HEIGHT - 1)} y2={0.5 + part * (HEIGHT - 1)} />
          ))}
          {at !== null && <rect className="day-cursor" x={at * width} y={0} width={width} height={HEIGHT} />}
          {buckets.map((bucket, index) => {
            let base = HEIGHT;
            return (["critical", "warning", "other"] as const).map((severity) => {
              const height = (bucket[severity] / most) * (HEIGHT - 4);
              base -= height;
              return <rect key={`${bucket.at} ${severity}`} className="day-bar" data-tone={severity} x={index * width + 0.4} y={base} width={width - 0.8} height={height} />;
            });
          })}
        </svg>
        <span className="day-most number">{most}</span>
      </div>
      <div className="day-hours" aria-hidden="true">
        {hours.map((hour) => (
          <span key={hour.index} className="number" style={{ left: `${(100 * hour.index) / buckets.length}%` }}>
            {hour.text}
          </span>
        ))}
      </div>
      <figcaption className="day-words" aria-live="polite">
        {chosen && chosenAt !== null ? (
          <>
            <span className="number">
              {formatClock(chosenAt, zone)} {zoneName(chosenAt, zone)}
            </span>
            : {chosen.critical} critical, {chosen.warning} warning, {chosen.other} other
          </>
        ) : (
          sentence(buckets, zone)
        )}
      </figcaption>
    </figure>
  );
}
