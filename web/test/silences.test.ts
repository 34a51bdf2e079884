import { describe, expect, test } from "vitest";
import type { Silence, SilenceHistory } from "../src/api/silences.ts";
import { extended, planOf, revived, startDraft, summaryWords, termsOf, type Draft, type Frame } from "../src/lib/plans.ts";
import { endedWords, endWords, makerOf, mutesWords, pastWords, urgentWords } from "../src/lib/silences.ts";
import { DAY, HOUR, MINUTE } from "../src/lib/time.ts";

const NOW = Date.parse("2026-11-22T10:30:00Z");
const BERLIN = "Europe/Berlin";
const iso = (at: number) => new Date(at).toISOString();
const WEEKEND = { times: [{ start_time: "02:00", end_time: "04:00" }], weekdays: ["saturday", "sunday"], location: BERLIN };

function silence(part: Partial<Silence> = {}): Silence {
  return {
    id: "s1",
    state: "active",
    matchers: [{ name: "service", value: "cart", isRegex: false, isEqual: true }],
    starts_at: iso(NOW - HOUR),
    ends_at: iso(NOW + 42 * MINUTE),
    updated_at: iso(NOW - HOUR),
    created_by: "ada",
    owner: "ada",
    comment: "deploy",
    until_resolved: false,
    times: [],
    next_turn_at: null,
    ended: null,
    firing: 0,
    critical: 0,
    ...part,
  };
}

describe("how a silence ends", () => {
  test.each<[string, Partial<Silence>]>([
    ["ends in 42 min", {}],
    ["ends in 1 h", { starts_at: iso(NOW + 4000), ends_at: iso(NOW + HOUR) }],
    ["ends now", { ends_at: iso(NOW) }],
    ["until its alerts are resolved, at the latest in 4 h", { until_resolved: true, ends_at: iso(NOW + 4 * HOUR) }],
    ["starts in 6 h, for 2 h, until 22 Nov 19:30 CET", { state: "pending", starts_at: iso(NOW + 6 * HOUR), ends_at: iso(NOW + 8 * HOUR) }],
    ["Sat-Sun 02:00-04:00 Europe/Berlin, next in 3 d, until 28 Feb 2027", { state: "pending", times: [WEEKEND], next_turn_at: iso(NOW + 3 * DAY), ends_at: "2027-02-28T23:00:00.000Z" }],
    ["Sat-Sun 02:00-04:00 Europe/Berlin, now for 20 min, until 1 Dec 12:00", { times: [WEEKEND], next_turn_at: iso(NOW + 20 * MINUTE), ends_at: "2026-12-01T11:00:00Z" }],
    ["Sat-Sun 02:00-04:00 Europe/Berlin, next not within two months, until 1 Dec 12:00", { state: "pending", times: [WEEKEND], ends_at: "2026-12-01T11:00:00Z" }],
  ])("%s", (words, part) => expect(endWords(silence(part), NOW, BERLIN)).toBe(words));

  test.each<[string, Silence["ended"]]>([
    ["ended", null],
    ["ended by ada", { why: "person", by: "ada", instead_of: iso(NOW) }],
    ["ended by hand", { why: "person", by: null, instead_of: iso(NOW) }],
    ["replaced by ada", { why: "replaced", by: "ada", instead_of: iso(NOW) }],
    ["replaced", { why: "replaced", instead_of: iso(NOW) }],
    ["ended: its alerts are resolved", { why: "resolved", by: null, instead_of: iso(NOW) }],
  ])("%s", (words, ended) => expect(endedWords(silence({ state: "expired", ended }))).toBe(words));
});

test("what it mutes is counted", () => {
  expect(mutesWords(silence({ firing: 14, critical: 2 }))).toBe("mutes 14 alerts, 2 critical");
  expect(mutesWords(silence({ firing: 1 }))).toBe("mutes 1 alert");
  expect(mutesWords(silence())).toBe("mutes nothing now");
});

