import { expect, test } from "vitest";
import type { Cardinality } from "../src/api/cardinality.ts";
import { byLabel, dropRule, linesOf, memoryWords, quote, selectorOf, sortLines } from "../src/lib/cardinality.ts";
import { readSeriesSearch } from "../src/lib/search.ts";

const GIB = 1024 ** 3;

function all(part: Partial<Cardinality>): Cardinality {
  return {
    server_time: "2026-11-21T00:00:00Z", series: 100, series_limit: 1000, new_series: 5, counted_since: null,
    memory: { budget_bytes: null, used_bytes: GIB, counted_bytes: 0, level: "calm" },
    moments: [], metrics: [], labels: [], label_values: [], jobs: [], targets: [], refused: [], ...part,
  };
}

test("names that are not classic stand in quotes", () => {
  expect(selectorOf("http_requests:rate5m")).toBe("http_requests:rate5m");
  expect(selectorOf("http.requests")).toBe('{"http.requests"}');
  expect(quote('a"b\\c\nd')).toBe('"a\\"b\\\\c\\nd"');
  expect(byLabel("up", "k8s.pod")).toBe('topk(20, count by ("k8s.pod") (up))');
});

test("a rule drops one metric and no other", () => {
  expect(dropRule("a.b+c")).toContain('regex: "a\\\\.b\\\\+c", action: drop');
  expect(dropRule("up")).toContain('regex: "up", action: drop');
});

test("lines are sorted by size or by what is new", () => {
  const data = all({
    metrics: [
      { name: "large", series: 90, new_series: 0, limit: null },
      { name: "grows", series: 10, new_series: 5, limit: 10 },
    ],
  });
  const names = (by: "size" | "new", text = "") => sortLines(linesOf(data, "metrics"), by, text).map((line) => line.name);
  expect(names("size")).toEqual(["large", "grows"]);
  expect(names("new")).toEqual(["grows", "large"]);
  expect(names("size", "GRO")).toEqual(["grows"]);
});

test("each line leads to a query that shows it", () => {
  const data = all({
    label_values: [{ name: "path", value: 'a"b', series: 3, new_series: 0 }],
    targets: [{ job: "shop", instance: "a:1", series: 9, new_series: 2, limit: 10, held: 10, refused: 4 }],
    refused: [{ job: "", metric: "", limit: "target", samples: 7, last_at: "" }],
  });
  expect(linesOf(data, "values")[0]?.expr).toBe('topk(20, count by (__name__) ({path="a\\"b"}))');
  const [target] = linesOf(data, "targets");
  expect([target?.expr, target?.held, target?.refused]).toEqual(['topk(20, count by (__name__) ({job="shop", instance="a:1"}))', 10, 4]);
  expect(linesOf(data, "refused")[0]).toMatchObject({ name: "all others together", expr: null, metric: null });
});

test("memory is told with what gives way", () => {
  expect(memoryWords(all({}).memory)).toEqual({ value: "1 GiB", note: "no budget is set", tone: "plain" });
  expect(memoryWords({ budget_bytes: 2 * GIB, used_bytes: 1.9 * GIB, counted_bytes: 0, level: "shed" })).toMatchObject({ note: "95 % of 2 GiB, new series and queries are refused", tone: "critical" });
});

test("the address holds the list and its order", () => {
  expect(readSeriesSearch({ by: "targets", sort: "new", metric: "up", q: "" })).toEqual({ by: "targets", sort: "new", metric: "up" });
  expect(readSeriesSearch({ by: "nothing", sort: "up" })).toEqual({});
});
