import type { Silence, SilenceWish, Times } from "../api/silences.ts";
import { endOfDay, firstTurn, fromTimes, isClock, isWholeDay, lastWholeDay, timesWords, toDateInput, toTimes, type Repeat } from "./recurring.ts";
import { inSpan, lastDay, minuteWords } from "./silences.ts";
import { DAY, formatSpan, fromLocalInput, HOUR, isZone, nextHour, parseInstant, toInstant, toLocalInput } from "./time.ts";

export type Length = "1h" | "4h" | "24h" | "8:00" | "exact" | "resolved" | "repeats";
/** When a silence that waits for its alerts ends at the latest. */
export type Latest = "4h" | "24h" | "3d" | "exact";

export const LENGTHS: readonly { value: Length; label: string }[] = [
  { value: "1h", label: "1 h" },
  { value: "4h", label: "4 h" },
  { value: "24h", label: "24 h" },
  { value: "8:00", label: "Until 08:00" },
  { value: "exact", label: "Exact end" },
  { value: "resolved", label: "Until resolved" },
  { value: "repeats", label: "Repeats" },
];

export const LATEST: readonly { value: Latest; label: string }[] = [
  { value: "4h", label: "4 h" },
  { value: "24h", label: "24 h" },
  { value: "3d", label: "3 d" },
  { value: "exact", label: "Exact end" },
];

/** How long, as the form holds it. */
export interface Draft {
  length: Length;
  latest: Latest;
  /** Date and time in the reader's zone. */
  exact: string;
  /** The end of a silence that is changed, for as long as the reader leaves `exact` as it was: that has no seconds. */
  exactAt: number | null;
  repeat: Repeat;
  /** The last day of what repeats, in its own zone. */
  lastDate: string;
  /** When the last turn ends, for as long as the reader leaves `lastDate` as it was. */
  lastAt: number | null;
  /** Times that say more than the form can write; they stay as they are. */
  kept: Times[] | null;
}

export type Field = "exact" | "days" | "hours" | "zone" | "last";

export interface Plan {
  /** Null: a fault keeps it from being known. */
  endsAt: number | null;
  untilResolved: boolean;
  times: Times[];
  faults: Partial<Record<Field, string>>;
}

/** What a plan is made for. */
export interface Frame {
  now: number;
  /** When it begins; null: at once. */
  startsAt: number | null;
  /** Whether it is a silence that is changed after it has begun. */
  begun: boolean;
  /** The reader's. */
  zone: string;
}

const MONTH = 30 * DAY;

/** Returns what the form starts with: an hour, or what a silence has that is changed. */
export function startDraft(silence: Silence | null, now: number, zone: string): Draft {
  const end = parseInstant(silence?.ends_at);
  const repeat = silence ? fromTimes(silence.times) : null;
  const recurs = silence !== null && silence.times.length > 0;
  const repeatZone = repeat?.zone ?? (recurs ? silence.times[0]?.location || "UTC" : zone);
  return {
    length: silence === null ? "1h" : recurs ? "repeats" : silence.until_resolved ? "resolved" : "exact",
    latest: silence === null ? "24h" : "exact",
    exact: toLocalInput(end ?? now + 2 * HOUR, zone),
    exactAt: recurs ? null : end,
    repeat: repeat ?? { days: [5, 6], from: "02:00", to: "04:00", zone: repeatZone },
    lastDate: recurs && end !== null ? toDateInput(end - 1, repeatZone) : lastWholeDay(now + MONTH, repeatZone),
    lastAt: recurs ? end : null,
    kept: recurs && repeat === null ? silence.times : null,
  };
}

function endAfter(length: Exclude<Length, "resolved" | "repeats"> | Latest, { exact, exactAt }: Draft, { now, startsAt, zone }: Frame): number | null {
  const from = Math.max(now, startsAt ?? now);
  switch (length) {
    case "1h":
      return from + HOUR;
    case "4h":
      return from + 4 * HOUR;
    case "24h":
      return from + DAY;
    case "3d":
      return from + 3 * DAY;
    case "8:00":
      return nextHour(8, from, zone);
    case "exact":
      return exactAt ?? fromLocalInput(exact, zone);
  }
}

function repeatFaults({ repeat, kept }: Draft): Plan["faults"] {
  if (kept) return {};
  const { days, from, to, zone } = repeat;
  const hours = !isClock(from) || !isClock(to) ? "Not a time" : from === to && !isWholeDay(repeat) ? "It begins and ends at the same time; 00:00 to 00:00 is a whole day" : null;
  return {
    ...(days.length === 0 && { days: "Choose a day" }),
    ...(hours && { hours }),
    ...(!isZone(zone) && { zone: "This browser does not know the zone; write one such as Europe/Berlin" }),
  };
}

