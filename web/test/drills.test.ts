import { expect, test } from "vitest";
import type { Drill, DrillResult, ReportPhase } from "../src/api/drills.ts";
import { byPlatform, formatTook, isWithin, niceTop, partsOf, slowest } from "../src/lib/drills.ts";
import { laid } from "../src/lib/report.ts";

test("measured times are exact to the second", () => {
  expect(formatTook(4.93)).toBe("4.9 s");
  expect(formatTook(42)).toBe("42 s");
  expect(formatTook(864)).toBe("14 min 24 s");
  expect(formatTook(900)).toBe("15 min");
  expect(formatTook(3900)).toBe("1 h 5 min");
  expect(formatTook(90_000)).toBe("1 d 1 h");
  expect(formatTook(0)).toBe("0 s");
  expect(formatTook(null)).toBe("–");
  expect(formatTook(59.7)).toBe("1 min");
});

test("a limit is met, missed or not known", () => {
  expect(isWithin(60, 60)).toBe(true);
  expect(isWithin(61, 60)).toBe(false);
  expect(isWithin(null, 60)).toBeNull();
  expect(isWithin(60, null)).toBeNull();
});

const result = (phases: DrillResult["phases"]): DrillResult => ({ run: "r", at: "2026-11-21T00:00:00Z", verdict: "met", missed: [], rto_seconds: 1, rpo_seconds: 1, lost_writes: 0, phases, objective: { rto_seconds: 1, rpo_seconds: 1 } });

test("phases lie one after the other, and those that took no time are left out", () => {
  expect(partsOf(result({ detect: 10, page: null, ack: 0, data: 20 }))).toEqual([
    { phase: "detect", seconds: 10, from: 0 },
    { phase: "data", seconds: 20, from: 10 },
  ]);
});

test("the phase that grew most is named", () => {
  expect(slowest([result({ detect: 10, data: 40 }), result({ detect: 9, data: 20 })])).toEqual({ phase: "data", by: 20 });
  expect(slowest([result({ detect: 10 }), result({}), result({ detect: 4 })])).toEqual({ phase: "detect", by: 6 });
  expect(slowest([result({ detect: 4.5 }), result({ detect: 4 })])).toBeNull();
  expect(slowest([result({ detect: 4 })])).toBeNull();
});

test("platforms with an overdue drill come first", () => {
  const drill = (id: string, platform: string, overdue: boolean) => ({ document: { id, platform }, cadence: { overdue }, results: [] }) as unknown as Drill;
  const groups = byPlatform([drill("b", "shop", false), drill("a", "shop", false), drill("c", "tenk", true), drill("d", "dinner", false)]);
  expect(groups.map((group) => [group.platform, group.drills.map((each) => each.document.id)])).toEqual([
    ["tenk", ["c"]],
    ["dinner", ["d"]],
    ["shop", ["a", "b"]],
  ]);
});

test("a scale holds what it shows", () => {
  expect(niceTop([95])).toBe(120);
  expect(niceTop([])).toBe(10);
  expect(niceTop([100_000])).toBe(172_800);
});

test("the phases of a report share one axis with their budgets", () => {
  const phase = (name: string, from: number | null, seconds: number | null, budget: number | null): ReportPhase => ({ name, from: from === null ? null : new Date(from * 1000).toISOString(), until: from === null || seconds === null ? null : new Date((from + seconds) * 1000).toISOString(), seconds, budget_seconds: budget, ok: null });
  const rows = laid([phase("detect", 1000, 20, 10), phase("data", null, 30, null), phase("never", null, null, null), phase("verify", 1050, 50, 50)]);
  expect(rows.map((each) => [each.phase.name, each.from, each.width, each.budget])).toEqual([
    ["detect", 0, 0.2, 0.1],
    ["data", 0.2, 0.3, null],
    ["verify", 0.5, 0.5, 0.5],
  ]);
  expect(laid([])).toEqual([]);
});
