/** What the reader chose: the browser's zone, UTC, or a zone of the IANA list. */
export type ZoneChoice = string;

const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Returns the instant in milliseconds, or null for anything but RFC 3339 in UTC: a stamp without a zone is a guess. */
export function parseInstant(text: string | null | undefined): number | null {
  if (!text || !INSTANT.test(text)) return null;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}

/** Returns the instant in the form the server takes. */
export function toInstant(at: number): string {
  return new Date(at).toISOString();
}

/** Returns the IANA name behind a choice; a name that this browser does not know becomes UTC. */
export function zoneOf(choice: ZoneChoice): string {
  if (choice === "browser") return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  return isZone(choice) ? choice : "UTC";
}

export function isZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en-GB", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

// Building a formatter costs more than using it a hundred times, so each zone has one of a kind.
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: string, locale: string, kind: "parts" | "name"): Intl.DateTimeFormat {
  const key = `${kind} ${locale} ${zone}`;
  const known = formatters.get(key);
  if (known) return known;
  const options: Intl.DateTimeFormatOptions =
    kind === "name"
      ? { timeZone: zone, timeZoneName: "short" }
      : {
          timeZone: zone,
          hourCycle: "h23",
          year: "numeric",
          month: "2-digit",
          day: "2-digit",
          hour: "2-digit",
          minute: "2-digit",
          second: "2-digit",
        };
  const made = new Intl.DateTimeFormat(locale, options);
  formatters.set(key, made);
  return made;
}

export interface LocalTime {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

/** Returns the wall clock of a zone at an instant. */
export function localTime(at: number, zone: string): LocalTime {
  const found = new Map(formatter(zone, "en-GB", "parts").formatToParts(at).map((part) => [part.type, Number(part.value)]));
  const read = (name: Intl.DateTimeFormatPartTypes) => found.get(name) ?? 0;
  return {
    year: read("year"),
    month: read("month"),
    day: read("day"),
    hour: read("hour"),
    minute: read("minute"),
    second: read("second"),
  };
}

/** Returns the short name of a zone at an instant, as "CET", "EST" or "GMT+5:30". */
export function zoneName(at: number, zone: string): string {
  if (zone === "UTC") return "UTC";
  const read = (locale: string) =>
    formatter(zone, locale, "name")
      .formatToParts(at)
      .find((part) => part.type === "timeZoneName")?.value;
  // Each locale abbreviates only the zones of its own region.
  const british = read("en-GB") ?? zone;
  if (!british.startsWith("GMT") || british === "GMT") return british;
  const american = read("en-US") ?? british;
  return american.startsWith("GMT") ? british : american;
}

const two = (value: number) => String(value).padStart(2, "0");

/** Returns "03:12", or "03:12:07" with seconds, on the wall clock of the zone. */
export function formatClock(at: number, zone: string, seconds = false): string {
  const local = localTime(at, zone);
  const clock = `${two(local.hour)}:${two(local.minute)}`;
  return seconds ? `${clock}:${two(local.second)}` : clock;
}

/** Returns "21 Nov 03:12:07 CET"; the year is added when it is not the year of `now`. */
export function formatStamp(at: number, zone: string, now: number): string {
  const local = localTime(at, zone);
  const year = local.year === localTime(now, zone).year ? "" : ` ${local.year}`;
  return `${local.day} ${MONTHS[local.month - 1]}${year} ${formatClock(at, zone, true)} ${zoneName(at, zone)}`;
}

/** Returns "21 Nov" on the calendar of the zone. */
export function formatDay(at: number, zone: string): string {
  const local = localTime(at, zone);
  return `${local.day} ${MONTHS[local.month - 1]}`;
}

/** Returns a span in at most two units: "8 s", "14 min", "3 h 12 min", "2 d 4 h". Negative spans count as none. */
export function formatSpan(milliseconds: number): string {
  const span = Math.max(0, milliseconds);
  if (span < MINUTE) return `${Math.floor(span / SECOND)} s`;
  if (span < HOUR) return `${Math.floor(span / MINUTE)} min`;
  const pair = (big: number, small: number, bigName: string, smallName: string) => {
    const rest = Math.floor((span % big) / small);
    const head = `${Math.floor(span / big)} ${bigName}`;
    return rest === 0 ? head : `${head} ${rest} ${smallName}`;
  };
  if (span < DAY) return pair(HOUR, MINUTE, "h", "min");
  return pair(DAY, HOUR, "d", "h");
}

/** Returns how long ago an instant was; what lies ahead by the skew of clocks counts as now. */
export function formatAge(at: number, now: number): string {
  return formatSpan(now - at);
}

function offsetAt(at: number, zone: string): number {
  const local = localTime(at, zone);
  const asUtc = Date.UTC(local.year, local.month - 1, local.day, local.hour, local.minute, local.second);
  return asUtc - Math.floor(at / SECOND) * SECOND;
}

/** Returns what an input of type datetime-local shows for an instant. */
export function toLocalInput(at: number, zone: string): string {
  const local = localTime(at, zone);
  return `${local.year}-${two(local.month)}-${two(local.day)}T${two(local.hour)}:${two(local.minute)}`;
}

/**
 * Returns the instant behind a wall clock of a zone, or null when the text is none.
 * A time that happens twice is the first; a time that daylight saving skips is moved on by the gap.
 */
export function fromLocalInput(text: string, zone: string): number | null {
  const wall = Date.parse(`${text}:00Z`);
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$/.test(text) || Number.isNaN(wall)) return null;
  const before = wall - offsetAt(wall - DAY, zone);
  const after = wall - offsetAt(wall + DAY, zone);
  const fits = [before, after].filter((at) => at + offsetAt(at, zone) === wall);
  return fits.length > 0 ? Math.min(...fits) : before;
}

