import { describe, expect, test } from "vitest";
import { blocksOf } from "../src/lib/history.ts";
import { safeLink } from "../src/lib/links.ts";
import { spanOfError, unitsOfBytes } from "../src/lib/position.ts";
import { frameOf, isPartOf, lastOf, readSample } from "../src/lib/series.ts";
import { narrowTargets } from "../src/lib/targets.ts";
import { splitThreshold } from "../src/lib/threshold.ts";
import { HOUR } from "../src/lib/time.ts";
import { formatBytes, formatCount, formatNumber, formatSeconds, formatValue, keepSpans, plural } from "../src/lib/units.ts";
import type { Job, Target } from "../src/api/types.ts";

test("no line ends between a number and its unit", () => {
  expect(keepSpans("ends in 3 h 12 min; 3 alerts fire, in 2 d")).toBe("ends in 3\u00a0h 12\u00a0min; 3 alerts fire, in 2\u00a0d");
  expect(keepSpans("22 Nov 12:46 CET, 4 have, 5 seconds")).toBe("22 Nov 12:46 CET, 4 have, 5 seconds");
});

describe("numbers have three digits", () => {
  test.each([
    [0, "0"],
    [3, "3"],
    [0.1273, "0.127"],
    [0.00421, "0.00421"],
    [0.0000123, "1.23e-5"],
    [15.84, "15.8"],
    [999.9, "1000"],
    [3214.2, "3214"],
    [18_204, "18.2 k"],
    [-18_204, "-18.2 k"],
    [1_500_000, "1.5 M"],
    [2.5e13, "25 T"],
    [Number.NaN, "NaN"],
    [Number.POSITIVE_INFINITY, "+Inf"],
    [Number.NEGATIVE_INFINITY, "-Inf"],
  ])("%d reads %s", (value, words) => expect(formatNumber(value)).toBe(words));
});

test("other units", () => {
  expect(formatCount(48_213)).toBe("48\u202f213");
  expect(formatBytes(73_400_320)).toBe("70 MiB");
  expect(formatBytes(0)).toBe("0 B");
  expect(formatSeconds(0.0041)).toBe("4.1 ms");
  expect(formatSeconds(0.00002)).toBe("20 µs");
  expect(formatSeconds(10)).toBe("10 s");
  expect(formatValue("18204")).toBe("18.2 k");
  expect(formatValue("up and away")).toBe("up and away");
  expect(plural(1, "alert")).toBe("1 alert");
  expect(plural(0, "alert")).toBe("0 alerts");
});

test("only web addresses are followed", () => {
  expect(safeLink("https://a.example/x")).toBe("https://a.example/x");
  for (const bad of ["javascript:alert(1)", "data:text/html,x", "//a.example", "runbook", "", undefined, "file:///etc/passwd"]) expect(safeLink(bad)).toBeNull();
});

describe("places of errors", () => {
  test("bytes become the units of the editor", () => {
    expect(unitsOfBytes("aé😀b", 0)).toBe(0);
    expect(unitsOfBytes("aé😀b", 1)).toBe(1);
    expect(unitsOfBytes("aé😀b", 3)).toBe(2);
    expect(unitsOfBytes("aé😀b", 7)).toBe(4);
    expect(unitsOfBytes("ab", 99)).toBe(2);
  });

  test("the server's offsets win over the message", () => {
    expect(spanOfError("sum(x", "1:1: parse error: x", { start: 3, end: 4 })).toEqual({ from: 3, to: 4 });
  });

  test("a message with line and column is enough", () => {
    expect(spanOfError("a\n b)", "2:3: parse error: unexpected )", null)).toEqual({ from: 4, to: 5 });
    expect(spanOfError("sum(", '1:5: parse error: unexpected end', null)).toEqual({ from: 3, to: 4 });
  });

  test("an error without a place has none", () => {
    expect(spanOfError("up", "the query took too long", null)).toBeNull();
    expect(spanOfError("", "1:1: parse error: no expression found", { start: 0, end: 0 })).toEqual({ from: 0, to: 0 });
  });
});

