import { describe, expect, test } from "vitest";
import {
  DAY,
  formatAge,
  formatClock,
  formatDuration,
  formatSpan,
  formatStamp,
  fromLocalInput,
  HOUR,
  isZone,
  localTime,
  MINUTE,
  nextHour,
  parseDuration,
  parseInstant,
  toLocalInput,
  zoneName,
  zoneOf,
} from "../src/lib/time.ts";

const at = (text: string) => Date.parse(text);

test("only instants in UTC are taken", () => {
  expect(parseInstant("2026-11-21T03:12:07Z")).toBe(at("2026-11-21T03:12:07Z"));
  expect(parseInstant("2026-11-21T03:12:07.123456789Z")).toBe(at("2026-11-21T03:12:07.123Z"));
  for (const naive of ["2026-11-21T03:12:07", "2026-11-21", "2026-11-21T03:12:07+01:00", "2026-13-41T03:12:07Z", "", null, undefined]) {
    expect(parseInstant(naive), String(naive)).toBeNull();
  }
});

describe("spans", () => {
  test.each([
    [-5000, "0 s"],
    [999, "0 s"],
    [59_999, "59 s"],
    [MINUTE, "1 min"],
    [HOUR - 1, "59 min"],
    [HOUR, "1 h"],
    [3 * HOUR + 12 * MINUTE, "3 h 12 min"],
    [DAY, "1 d"],
    [2 * DAY + 4 * HOUR + 59 * MINUTE, "2 d 4 h"],
  ])("%i ms reads as %s", (span, words) => expect(formatSpan(span)).toBe(words));

  test("what lies ahead by skew counts as now", () => expect(formatAge(10_000, 9000)).toBe("0 s"));
});

describe("zones", () => {
  test("a stamp names its zone, and its year only when that is another", () => {
    const instant = at("2026-01-15T02:12:07Z");
    expect(formatStamp(instant, "Europe/Berlin", instant)).toBe("15 Jan 03:12:07 CET");
    expect(formatStamp(instant, "UTC", at("2027-06-01T00:00:00Z"))).toBe("15 Jan 2026 02:12:07 UTC");
  });

  test.each([
    ["Europe/Berlin", "2026-01-15T12:00:00Z", "CET"],
    ["Europe/Berlin", "2026-07-15T12:00:00Z", "CEST"],
    ["Europe/London", "2026-01-15T12:00:00Z", "GMT"],
    ["America/New_York", "2026-07-15T12:00:00Z", "EDT"],
    ["UTC", "2026-07-15T12:00:00Z", "UTC"],
  ])("%s at %s is %s", (zone, instant, name) => expect(zoneName(at(instant), zone)).toBe(name));

  test("midnight is hour 0", () => {
    expect(formatClock(at("2026-11-20T23:00:00Z"), "Europe/Berlin")).toBe("00:00");
    expect(localTime(at("2026-11-20T23:00:00Z"), "Europe/Berlin").day).toBe(21);
  });

  test("zones off the hour are right", () => {
    expect(formatClock(at("2026-11-21T00:00:00Z"), "Asia/Kolkata")).toBe("05:30");
    expect(formatClock(at("2026-11-21T00:00:00Z"), "Pacific/Chatham")).toBe("13:45");
  });

  test("an unknown zone is UTC", () => {
    expect(zoneOf("Mars/Olympus")).toBe("UTC");
    expect(zoneOf("Asia/Tokyo")).toBe("Asia/Tokyo");
    expect(isZone("Mars/Olympus")).toBe(false);
  });
});

describe("wall clocks", () => {
  const zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Chatham", "Australia/Lord_Howe"];

  test("what an input shows leads back to the instant, through a whole year", () => {
    for (const zone of zones) {
      for (let instant = at("2026-01-01T00:00:00Z"); instant < at("2027-01-01T00:00:00Z"); instant += 7 * HOUR + 30 * MINUTE) {
        const found = fromLocalInput(toLocalInput(instant, zone), zone);
        // An hour that happens twice leads to its first time.
        expect([instant, instant - HOUR, instant - HOUR / 2], `${zone} ${new Date(instant).toISOString()}`).toContain(found);
      }
    }
  });

  test("an hour that is skipped moves on by the gap", () => {
    expect(fromLocalInput("2026-03-29T02:30", "Europe/Berlin")).toBe(at("2026-03-29T01:30:00Z"));
  });

  test("an hour that happens twice is the first", () => {
    expect(fromLocalInput("2026-10-25T02:30", "Europe/Berlin")).toBe(at("2026-10-25T00:30:00Z"));
  });

  test("texts that are none are refused", () => {
    for (const text of ["", "tomorrow", "2026-11-21", "2026-99-21T10:00"]) expect(fromLocalInput(text, "UTC"), text).toBeNull();
  });

  test("08:00 is today before it and tomorrow after it, also on the day of the change", () => {
    expect(nextHour(8, at("2026-11-21T03:00:00Z"), "Europe/Berlin")).toBe(at("2026-11-21T07:00:00Z"));
    expect(nextHour(8, at("2026-11-21T07:00:00Z"), "Europe/Berlin")).toBe(at("2026-11-22T07:00:00Z"));
    expect(nextHour(8, at("2026-10-24T10:00:00Z"), "Europe/Berlin")).toBe(at("2026-10-25T07:00:00Z"));
    expect(nextHour(8, at("2026-12-31T20:00:00Z"), "UTC")).toBe(at("2027-01-01T08:00:00Z"));
  });
});

describe("durations of PromQL", () => {
  test.each([
    ["90s", 90_000],
    ["1h30m", 5_400_000],
    ["15m", 900_000],
    ["250ms", 250],
    ["2w", 14 * DAY],
  ])("%s", (text, milliseconds) => expect(parseDuration(text)).toBe(milliseconds));

  test.each(["", "h", "1", "1 h", "-5m", "1y2", "0s", "99999999999999999999w"])("%j is none", (text) => expect(parseDuration(text)).toBeNull());

  test("writing and reading is one", () => {
    for (const each of [1, 999, 1000, 61_000, HOUR, 36 * HOUR, 8 * DAY + 1]) expect(parseDuration(formatDuration(each))).toBe(each);
    expect(formatDuration(5_400_000)).toBe("1h30m");
    expect(formatDuration(0)).toBe("0s");
  });
});