/** Returns the instant from which on the clock of a zone shows a time or a later one: when daylight saving skips it, that of the skip. */
export function reachesLocal(text: string, zone: string): number | null {
  const found = fromLocalInput(text, zone);
  if (found === null || found + offsetAt(found, zone) === Date.parse(`${text}:00Z`)) return found;
  const offset = offsetAt(found, zone);
  let [before, after] = [found - DAY, found];
  while (after - before > SECOND) {
    const middle = Math.floor((before + after) / 2 / SECOND) * SECOND;
    if (offsetAt(middle, zone) === offset) after = middle;
    else before = middle;
  }
  return after;
}

/** Returns the next instant at which the clock of the zone shows the hour. */
export function nextHour(hour: number, now: number, zone: string): number {
  const local = localTime(now, zone);
  for (const ahead of [0, 1, 2]) {
    const day = new Date(Date.UTC(local.year, local.month - 1, local.day + ahead));
    const text = `${day.getUTCFullYear()}-${two(day.getUTCMonth() + 1)}-${two(day.getUTCDate())}T${two(hour)}:00`;
    const at = fromLocalInput(text, zone);
    if (at !== null && at > now) return at;
  }
  return now + DAY;
}

const UNITS: [string, number][] = [
  ["w", 7 * DAY],
  ["d", DAY],
  ["h", HOUR],
  ["m", MINUTE],
  ["s", SECOND],
  ["ms", 1],
];

/** Returns the milliseconds of a duration as PromQL writes it ("1h30m"), or null. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim();
  if (!/^(\d+(w|d|h|ms|m|s))+$/.test(trimmed)) return null;
  let total = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+)(ms|[wdhms])/g)) {
    total += Number(amount) * (UNITS.find(([name]) => name === unit)?.[1] ?? 0);
  }
  return total > 0 && Number.isSafeInteger(total) ? total : null;
}

/** Returns the shortest PromQL duration for whole milliseconds. */
export function formatDuration(milliseconds: number): string {
  let rest = Math.max(0, Math.round(milliseconds));
  let text = "";
  for (const [name, size] of UNITS) {
    const amount = Math.floor(rest / size);
    if (amount > 0) text += `${amount}${name}`;
    rest -= amount * size;
  }
  return text || "0s";
}
