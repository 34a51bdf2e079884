import { describe, expect, test } from "vitest";
import type { Objective, ObjectiveDetail } from "../src/api/objectives.ts";
import { burnDown, burnOver, byService, columnsOf, formatBurn, formatLeft, formatShare, formatTarget, narrowObjectives, standingOf, titleOf } from "../src/lib/objectives.ts";

const from = Date.parse("2026-11-01T00:00:00Z");
const DAY = 86_400_000;

function objective(part: Partial<Objective> & { left?: number; forecast?: string | null }): Objective {
  const { left = 0.8, forecast = null, ...rest } = part;
  return {
    id: "a", slo: "a", name: "a", service: "shop", title: "", target: 0.999, window: { text: "28 days", kind: "rolling", from: new Date(from).toISOString(), until: new Date(from + 28 * DAY).toISOString() },
    method: "occurrences", unit: "events", good: 1, total: 1, sli: 1, budget: { allowed: 10, spent: 2, remaining_share: left, exhausted_at_forecast: forecast }, burn: [{ window_seconds: 3600, rate: 2 }], alerts: [],
    counted_until: null, catching_up: false, low_traffic: false, error: null, file: "", ...rest,
  };
}

const alert = (state: "inactive" | "pending" | "firing", severity = "critical") => ({ name: "quick", severity, state, short_seconds: 300, long_seconds: 3600, factor: 14.4, short_rate: 1, long_rate: 1 });

test("an objective stands as the worst that is true of it", () => {
  expect(standingOf(objective({})).words).toBe("Within budget");
  expect(standingOf(objective({ left: 0.2 })).words).toBe("Budget low");
  expect(standingOf(objective({ left: 0 })).words).toBe("Budget spent");
  expect(standingOf(objective({ left: -0.1, alerts: [alert("firing")] })).words).toBe("Spent, still burning");
  expect(standingOf(objective({ alerts: [alert("firing")] })).tone).toBe("critical");
  expect(standingOf(objective({ alerts: [alert("firing", "ticket")] })).tone).toBe("warning");
  expect(standingOf(objective({ alerts: [alert("pending")] })).words).toBe("Burning soon");
  expect(standingOf(objective({ catching_up: true, left: 0.1 })).words).toBe("Catching up");
  expect(standingOf(objective({ low_traffic: true })).words).toBe("Low traffic");
  expect(standingOf(objective({ sli: null })).words).toBe("No events yet");
  expect(standingOf(objective({ error: "too many series", left: 1 })).tone).toBe("critical");
});

test("a budget of nothing that is overspent is spent", () => {
  const none = objective({});
  none.budget.remaining_share = null;
  expect(standingOf(none).words).toBe("Budget spent");
  expect(formatLeft(none, 0)).toBe("overspent");
  expect(formatLeft(objective({ left: 0.5 }), 0)).toBe("50 %");
});

test("an objective is named with its service once", () => {
  expect(titleOf(objective({ name: "latency" }))).toBe("shop latency");
  expect(titleOf(objective({ name: "shop-latency" }))).toBe("shop-latency");
});

test("services with trouble come first, and so do objectives within them", () => {
  const list = [objective({ id: "fine", service: "b" }), objective({ id: "low", service: "c", left: 0.1 }), objective({ id: "spent", service: "a", left: 0 }), objective({ id: "good", service: "a" })];
  expect(byService(list).map((group) => [group.service, group.objectives.map((each) => each.id)])).toEqual([
    ["a", ["spent", "good"]],
    ["c", ["low"]],
    ["b", ["fine"]],
  ]);
  expect(narrowObjectives(list, "spent").map((each) => each.id)).toEqual(["spent"]);
  expect(narrowObjectives(list, "within a")).toHaveLength(2);
});

describe("numbers for reading", () => {
  test("a share keeps what tells it from the whole", () => {
    expect(formatShare(0.7, 0)).toBe("70 %");
    expect(formatShare(1, 0)).toBe("100 %");
    expect(formatShare(0.9999, 1)).toBe("99.99 %");
    expect(formatShare(0.99999, 0)).toBe("99.99 %");
    expect(formatShare(-0.12, 0)).toBe("-12 %");
    expect(formatShare(0, 0)).toBe("0 %");
  });

  test("a target is written as it was", () => {
    expect(formatTarget(0.999)).toBe("99.9 %");
    expect(formatTarget(0.99999)).toBe("99.999 %");
    expect(formatTarget(0.95)).toBe("95 %");
  });

  test("burn rates", () => {
    expect(formatBurn(14.4)).toBe("14.4×");
    expect(formatBurn(0.123)).toBe("0.12×");
    expect(formatBurn(1234.5)).toBe("1235×");
    expect(formatBurn(null)).toBe("–");
    expect(burnOver(objective({}), 3600)).toBe(2);
    expect(burnOver(objective({}), 21_600)).toBeNull();
  });
});

describe("the plot of a budget", () => {
  const detail = (part: Parameters<typeof objective>[0], days: number[]): ObjectiveDetail => ({ ...objective(part), burn_down: days.map((day) => [from + day * DAY, 1 - day / 40]), errors: [], definition_text: "" });

  test("begins whole, and its pace ends with the window", () => {
    const { times, rows } = burnDown(detail({}, [7, 14]), null);
    expect(times).toEqual([0, 7, 14, 28].map((day) => (from + day * DAY) / 1000));
    expect(rows[0]).toEqual([1, 1 - 7 / 40, 1 - 14 / 40, null]);
    expect(rows[1]).toEqual([1, 0.75, 0.5, 0]);
    expect(rows[2]).toEqual([null, null, null, null]);
  });

  test("goes on at its rate to the day on which it is empty", () => {
    const { times, rows } = burnDown(detail({ forecast: new Date(from + 16 * DAY).toISOString() }, [7, 14]), null);
    expect(times.map((at) => (at * 1000 - from) / DAY)).toEqual([0, 7, 14, 16, 28]);
    expect(rows[2]?.slice(2, 4)).toEqual([1 - 14 / 40, 0]);
    expect(rows[2]?.[4]).toBeNull();
  });

  test("a far end is only pointed to", () => {
    const { times, rows } = burnDown(detail({ forecast: new Date(from + 100 * DAY).toISOString() }, [7, 14]), 7 * DAY);
    expect(times.map((at) => (at * 1000 - from) / DAY)).toEqual([7, 14, 15.75]);
    expect(rows[2]?.at(-1)).toBeGreaterThan(0.6);
  });

  test("without points there is nothing", () => {
    expect(burnDown(detail({}, []), null).times).toEqual([]);
  });
});

test("columns are in order of time, and gaps stay", () => {
  expect(columnsOf([[2000, 5], [1000, null], [Number.NaN, 1]])).toEqual({ times: [1, 2], values: [null, 5] });
});
