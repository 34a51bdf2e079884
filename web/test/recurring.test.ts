import { describe, expect, test } from "vitest";
import { dayWords, endOfDay, firstTurn, fromTimes, lastWholeDay, timesWords, toDateInput, toTimes, type Repeat } from "../src/lib/recurring.ts";

const at = (text: string) => Date.parse(text);
const BERLIN = "Europe/Berlin";
const weekend: Repeat = { days: [5, 6], from: "02:00", to: "04:00", zone: BERLIN };

describe("what the form writes", () => {
  test("days go out by name, with the zone", () => {
    expect(toTimes(weekend)).toEqual({ times: [{ start_time: "02:00", end_time: "04:00" }], weekdays: ["saturday", "sunday"], location: BERLIN });
  });

  test("all days ask for none, and midnight as an end is the end of the day", () => {
    expect(toTimes({ days: [0, 1, 2, 3, 4, 5, 6], from: "00:00", to: "00:00", zone: "UTC" })).toEqual({ times: [{ start_time: "00:00", end_time: "24:00" }], weekdays: [], location: "UTC" });
    expect(toTimes({ ...weekend, from: "22:00", to: "00:00" }).times).toEqual([{ start_time: "22:00", end_time: "24:00" }]);
  });

  test.each<Repeat>([weekend, { days: [0, 1, 2, 3, 4, 5, 6], from: "22:00", to: "06:00", zone: "UTC" }, { days: [2], from: "00:00", to: "00:00", zone: "Asia/Kolkata" }])("reading what was written changes nothing: %o", (repeat) => {
    expect(fromTimes([toTimes(repeat)])).toEqual(repeat);
  });

  test("ranges of days are read, also over the end of the week", () => {
    expect(fromTimes([{ times: [], weekdays: ["monday:friday"], location: null }])).toEqual({ days: [0, 1, 2, 3, 4], from: "00:00", to: "00:00", zone: "UTC" });
    expect(fromTimes([{ times: [], weekdays: ["saturday:monday"] }])?.days).toEqual([0, 5, 6]);
  });

  test("what the form cannot show is not read", () => {
    const hours = { times: [{ start_time: "02:00", end_time: "04:00" }], weekdays: [] };
    for (const times of [[], [hours, hours], [{ ...hours, days_of_month: ["1:7"] }], [{ ...hours, months: ["may"] }], [{ ...hours, years: ["2027"] }], [{ ...hours, weekdays: ["someday"] }], [{ ...hours, times: [...hours.times, ...hours.times] }]]) {
      expect(fromTimes(times), JSON.stringify(times)).toBeNull();
    }
  });
});

describe("words", () => {
  test.each([
    [[5, 6], "Sat-Sun", "Sat and Sun"],
    [[0, 1, 2, 3, 4], "Mon-Fri", "Mon-Fri"],
    [[0, 2, 3, 6], "Mon, Wed-Thu, Sun", "Mon, Wed-Thu, Sun"],
    [[1], "Tue", "Tue"],
    [[0, 1, 2, 3, 4, 5, 6], "daily", "every day"],
  ])("days %j read as %s, spoken %s", (days, words, spoken) => {
    expect(dayWords(days)).toBe(words);
    expect(dayWords(days, true)).toBe(spoken);
  });

  test.each([
    [[toTimes(weekend)], "Sat-Sun 02:00-04:00 Europe/Berlin"],
    [[{ times: [], weekdays: [] }], "daily all day UTC"],
    [[{ times: [], weekdays: ["monday"], months: ["january:march"], location: "UTC" }], "Mon in january to march all day UTC"],
    [[{ times: [{ start_time: "00:00", end_time: "24:00" }], weekdays: [], days_of_month: ["1:7", "-1"] }], "on days of the month 1 to 7, -1 all day UTC"],
    [[toTimes(weekend), { times: [], weekdays: ["friday"] }], "Sat-Sun 02:00-04:00 Europe/Berlin; Fri all day UTC"],
  ])("times read in one line: %j", (times, words) => expect(timesWords(times)).toBe(words));
});

describe("the first turn", () => {
  const turn = (repeat: Repeat, now: string) => {
    const found = firstTurn(repeat, at(now));
    return found && [new Date(found.start).toISOString(), new Date(found.end).toISOString()];
  };

  test("is the next one, or the one that goes on", () => {
    expect(turn(weekend, "2026-11-19T10:00:00Z")).toEqual(["2026-11-21T01:00:00.000Z", "2026-11-21T03:00:00.000Z"]);
    expect(turn(weekend, "2026-11-21T02:00:00Z")).toEqual(["2026-11-21T01:00:00.000Z", "2026-11-21T03:00:00.000Z"]);
    expect(turn(weekend, "2026-11-21T03:00:00Z")).toEqual(["2026-11-22T01:00:00.000Z", "2026-11-22T03:00:00.000Z"]);
  });

  test("counts the day on which it begins, and not that on which it ends", () => {
    const night: Repeat = { days: [4], from: "22:00", to: "06:00", zone: "UTC" };
    expect(turn(night, "2026-11-21T05:00:00Z")).toEqual(["2026-11-20T22:00:00.000Z", "2026-11-21T06:00:00.000Z"]);
    expect(turn(night, "2026-11-21T06:00:00Z")).toEqual(["2026-11-27T22:00:00.000Z", "2026-11-28T06:00:00.000Z"]);
  });

  test("asks for the day of its own zone", () => {
    const chatham: Repeat = { days: [0], from: "00:30", to: "01:30", zone: "Pacific/Chatham" };
    expect(turn(chatham, "2026-11-20T00:00:00Z")).toEqual(["2026-11-22T10:45:00.000Z", "2026-11-22T11:45:00.000Z"]);
  });

  test("begins with the skip of a night in spring that has no such hour", () => {
    expect(turn({ ...weekend, from: "02:30", to: "04:00" }, "2027-03-27T12:00:00Z")).toEqual(["2027-03-28T01:00:00.000Z", "2027-03-28T02:00:00.000Z"]);
  });

  test("is that of another day where the skip swallows it", () => {
    expect(turn({ days: [6], from: "02:10", to: "02:50", zone: BERLIN }, "2027-03-27T12:00:00Z")).toEqual(["2027-04-04T00:10:00.000Z", "2027-04-04T00:50:00.000Z"]);
  });

  test("lasts an hour longer in the night of autumn", () => {
    expect(turn({ ...weekend, days: [6] }, "2027-10-30T12:00:00Z")).toEqual(["2027-10-31T00:00:00.000Z", "2027-10-31T03:00:00.000Z"]);
  });

  test("is none without a day", () => expect(firstTurn({ ...weekend, days: [] }, 0)).toBeNull());
});

describe("days of the calendar", () => {
  test("a day ends with the midnight of its zone, whatever its length", () => {
    expect(endOfDay("2026-12-22", BERLIN)).toBe(at("2026-12-22T23:00:00Z"));
    expect(endOfDay("2027-03-28", BERLIN)).toBe(at("2027-03-28T22:00:00Z"));
    for (const text of ["", "22.12.2026", "2026-13-01", "2026-12"]) expect(endOfDay(text, BERLIN), text).toBeNull();
  });

  test("the last whole day leaves no more than was asked for", () => {
    expect(lastWholeDay(at("2026-12-22T10:30:00Z"), BERLIN)).toBe("2026-12-21");
    expect(lastWholeDay(at("2026-12-22T23:30:00Z"), BERLIN)).toBe("2026-12-22");
    expect(toDateInput(at("2026-12-22T23:30:00Z"), BERLIN)).toBe("2026-12-23");
  });
});
