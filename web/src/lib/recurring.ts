import type { Times } from "../api/silences.ts";
import { DAY, localTime, reachesLocal } from "./time.ts";

/** Some days of the week, from a time to a time: what the form can write. */
export interface Repeat {
  /** 0 is Monday. */
  days: number[];
  /** Hours and minutes, "02:00". One that ends no later than it begins ends on the next day. */
  from: string;
  to: string;
  zone: string;
}

export const DAYS: readonly string[] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const NAMES: readonly string[] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const MIDNIGHT = "00:00";
const CLOCK = /^([01]\d|2[0-3]):[0-5]\d$/;

export function isClock(text: string): boolean {
  return CLOCK.test(text);
}

export function isWholeDay({ from, to }: Repeat): boolean {
  return from === MIDNIGHT && to === MIDNIGHT;
}

/** Returns the days of the week that texts such as "monday:friday" name, in order; null when one is none. */
function daysOf(weekdays: readonly string[]): number[] | null {
  const days = new Set<number>();
  for (const text of weekdays) {
    const ends = text.toLowerCase().split(":").map((name) => NAMES.indexOf(name));
    const [first = -1, last = first] = ends;
    if (first < 0 || last < 0 || ends.length > 2) return null;
    // The server's week begins on Sunday, so a range may wrap here.
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === last) break;
    }
  }
  return [...days].sort((left, right) => left - right);
}

export function toTimes(repeat: Repeat): Times {
  const weekdays = repeat.days.length === 7 ? [] : [...repeat.days].sort((left, right) => left - right).map((day) => NAMES[day] ?? "");
  // A day that ends at 00:00 would be one without length.
  const end_time = repeat.to === MIDNIGHT ? "24:00" : repeat.to;
  return { times: [{ start_time: repeat.from, end_time }], weekdays, location: repeat.zone };
}

/** Returns what the form shows for times, or null where they say more than it can. */
export function fromTimes(times: readonly Times[]): Repeat | null {
  const [only] = times;
  if (!only || times.length > 1 || only.times.length > 1) return null;
  if ([only.days_of_month, only.months, only.years].some((list) => list !== undefined && list.length > 0)) return null;
  const days = only.weekdays.length === 0 ? [0, 1, 2, 3, 4, 5, 6] : daysOf(only.weekdays);
  const hours = only.times[0] ?? { start_time: MIDNIGHT, end_time: "24:00" };
  if (!days || !isClock(hours.start_time)) return null;
  return { days, from: hours.start_time, to: hours.end_time === "24:00" ? MIDNIGHT : hours.end_time, zone: only.location || "UTC" };
}

/** Returns "Mon-Fri", "Sat-Sun", "Mon, Wed", "daily"; spoken, two days are "Sat and Sun". */
export function dayWords(days: readonly number[], spoken = false): string {
  if (days.length === 7) return spoken ? "every day" : "daily";
  if (spoken && days.length === 2) return days.map((day) => DAYS[day]).join(" and ");
  const runs: [number, number][] = [];
  for (const day of days) {
    const last = runs.at(-1);
    if (last && last[1] === day - 1) last[1] = day;
    else runs.push([day, day]);
  }
  return runs.map(([first, last]) => (first === last ? DAYS[first] : `${DAYS[first]}-${DAYS[last]}`)).join(", ");
}

function hourWords(times: Times["times"]): string {
  const all = times.map(({ start_time, end_time }) => `${start_time}-${end_time}`);
  return all.length === 0 || (all.length === 1 && all[0] === "00:00-24:00") ? "all day" : all.join(", ");
}

function oneWords(times: Times, spoken: boolean): string {
  const days = times.weekdays.length === 0 ? null : daysOf(times.weekdays);
  const listed = (what: string, list: string[] | undefined) => (list && list.length > 0 ? [`${what} ${list.map((each) => each.replace(":", " to ")).join(", ")}`] : []);
  const rest = [...listed("on days of the month", times.days_of_month), ...listed("in", times.months), ...listed("in", times.years)];
  const when = days ? dayWords(days, spoken) : times.weekdays.length > 0 ? times.weekdays.join(", ") : rest.length > 0 ? "" : dayWords(NAMES.map((_, day) => day), spoken);
  return [when, ...rest, hourWords(times.times), times.location || "UTC"].filter((part) => part !== "").join(" ");
}

/** Returns "Sat-Sun 02:00-04:00 Europe/Berlin"; several times are told one after the other. */
export function timesWords(times: readonly Times[], spoken = false): string {
  return times.map((each) => oneWords(each, spoken)).join("; ");
}

const two = (value: number) => String(value).padStart(2, "0");

/** Returns the first turn that has not ended at an instant; null when there is none within two weeks. */
export function firstTurn(repeat: Repeat, now: number): { start: number; end: number } | null {
  const today = localTime(now, repeat.zone);
  const at = (ahead: number, clock: string) => {
    const day = new Date(Date.UTC(today.year, today.month - 1, today.day + ahead));
    return { weekday: (day.getUTCDay() + 6) % 7, instant: reachesLocal(`${day.getUTCFullYear()}-${two(day.getUTCMonth() + 1)}-${two(day.getUTCDate())}T${clock}`, repeat.zone) };
  };
  // One that began yesterday may go on until today, and daylight saving can swallow one of a week.
  for (let ahead = -1; ahead <= 14; ahead += 1) {
    const { weekday, instant: start } = at(ahead, repeat.from);
    const end = at(repeat.to <= repeat.from ? ahead + 1 : ahead, repeat.to).instant;
    if (repeat.days.includes(weekday) && start !== null && end !== null && end > start && end > now) return { start, end };
  }
  return null;
}

/** Returns the calendar day of a zone as an input of type date shows it. */
export function toDateInput(at: number, zone: string): string {
  const local = localTime(at, zone);
  return `${local.year}-${two(local.month)}-${two(local.day)}`;
}

/** Returns when a day of a zone is over, or null when the text is none. */
export function endOfDay(text: string, zone: string): number | null {
  const day = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(`${text}T00:00:00Z`) : Number.NaN;
  return Number.isNaN(day) ? null : reachesLocal(`${new Date(day + DAY).toISOString().slice(0, 10)}T00:00`, zone);
}

/** Returns the last day of a zone that is over before an instant. */
export function lastWholeDay(at: number, zone: string): string {
  const day = toDateInput(at, zone);
  const before = new Date(Date.parse(`${day}T00:00:00Z`) - DAY).toISOString().slice(0, 10);
  return endOfDay(day, zone) === at ? day : before;
}
