import type { Silence, SilenceHistory } from "../api/silences.ts";
import { timesWords } from "./recurring.ts";
import { formatAge, formatClock, formatDay, formatSpan, formatStamp, localTime, MINUTE, parseInstant, zoneName } from "./time.ts";
import { plural } from "./units.ts";

/** How long before its end a silence stands out where the configuration says nothing. */
const REMIND = 15 * MINUTE;

const instant = (text: string | null | undefined) => parseInstant(text) ?? 0;

/** Returns "in 42 min"; half a second is allowed for, so that a fresh hour is not 59 minutes. */
export function inSpan(at: number, now: number): string {
  return at <= now ? "now" : `in ${formatSpan(at - now + 500)}`;
}

/** Returns "1 Mar", of a midnight the day that it ends; the time is added to any other, and the year where it is another. */
export function lastDay(at: number, zone: string, now: number): string {
  const midnight = formatClock(at, zone, true) === "00:00:00";
  const shown = midnight ? at - 1000 : at;
  const year = localTime(shown, zone).year;
  const day = `${formatDay(shown, zone)}${year === localTime(now, zone).year ? "" : ` ${year}`}`;
  return midnight ? day : `${day} ${formatClock(at, zone)}`;
}

/** Returns "22 Nov 12:46 CET", with the year where it is another. */
export function minuteWords(at: number, zone: string, now: number): string {
  const year = localTime(at, zone).year;
  return `${formatDay(at, zone)}${year === localTime(now, zone).year ? "" : ` ${year}`} ${formatClock(at, zone)} ${zoneName(at, zone)}`;
}

export function isRecurring(silence: Silence): boolean {
  return silence.times.length > 0;
}

function turnWords(silence: Silence, now: number): string {
  const turn = parseInstant(silence.next_turn_at);
  if (turn === null) return "next not within two months";
  return silence.state === "active" ? `now for ${formatSpan(turn - now + 500)}` : `next ${inSpan(turn, now)}`;
}

/** Returns how a silence that has not ended will end. */
export function endWords(silence: Silence, now: number, zone: string): string {
  const end = instant(silence.ends_at);
  const start = instant(silence.starts_at);
  if (isRecurring(silence)) {
    return `${timesWords(silence.times)}, ${turnWords(silence, now)}, until ${lastDay(end, silence.times[0]?.location || "UTC", now)}`;
  }
  if (silence.until_resolved) return `until its alerts are resolved, at the latest ${inSpan(end, now)}`;
  // The server's word on whether it has begun: our clock may lag behind it.
  if (silence.state === "pending") return `starts ${inSpan(start, now)}, for ${formatSpan(end - start)}, until ${minuteWords(end, zone, now)}`;
  return `ends ${inSpan(end, now)}`;
}

/** Returns how a silence came to end. */
export function endedWords(silence: Silence): string {
  switch (silence.ended?.why) {
    case undefined:
      return "ended";
    case "person":
      return silence.ended.by ? `ended by ${silence.ended.by}` : "ended by hand";
    case "replaced":
      return silence.ended.by ? `replaced by ${silence.ended.by}` : "replaced";
    case "resolved":
      return "ended: its alerts are resolved";
  }
}

/** Returns what an active silence mutes now. */
export function mutesWords({ firing, critical }: Silence): string {
  if (firing === 0) return "mutes nothing now";
  return `mutes ${plural(firing, "alert")}${critical > 0 ? `, ${critical} critical` : ""}`;
}

/** Returns what is urgent about a silence: alerts fire under it, and it ends soon. Null: nothing. */
export function urgentWords(silence: Silence, remindSeconds: number | null | undefined, now: number): string | null {
  const rest = instant(silence.ends_at) - now;
  const remind = remindSeconds == null ? REMIND : remindSeconds * 1000;
  if (silence.state !== "active" || silence.firing === 0 || rest > remind) return null;
  return `ends ${inSpan(now + rest, now)}; ${plural(silence.firing, "alert")} ${silence.firing === 1 ? "fires" : "fire"} under it`;
}

/** Returns who made a silence, and the name that it was given where that is another. */
export function makerOf({ owner, created_by }: Silence): { name: string; as: string | null } {
  if (!owner) return { name: created_by || "nobody named", as: null };
  return { name: owner, as: created_by !== "" && created_by !== owner ? created_by : null };
}

/** The server names at most so many services. */
const SERVICES_MAX = 10;

/** Returns what a silence would have muted, as a sentence. */
export function pastWords(past: SilenceHistory, now: number, zone: string): string {
  const span = past.complete ? "in the last 30 days" : `since ${formatStamp(instant(past.from), zone, now)}, which is as far back as could be read,`;
  if (past.begins === 0) return past.complete ? "Nothing of this kind fired in the last 30 days" : `Nothing of this kind fired ${span.replace(/,$/, "")}`;
  const services = past.services.length;
  const of = services === 0 ? "" : services >= SERVICES_MAX ? ` of ${SERVICES_MAX} or more services` : ` of ${plural(services, "service")}`;
  const told = [plural(past.begins, "beginning"), plural(past.notifications, "notification"), plural(past.pages, "page")].join(", ");
  const last = parseInstant(past.last_at);
  const when = last === null ? "" : `; last ${formatAge(last, now)} ago`;
  return `${span.charAt(0).toUpperCase()}${span.slice(1)} it would have muted ${plural(past.alerts, "alert")}${of}: ${told}${when}`;
}
