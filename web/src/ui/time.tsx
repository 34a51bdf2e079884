import { useNow } from "../app/clock.ts";
import { useZone } from "../app/settings.ts";
import { formatAge, formatClock, formatSpan, formatStamp, parseInstant } from "../lib/time.ts";

/**
 * Shows an instant of the server: how long ago, or the stamp in the reader's zone; the other one is in the hint.
 * The clock alone stands where the day and the zone are said above; its hint is in UTC, as texts of the server are.
 */
export function Time({ at, show = "age", after = "" }: { at: string | null | undefined; show?: "age" | "stamp" | "clock"; after?: string }) {
  const now = useNow();
  const zone = useZone();
  const instant = parseInstant(at);
  if (instant === null) return <span className="muted">never</span>;
  const stamp = formatStamp(instant, zone, now);
  const ahead = instant > now + 1000;
  const age = ahead ? `in ${formatSpan(instant - now)}` : `${formatAge(instant, now)}${after}`;
  const [words, hint] = show === "age" ? [age, stamp] : show === "stamp" ? [stamp, age] : [formatClock(instant, zone, true), formatStamp(instant, "UTC", now)];
  return (
    <time className="number" dateTime={at ?? ""} title={hint}>
      {words}
    </time>
  );
}
