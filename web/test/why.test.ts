import { describe, expect, test } from "vitest";
import type { WhyLine, WhyStage } from "../src/api/types.ts";
import { parseSearch, readWhySearch, stringifySearch } from "../src/lib/search.ts";
import { byDay, foldLines, narrowing, sentence, stagesOf } from "../src/lib/why.ts";

const line = (at: string, stage: WhyStage = "group"): WhyLine => ({ at, until: at, times: 1, stage, text: at, more: [] });

describe("the timeline", () => {
  const night = [line("2026-11-21T22:59:59.5Z"), line("2026-11-21T23:00:00Z", "delivery"), line("2026-11-22T10:00:00Z")];

  test("its days are those of the reader's zone", () => {
    expect(byDay(night, "Europe/Berlin").map((day) => [day.title, day.lines.length])).toEqual([
      ["21 Nov, CET", 1],
      ["22 Nov, CET", 2],
    ]);
    expect(byDay(night, "UTC").map((day) => [day.title, day.lines.length])).toEqual([
      ["21 Nov, UTC", 2],
      ["22 Nov, UTC", 1],
    ]);
    expect(byDay([], "UTC")).toEqual([]);
  });

  test("a day on which the clocks change names both zones", () => {
    const change = [line("2026-10-25T00:30:00Z"), line("2026-10-25T01:30:00Z")];
    expect(byDay(change, "Europe/Berlin").map((day) => day.title)).toEqual(["25 Oct, CEST", "25 Oct, CET"]);
  });

  test("its stages are counted in the order of the way", () => {
    expect(stagesOf(night)).toEqual([
      ["group", 2],
      ["delivery", 1],
    ]);
  });
});

describe("the way down the tree", () => {
  const refusing = ["a", "b", "c"].map((team) => `    route {team="${team}"} to ${team}: no, there is no label team`);
  const way = ["route {} to chat: passes it on", '  route {severity="page"} to oncall: takes it, and the next one is asked too', ...refusing];
  const kept = (more: readonly string[]) => foldLines(more).lines.filter((each) => each.kept);

  test("what takes and passes on stays, the rest is folded", () => {
    expect(kept(way).map((each) => [each.depth, each.kind])).toEqual([
      [0, "passes"],
      [1, "takes"],
    ]);
    expect(foldLines(way)).toMatchObject({ folded: 3, words: "3 routes that did not match" });
    expect(foldLines(way).lines[2]).toEqual({ text: 'route {team="a"} to a: no, there is no label team', depth: 2, kind: "refuses", kept: false });
  });

  test("routes that were not asked are called so", () => {
    const late = "  route {} to late: not asked, one before it took the alert";
    expect(foldLines([...way, late]).words).toBe("4 routes that did not match or were not asked");
  });

  test("a label's value cannot make a route look taken", () => {
    const sly = '  route {team="db"} to db: no, team is ": takes it"';
    expect(foldLines([sly]).lines[0]?.kind).toBe("refuses");
  });

  test("a fold that would hide two lines is none", () => {
    expect(kept(way.slice(0, 4))).toHaveLength(4);
    expect(foldLines(way.slice(0, 4)).folded).toBe(0);
  });

  test("other lines stay as they are until there are many", () => {
    const said = Array.from({ length: 10 }, (_, index) => `webhook ${index} is told`);
    expect(kept(said.slice(0, 8))).toHaveLength(8);
    expect(kept(said)).toHaveLength(6);
    expect(foldLines(said).words).toBe("4 more");
  });
});

test("a sentence begins with a capital, a name stays as it is", () => {
  expect(sentence("held back since 07:46 by the silence x")).toBe("Held back since 07:46 by the silence x");
  expect(sentence("alert_relabel_configs drop it")).toBe("alert_relabel_configs drop it");
  expect(sentence("a `for` of at most 5s")).toBe("A `for` of at most 5s");
  expect(sentence("")).toBe("");
});

test("one of several alerts is told from the others by a label that differs", () => {
  const alerts = ["a", "b"].map((instance) => ({ alertname: "Down", job: "api", instance }));
  expect(narrowing(alerts)).toBe('Down{instance="a"}');
  expect(narrowing([{ alertname: "Down", job: "api" }, { alertname: "Up", job: "api" }])).toBe("Down");
  expect(narrowing(alerts.slice(0, 1))).toBeNull();
  expect(narrowing([])).toBeNull();
});

test("the address keeps what was asked", () => {
  const search = { alert: 'Down{job="a b"}', at: "2026-11-21T03:12:00Z", stage: ["group", "delivery"] };
  expect(readWhySearch(parseSearch(stringifySearch(search)))).toEqual(search);
  expect(readWhySearch({ alert: "  ", at: "03:12", stage: ["luck"] })).toEqual({});
});
