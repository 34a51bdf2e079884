import { describe, expect, test } from "vitest";
import type { Param } from "../src/api/runs.ts";
import { boundsOf, faultOf, startText, textOf } from "../src/lib/params.ts";

const param = (part: Partial<Param>): Param => ({ name: "p", type: "int", required: false, default: null, min: null, max: null, values: null, of: null, ...part });

describe("whether a text can be the value", () => {
  test.each<[string, Param, string, boolean]>([
    ["a whole number", param({ min: 10, max: 100 }), "10", true],
    ["a number below the bounds", param({ min: 10, max: 100 }), "9", false],
    ["a number above the bounds", param({ min: 10, max: 100 }), "101", false],
    ["a fraction for a whole number", param({}), "1.5", false],
    ["words for a whole number", param({}), "ten", false],
    ["bounds that are texts", param({ min: "10", max: "100" }), "9", false],
    ["a fraction", param({ type: "float", min: 0.1, max: 0.9 }), "0.5", true],
    ["a fraction outside", param({ type: "float", min: 0.1, max: 0.9 }), "1", false],
    ["an exponent", param({ type: "float" }), "1e-3", true],
    ["a duration", param({ type: "duration", min: "1s", max: "2m" }), "1m30s", true],
    ["a duration that is too long", param({ type: "duration", min: "1s", max: "2m" }), "3m", false],
    ["a duration with bounds in milliseconds", param({ type: "duration", min: 1000, max: 120_000 }), "3m", false],
    ["a number for a duration", param({ type: "duration" }), "30", false],
    ["a truth value", param({ type: "bool" }), "true", true],
    ["a word that some readers take for a truth value", param({ type: "bool" }), "yes", false],
    ["one of a list", param({ type: "enum", values: ["a", "b"] }), "b", true],
    ["one not of a list", param({ type: "enum", values: ["a", "b"] }), "c", false],
    ["a name", param({ type: "name", of: "database" }), "shop-primary.eu:1", true],
    ["a name with a blank", param({ type: "name" }), "a b", false],
    ["a name that climbs", param({ type: "name" }), "a..b", false],
    ["a name that begins with a dash", param({ type: "name" }), "-rf", false],
    ["nothing, where it may be left out", param({}), "", true],
    ["nothing, where there is a default", param({ required: true, default: 5 }), "", true],
    ["nothing, where it is needed", param({ required: true }), "", false],
  ])("%s", (_name, of, text, fits) => expect(faultOf(of, text) === null).toBe(fits));
});

test("bounds are told in words", () => {
  expect(boundsOf(param({ min: 10, max: 100 }))).toBe("A whole number, 10 to 100");
  expect(boundsOf(param({ min: 10 }))).toBe("A whole number, 10 or more");
  expect(boundsOf(param({ type: "duration", min: 1000, max: "2m" }))).toBe("A duration such as 30s or 1h30m, 1s to 2m");
  expect(boundsOf(param({ type: "name", of: "database" }))).toBe("The name of a database");
  expect(boundsOf(param({ type: "enum", values: ["a", "b"] }))).toBe("One of a, b");
});

test("a field starts with what is given, then with the default", () => {
  expect(startText(param({ default: 5 }), { p: "7" })).toBe("7");
  expect(startText(param({ default: 5 }), {})).toBe("5");
  expect(startText(param({ type: "duration", default: 90_000 }), {})).toBe("1m30s");
  expect(startText(param({ type: "enum", required: true, values: ["only"] }), {})).toBe("only");
  expect(startText(param({ type: "enum", required: true, values: ["a", "b"] }), {})).toBe("");
  expect(startText(param({ type: "bool" }), {})).toBe("false");
});

test("values of any shape become text", () => {
  expect(textOf(null)).toBe("");
  expect(textOf(12)).toBe("12");
  expect(textOf({ int: 3 })).toBe('{"int":3}');
});