function repeatPlan(draft: Draft, { now, startsAt }: Frame): Plan {
  const zone = draft.kept ? draft.kept[0]?.location || "UTC" : draft.repeat.zone;
  const faults = repeatFaults(draft);
  const end = draft.lastAt ?? (isZone(zone) ? endOfDay(draft.lastDate, zone) : null);
  if (end === null) faults.last = isZone(zone) ? "Not a date" : "The zone is not known";
  else if (end <= now) faults.last = "The end lies in the past";
  const sound = Object.keys(faults).length === 0;
  if (sound && !draft.kept && end !== null) {
    const turn = firstTurn(draft.repeat, Math.max(now, startsAt ?? now));
    if (turn === null || turn.start >= end) faults.last = "None of its times lies before the end";
  }
  return { endsAt: faults.last ? null : end, untilResolved: false, times: sound ? (draft.kept ?? [toTimes(draft.repeat)]) : [], faults };
}

/** Returns what the draft comes to, with all that is wrong with it. */
export function planOf(draft: Draft, frame: Frame): Plan {
  if (draft.length === "repeats") return repeatPlan(draft, frame);
  const untilResolved = draft.length === "resolved";
  const end = endAfter(draft.length === "resolved" ? draft.latest : draft.length, draft, frame);
  const fault = end === null ? "Not a date and time" : end <= frame.now ? "The end lies in the past" : end <= (frame.startsAt ?? 0) ? "It would end before it begins" : null;
  return { endsAt: fault ? null : end, untilResolved, times: [], faults: fault ? { exact: fault } : {} };
}

/** Returns a sentence that says what will happen; null while something is wrong. */
export function summaryWords(draft: Draft, plan: Plan, { now, startsAt, begun, zone }: Frame, firing: number | null): string | null {
  const { endsAt } = plan;
  if (endsAt === null || Object.keys(plan.faults).length > 0) return null;
  if (draft.length === "repeats") {
    const turn = draft.kept ? null : firstTurn(draft.repeat, Math.max(now, startsAt ?? now));
    const first = turn === null ? "" : turn.start <= now ? ", from now on" : `, ${begun ? "next" : "for the first time"} ${inSpan(turn.start, now)}`;
    return `Mutes ${timesWords(plan.times, true)}${first}, until ${lastDay(endsAt, plan.times[0]?.location || "UTC", now)}`;
  }
  const stamp = minuteWords(endsAt, zone, now);
  if (plan.untilResolved) {
    const alerts = firing === null || firing === 0 ? "its alerts are" : firing === 1 ? "its alert is" : `its ${firing} alerts are`;
    return `Mutes until ${alerts} resolved, at the latest ${inSpan(endsAt, now)}, ${stamp}`;
  }
  if (startsAt !== null && startsAt > now) return `Mutes from ${minuteWords(startsAt, zone, now)} for ${formatSpan(endsAt - startsAt + 500)}, until ${stamp}`;
  return `Mutes from now on, ends ${inSpan(endsAt, now)}, ${stamp}`;
}

/** Returns the terms of a plan as the server takes them; ends are cut to seconds, so that none is longer than was chosen. */
export function termsOf(plan: Plan & { endsAt: number }): Pick<SilenceWish, "ends_at" | "until_resolved" | "times"> {
  return { ends_at: toInstant(Math.floor(plan.endsAt / 1000) * 1000), until_resolved: plan.untilResolved, times: plan.times };
}

/** Returns the wish for a silence as it stands, to change it or to make it again. */
export function sameAgain({ matchers, ends_at, comment, created_by, until_resolved, times }: Silence): SilenceWish {
  return { matchers, ends_at, comment, created_by, until_resolved, times };
}

/** Returns the wish that a silence mutes an hour longer. */
export function extended(silence: Silence, now: number): SilenceWish {
  const end = Math.max(parseInstant(silence.ends_at) ?? 0, now) + HOUR;
  return { ...sameAgain(silence), id: silence.id, seen_at: silence.updated_at, starts_at: silence.starts_at, ends_at: toInstant(end) };
}

/** Returns the wish for a silence that was ended by mistake; one that had begun begins at once. */
export function revived(silence: Silence, now: number): SilenceWish {
  const start = parseInstant(silence.starts_at) ?? 0;
  return { ...sameAgain(silence), ...(start > now && { starts_at: silence.starts_at }) };
}