test("one stands out that ends soon while alerts fire under it", () => {
  const soon = silence({ firing: 3, ends_at: iso(NOW + 12 * MINUTE) });
  expect(urgentWords(soon, 900, NOW)).toBe("ends in 12 min; 3 alerts fire under it");
  expect(urgentWords({ ...soon, firing: 1 }, null, NOW)).toBe("ends in 12 min; 1 alert fires under it");
  expect(urgentWords(soon, 600, NOW)).toBeNull();
  expect(urgentWords({ ...soon, ends_at: iso(NOW + 20 * MINUTE) }, null, NOW)).toBeNull();
  expect(urgentWords({ ...soon, ends_at: iso(NOW + 20 * MINUTE) }, 3600, NOW)).not.toBeNull();
  expect(urgentWords({ ...soon, firing: 0 }, 900, NOW)).toBeNull();
  expect(urgentWords({ ...soon, state: "pending" }, 900, NOW)).toBeNull();
});

test("who made it is who had signed in; another name stands beside it", () => {
  expect(makerOf(silence())).toEqual({ name: "ada", as: null });
  expect(makerOf(silence({ created_by: "deploy-bot" }))).toEqual({ name: "ada", as: "deploy-bot" });
  expect(makerOf(silence({ owner: null, created_by: "deploy-bot" }))).toEqual({ name: "deploy-bot", as: null });
  expect(makerOf(silence({ owner: null, created_by: "" })).name).toBe("nobody named");
});

describe("what it would have muted", () => {
  const past: SilenceHistory = { from: iso(NOW - 30 * DAY), complete: true, alerts: 212, begins: 240, notifications: 31, pages: 12, last_at: iso(NOW - 2 * HOUR), names: [], services: Array.from({ length: 9 }, (_, index) => ({ name: `s${index}`, begins: 1 })) };

  test("is one sentence", () => {
    expect(pastWords(past, NOW, BERLIN)).toBe("In the last 30 days it would have muted 212 alerts of 9 services: 240 beginnings, 31 notifications, 12 pages; last 2 h ago");
    expect(pastWords({ ...past, services: [] }, NOW, BERLIN)).toContain("212 alerts: 240");
    expect(pastWords({ ...past, services: [...past.services, { name: "x", begins: 1 }] }, NOW, BERLIN)).toContain("of 10 or more services");
  });

  test("says since when it was looked where that is not all", () => {
    expect(pastWords({ ...past, complete: false, from: "2026-11-20T03:12:00Z" }, NOW, BERLIN)).toMatch(/^Since 20 Nov 04:12:00 CET, which is as far back as could be read, it would have muted 212/);
    expect(pastWords({ ...past, begins: 0, complete: false, from: "2026-11-20T03:12:00Z" }, NOW, BERLIN)).toBe("Nothing of this kind fired since 20 Nov 04:12:00 CET, which is as far back as could be read");
  });

  test("may be nothing", () => expect(pastWords({ ...past, begins: 0, alerts: 0 }, NOW, BERLIN)).toBe("Nothing of this kind fired in the last 30 days"));
});

