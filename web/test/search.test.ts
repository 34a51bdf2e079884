import { describe, expect, test } from "vitest";
import {
  parseSearch,
  readAlertsSearch,
  readDocumentSearch,
  readDocumentsSearch,
  readDrillsSearch,
  readExploreSearch,
  readNotificationsSearch,
  readObjectiveSearch,
  readObjectivesSearch,
  readRulesSearch,
  readRunsSearch,
  readSilencesSearch,
  readTargetsSearch,
  readValues,
  stepFor,
  stringifySearch,
  writeValues,
} from "../src/lib/search.ts";
import { DAY, HOUR } from "../src/lib/time.ts";

test("a name that is given twice is a list, and comes back as it was", () => {
  const text = "?filter=a%3Db&filter=c%21%3Dd&q=x+y";
  expect(parseSearch(text)).toEqual({ filter: ["a=b", "c!=d"], q: "x y" });
  expect(stringifySearch(parseSearch(text))).toBe(text);
});

test("what is not set is not written", () => {
  expect(stringifySearch({ a: undefined, b: null, c: [], d: {} })).toBe("");
  expect(stringifySearch({ a: "", b: 0, c: false })).toBe("?a=&b=0&c=false");
});

describe("alerts", () => {
  test("everything that can be read is", () => {
    expect(readAlertsSearch(parseSearch("?filter=severity%3D%22critical%22&state=firing&state=silenced&q=disk&group=team&alert=00ab"))).toEqual({
      filter: ["severity=critical"],
      state: ["firing", "silenced"],
      q: "disk",
      group: "team",
      alert: "00ab",
    });
  });

  test("what cannot be read is left out", () => {
    expect(readAlertsSearch({ filter: ["no matcher", 7], state: ["burning"], group: "a b", alert: "../../etc", q: "", other: "x" })).toEqual({});
  });

  test("a link to a page is kept until its alert is known", () => {
    expect(readAlertsSearch({ page: "p1" })).toEqual({ page: "p1" });
    expect(readAlertsSearch({ page: "p1", alert: "00ab" })).toEqual({ alert: "00ab" });
  });

  test("an open silence form without matchers stays open", () => {
    expect(readAlertsSearch({ silence: "" })).toEqual({ silence: [""] });
    expect(readAlertsSearch({ silence: ["a=b", "nonsense"] })).toEqual({ silence: ["a=b"] });
    expect(readSilencesSearch({ silence: "", show: "all" })).toEqual({ silence: [""], show: "all" });
    expect(readSilencesSearch({ change: "3fa4-9b" })).toEqual({ change: "3fa4-9b" });
    expect(readSilencesSearch({ change: "../x" })).toEqual({});
  });

  test("reading what was read changes nothing", () => {
    const once = readAlertsSearch(parseSearch("?filter=a%3D%22b%20c%22&state=firing&silence=x%3Dy"));
    expect(readAlertsSearch(parseSearch(stringifySearch({ ...once })))).toEqual(once);
  });

  test("a list of matchers is bounded", () => {
    expect(readAlertsSearch({ filter: Array.from({ length: 500 }, (_, index) => `a=${index}`) }).filter).toHaveLength(50);
  });
});

test("the other screens keep what they know", () => {
  expect(readNotificationsSearch({ state: "rejected", channel: "slack", before: "d1", delivery: "d2", x: "y" })).toEqual({ state: "rejected", channel: "slack", before: "d1", delivery: "d2" });
  expect(readNotificationsSearch({ state: "lost" })).toEqual({});
  expect(readRulesSearch({ show: "failing", q: "x" })).toEqual({ show: "failing", q: "x" });
  expect(readTargetsSearch({ show: "up" })).toEqual({});
  expect(readExploreSearch({ expr: "up", range: "6h", step: "30s", end: "2026-11-21T00:00:00Z", tab: "table" })).toEqual({ expr: "up", range: "6h", step: "30s", end: "2026-11-21T00:00:00Z", tab: "table" });
  expect(readExploreSearch({ range: "soon", step: "-1", end: "yesterday", tab: "raw" })).toEqual({});
});

test("runs, documents, objectives and drills keep what they know", () => {
  expect(readRunsSearch({ state: "open", kind: "drill", platform: "shop", doc: "demo", before: "r1", x: "y" })).toEqual({ state: "open", kind: "drill", platform: "shop", doc: "demo", before: "r1" });
  expect(readRunsSearch({ state: "lost", kind: "recipe", platform: "a".repeat(300) })).toEqual({});
  expect(readDocumentsSearch({ q: "x", kind: "runbook", platform: "shop" })).toEqual({ q: "x", kind: "runbook", platform: "shop" });
  expect(readObjectivesSearch({ q: "x", show: "trouble" })).toEqual({ q: "x", show: "trouble" });
  expect(readObjectiveSearch({ range: "7d" })).toEqual({ range: "7d" });
  expect(readObjectiveSearch({ range: "soon" })).toEqual({});
  expect(readDrillsSearch({ open: "demo" })).toEqual({ open: "demo" });
});

test("the values of a run stand in the address, and only while its form is open", () => {
  const values = { worker: "shop-worker", note: "a=b" };
  const search = { start: "run", set: writeValues(values) };
  expect(readDocumentSearch(parseSearch(stringifySearch(search)))).toEqual(search);
  expect(readValues(search.set)).toEqual(values);
  expect(readDocumentSearch({ set: ["a=b"] })).toEqual({});
  expect(readDocumentSearch({ start: "run", set: ["nothing"] })).toEqual({ start: "run" });
});

test("a step is pleasant and keeps the plot below its points", () => {
  for (const range of [60_000, HOUR, 6 * HOUR, DAY, 30 * DAY, 400 * DAY]) {
    const step = stepFor(range);
    expect(range / 1000 / step).toBeLessThanOrEqual(250);
  }
  expect(stepFor(HOUR)).toBe(15);
});
