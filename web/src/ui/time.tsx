import { useNow } from "../app/clock.ts";
import { useZone } from "../app/settings.ts";
import { formatAge, formatSpan, formatStamp, parseInstant } from "../lib/time.ts";

/** Shows an instant of the server: how long ago, or the stamp in the reader's zone; the other one is in the hint. */
export function Time({ at, show = "age", after = "" }: { at: string | null | undefined; show?: "age" | "stamp"; after?: string }) {
  const now = useNow();
  const zone = useZone();
  const instant = parseInstant(at);
  if (instant === null) return <span className="muted">never</span>;
  const stamp = formatStamp(instant, zone, now);
  const ahead = instant > now + 1000;
  const age = ahead ? `in ${formatSpan(instant - now)}` : `${formatAge(instant, now)}${after}`;
  return (
    <time className="number" dateTime={at ?? ""} title={show === "age" ? stamp : age}>
      {show === "age" ? age : stamp}
    </time>
  );
}