describe("the form", () => {
  const frame: Frame = { now: NOW, startsAt: null, begun: false, zone: BERLIN };
  const draft = (part: Partial<Draft> = {}): Draft => ({ ...startDraft(null, NOW, BERLIN), ...part });
  const said = (part: Partial<Draft>, firing: number | null = null, where = frame) => summaryWords(draft(part), planOf(draft(part), where), where, firing);

  test.each<[Partial<Draft>, number]>([
    [{}, HOUR],
    [{ length: "4h" }, 4 * HOUR],
    [{ length: "24h" }, DAY],
    [{ length: "8:00" }, 20.5 * HOUR],
    [{ length: "exact", exact: "2026-11-22T13:30" }, 2 * HOUR],
    [{ length: "resolved" }, DAY],
    [{ length: "resolved", latest: "3d" }, 3 * DAY],
    [{ length: "resolved", latest: "exact", exact: "2026-11-22T13:30" }, 2 * HOUR],
  ])("%o", (part, span) => {
    const plan = planOf(draft(part), frame);
    expect(plan).toEqual({ endsAt: NOW + span, untilResolved: part.length === "resolved", times: [], faults: {} });
  });

  test("an end that was never or is over is a fault", () => {
    expect(planOf(draft({ length: "exact", exact: "soon" }), frame)).toMatchObject({ endsAt: null, faults: { exact: "Not a date and time" } });
    expect(planOf(draft({ length: "exact", exact: "2026-11-22T11:29" }), frame).faults.exact).toBe("The end lies in the past");
    expect(planOf(draft({ length: "exact", exact: "2026-11-22T13:30" }), { ...frame, startsAt: NOW + 3 * HOUR }).faults.exact).toBe("It would end before it begins");
  });

  test("one that is planned lasts from its start", () => {
    expect(planOf(draft({ length: "4h" }), { ...frame, startsAt: NOW + HOUR }).endsAt).toBe(NOW + 5 * HOUR);
    expect(said({ length: "4h" }, null, { ...frame, startsAt: NOW + HOUR })).toBe("Mutes from 22 Nov 12:30 CET for 4 h, until 22 Nov 16:30 CET");
  });

  test("what repeats asks for its days, hours and zone, until the last day is over", () => {
    const plan = planOf(draft({ length: "repeats", lastDate: "2026-12-22" }), frame);
    expect(plan).toEqual({ endsAt: Date.parse("2026-12-22T23:00:00Z"), untilResolved: false, times: [WEEKEND], faults: {} });
    // Thirty days at most, since that is what a configuration may allow.
    expect(planOf(draft({ length: "repeats" }), frame).endsAt).toBe(Date.parse("2026-12-21T23:00:00Z"));
  });

  test("all faults of what repeats are told", () => {
    const repeat = { days: [], from: "2:00", to: "04:00", zone: "Europe/Atlantis" };
    expect(Object.keys(planOf(draft({ length: "repeats", repeat }), frame).faults).sort()).toEqual(["days", "hours", "last", "zone"]);
    const sound = draft().repeat;
    expect(planOf(draft({ length: "repeats", lastDate: "2026-11-21" }), frame).faults).toEqual({ last: "The end lies in the past" });
    expect(planOf(draft({ length: "repeats", lastDate: "2026-11-25" }), frame).faults).toEqual({ last: "None of its times lies before the end" });
    expect(planOf(draft({ length: "repeats", repeat: { ...sound, to: sound.from } }), frame).faults.hours).toBeDefined();
    expect(planOf(draft({ length: "repeats", repeat: { ...sound, from: "00:00", to: "00:00" } }), frame).faults).toEqual({});
  });

  test("the sentence says what will happen", () => {
    expect(said({})).toBe("Mutes from now on, ends in 1 h, 22 Nov 12:30 CET");
    expect(said({ length: "resolved" }, 14)).toBe("Mutes until its 14 alerts are resolved, at the latest in 1 d, 23 Nov 11:30 CET");
    expect(said({ length: "resolved" }, 1)).toMatch(/^Mutes until its alert is resolved/);
    expect(said({ length: "repeats", lastDate: "2026-12-22" })).toBe("Mutes Sat and Sun 02:00-04:00 Europe/Berlin, for the first time in 5 d 14 h, until 22 Dec");
    expect(said({ length: "repeats", lastDate: "2026-12-22" }, null, { ...frame, begun: true })).toMatch(/Berlin, next in 5 d 14 h, until/);
    const within = { ...frame, now: Date.parse("2026-11-22T01:30:00Z") };
    expect(said({ length: "repeats", lastDate: "2026-12-22" }, null, within)).toBe("Mutes Sat and Sun 02:00-04:00 Europe/Berlin, from now on, until 22 Dec");
    expect(said({ length: "exact", exact: "" })).toBeNull();
  });

  test("what is changed starts as it is", () => {
    const start = (part: Partial<Silence>) => startDraft(silence(part), NOW, BERLIN);
    expect(start({})).toMatchObject({ length: "exact", exact: "2026-11-22T12:12" });
    const odd = Date.parse("2026-11-22T11:12:37Z");
    expect(planOf(start({ ends_at: iso(odd) }), frame).endsAt).toBe(odd);
    expect(planOf({ ...start({ ends_at: iso(odd) }), exact: "2026-11-22T12:15", exactAt: null }, frame).endsAt).toBe(Date.parse("2026-11-22T11:15:00Z"));
    expect(start({ until_resolved: true })).toMatchObject({ length: "resolved", latest: "exact", exact: "2026-11-22T12:12" });
    const recurring = silence({ times: [WEEKEND], ends_at: "2027-02-10T09:15:00.000Z" });
    const draft = startDraft(recurring, NOW, "UTC");
    expect(draft).toMatchObject({ length: "repeats", kept: null, repeat: { days: [5, 6], from: "02:00", to: "04:00", zone: BERLIN }, lastDate: "2027-02-10" });
    // An end within a day stays where it was until another day is chosen.
    expect(planOf(draft, frame)).toMatchObject({ endsAt: Date.parse("2027-02-10T09:15:00Z"), times: [WEEKEND] });
    expect(planOf({ ...draft, lastAt: null }, frame).endsAt).toBe(Date.parse("2027-02-10T23:00:00Z"));
  });

  test("times that the form cannot write stay as they are", () => {
    const times = [{ ...WEEKEND, days_of_month: ["1:7"] }];
    const draft = startDraft(silence({ times, ends_at: "2027-02-10T09:15:00Z" }), NOW, BERLIN);
    expect(planOf(draft, frame)).toEqual({ endsAt: Date.parse("2027-02-10T09:15:00Z"), untilResolved: false, times, faults: {} });
    expect(planOf({ ...draft, kept: null }, frame).times).toEqual([{ times: [{ start_time: "02:00", end_time: "04:00" }], weekdays: ["saturday", "sunday"], location: BERLIN }]);
  });

  test("terms are cut to seconds, so that none is longer than was chosen", () => {
    const endsAt = Date.parse("2026-11-22T10:30:00.999Z");
    expect(termsOf({ endsAt, untilResolved: true, times: [], faults: {} })).toEqual({ ends_at: "2026-11-22T10:30:00.000Z", until_resolved: true, times: [] });
  });
});

describe("wishes", () => {
  const recurring = silence({ until_resolved: false, times: [WEEKEND], ends_at: iso(NOW + 10 * MINUTE) });

  test("an hour more leaves all else as it is, and says what was seen", () => {
    const { matchers, comment, created_by, until_resolved, times, updated_at, starts_at } = recurring;
    expect(extended(recurring, NOW)).toEqual({ id: "s1", seen_at: updated_at, starts_at, ends_at: iso(NOW + 70 * MINUTE), matchers, comment, created_by, until_resolved, times });
    expect(extended({ ...recurring, ends_at: iso(NOW - MINUTE) }, NOW).ends_at).toBe(iso(NOW + HOUR));
  });

  test("what was ended by mistake begins again at once, or when it was to begin", () => {
    expect(revived(recurring, NOW)).not.toHaveProperty("starts_at");
    expect(revived(recurring, NOW)).not.toHaveProperty("id");
    expect(revived(silence({ starts_at: iso(NOW + HOUR) }), NOW).starts_at).toBe(iso(NOW + HOUR));
    expect(revived(recurring, NOW)).toMatchObject({ times: [WEEKEND], ends_at: recurring.ends_at });
  });
});