describe("series", () => {
  test("lie on one axis, with gaps where nothing was measured", () => {
    const frame = frameOf([{ values: [[10, "1"], [30, "3"]] }, { values: [[20, "NaN"], [25, "9"], [999, "1"]] }, {}], 10, 30, 10);
    expect(frame.times).toEqual([10, 20, 30]);
    expect(frame.rows).toEqual([[1, null, 3], [null, null, 9], [null, null, null]]);
    expect(lastOf(frame.rows[1]!)).toBe(9);
    expect(lastOf(frame.rows[2]!)).toBeNull();
  });

  test("samples read as Prometheus writes them", () => {
    expect([readSample("+Inf"), readSample("-Inf"), readSample("1e3")]).toEqual([Infinity, -Infinity, 1000]);
    expect(readSample("")).toBeNaN();
  });

  test("labels of a part are found in the whole", () => {
    expect(isPartOf({ __name__: "up", job: "a" }, { job: "a", instance: "b" })).toBe(true);
    expect(isPartOf({ job: "b" }, { job: "a" })).toBe(false);
  });
});

describe("limits of rules", () => {
  test.each([
    ["up == 0", "up", "==", 0],
    ["rate(x[5m]) / rate(y[5m]) > 0.05", "rate(x[5m]) / rate(y[5m])", ">", 0.05],
    ["predict_linear(free[1h], 4 * 3600) < -1e3", "predict_linear(free[1h], 4 * 3600)", "<", -1000],
    ["a >= bool 3", "a", ">=", 3],
    ['x{a=">"} != 2', 'x{a=">"}', "!=", 2],
  ])("%s", (rule, expr, operator, limit) => expect(splitThreshold(rule)).toEqual({ expr, operator, limit }));

  test.each(["up", "a > 1 and b > 2", "count(up == 0)", "absent(up)", "1 < up", "a > on(x) b", 'label_replace(up, "a", "> 1'])("%s has none", (rule) => expect(splitThreshold(rule)).toBeNull());
});

test("the last 24 hours are the worst of each", () => {
  const end = Date.parse("2026-11-21T12:00:00Z");
  const iso = (before: number) => new Date(end - before).toISOString();
  const blocks = blocksOf(
    [
      { at: iso(1.5 * HOUR), state: "resolved" },
      { at: iso(3.5 * HOUR), state: "firing" },
      { at: iso(4.5 * HOUR), state: "pending" },
    ],
    end,
  );
  expect(blocks).toHaveLength(24);
  expect(blocks.slice(18)).toEqual([null, "pending", "firing", "firing", "firing", "resolved"]);
});

test("targets that are down come first, and words narrow them", () => {
  const target = (url: string, health: Target["health"], error = ""): Target => ({ url, health, labels: { instance: url }, discovered_labels: {}, last_scrape_at: null, last_duration_seconds: 0, last_error: error, samples: 0, interval_seconds: 15, timeout_seconds: 10, series_limit: null, series_held: null, series_refused: 0, series_refusal: "" });
  const jobs: Job[] = [
    { name: "a", up: 1, total: 1, targets: [target("a1", "up")], dropped: 0 },
    { name: "b", up: 1, total: 2, targets: [target("b1", "up"), target("b2", "down", "refused")], dropped: 0 },
    { name: "c", up: 0, total: 0, targets: [], dropped: 3 },
  ];
  const names = (text: string, down = false) => narrowTargets(jobs, text, down ? "down" : undefined).map((job) => `${job.name}:${job.targets.map((each) => each.url).join()}`);
  expect(names("")).toEqual(["b:b2,b1", "a:a1", "c:"]);
  expect(names("refused")).toEqual(["b:b2"]);
  expect(names("instance=a1")).toEqual(["a:a1"]);
  expect(names("", true)).toEqual(["b:b2"]);
});
