import { describe, expect, test } from "vitest";
import { formatMatcher, formatShort, fromSilenceMatcher, matchersFromLabels, parseFilterText, parseMatcher, toSilenceMatcher, type Matcher } from "../src/lib/matchers.ts";

describe("one matcher", () => {
  test.each([
    ["service=checkout", { name: "service", operator: "=", value: "checkout" }],
    ['service="check out"', { name: "service", operator: "=", value: "check out" }],
    ["  severity != info ", { name: "severity", operator: "!=", value: "info" }],
    ["instance=~web-.+", { name: "instance", operator: "=~", value: "web-.+" }],
    ['path!~"/(a|b)"', { name: "path", operator: "!~", value: "/(a|b)" }],
    ['text="a \\"b\\" \\\\ \\n"', { name: "text", operator: "=", value: 'a "b" \\ \n' }],
    ["empty=", { name: "empty", operator: "=", value: "" }],
    ["a==b", { name: "a", operator: "=", value: "=b" }],
  ])("%s", (text, matcher) => expect(parseMatcher(text)).toEqual(matcher));

  test.each(["", "service", "=x", "1a=b", 'open="x', "a=b c=d", 'a="x\\', 'a="b" trailing'])("%j is none", (text) => expect(parseMatcher(text)).toBeNull());

  test("writing and reading is one, whatever stands in the value", () => {
    const values = ["", "x", "a b", 'quote"', "back\\slash", "line\nbreak", "a,b", "ümlaut", "{}", "1:2/3@x.y-z"];
    for (const value of values) {
      for (const operator of ["=", "!=", "=~", "!~"] as const) {
        const matcher: Matcher = { name: "label_1", operator, value };
        expect(parseMatcher(formatMatcher(matcher))).toEqual(matcher);
        expect(parseMatcher(formatShort(matcher))).toEqual(matcher);
        expect(fromSilenceMatcher({ ...toSilenceMatcher(matcher) })).toEqual(matcher);
      }
    }
  });
});

describe("what is typed into the filter", () => {
  const read = (text: string) => {
    const { matchers, words } = parseFilterText(text);
    return { matchers: matchers.map(formatShort), words };
  };
  test.each([
    ["disk full", [], "disk full"],
    ["service=checkout disk", ["service=checkout"], "disk"],
    ["disk service=checkout full severity!=info", ["service=checkout", "severity!=info"], "disk full"],
    ['{service="a b",env=~"p.*"}', ['service="a b"', 'env=~"p.*"'], ""],
    ["service=a,team=b", ["service=a", "team=b"], ""],
    ["   ", [], ""],
    ['open="never', [], 'open="never'],
  ])("%j", (text, matchers, words) => expect(read(text)).toEqual({ matchers, words }));
});

test("a silence from an alert starts with what names it, without its severity", () => {
  const made = matchersFromLabels({ severity: "critical", team: "shop", instance: "a:1", alertname: "Down", replica: "0", service: "web", none: "" });
  expect(made.map(formatShort)).toEqual(["alertname=Down", "service=web", "instance=a:1", "team=shop"]);
});
