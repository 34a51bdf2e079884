import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

// The tokens are the one place that holds colours; every pair that meets on a screen is checked here.
const css = readFileSync(new URL("../src/styles/tokens.css", import.meta.url), "utf8");

function tokens(theme: "dark" | "light"): Map<string, string> {
  const block = new RegExp(`\\[data-theme="${theme}"\\] \\{([^}]*)\\}`).exec(css)?.[1] ?? "";
  return new Map([...block.matchAll(/--([a-z0-9-]+):\s*(#[0-9a-f]{6})/g)].map(([, name, value]) => [name ?? "", value ?? ""]));
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(left: string, right: string): number {
  const [low = 0, high = 0] = [luminance(left), luminance(right)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

const SURFACES = ["bg0", "bg1", "bg2", "bg3"];
const TEXTS = ["text1", "text2"];
const TONES = ["critical", "warning", "info", "ok", "acked"];

for (const theme of ["dark", "light"] as const) {
  const named = tokens(theme);
  const ratio = (left: string, right: string) => {
    const [first, second] = [named.get(left), named.get(right)];
    if (!first || !second) throw new Error(`${left} or ${right} is no colour of the theme ${theme}`);
    return contrast(first, second);
  };

  describe(theme, () => {
    test.each(TEXTS.flatMap((text) => SURFACES.map((surface) => [text, surface])))("%s is read on %s", (text, surface) => expect(ratio(text, surface)).toBeGreaterThanOrEqual(4.5));
    test.each(["bg0", "bg1", "bg2"].map((surface) => ["text3", surface]))("%s is read on %s", (text, surface) => expect(ratio(text, surface)).toBeGreaterThanOrEqual(4.5));
    test.each([...TONES, "quiet", "accent"].flatMap((tone) => [[tone, "bg1"], [tone, "bg2"], [tone, `${tone}-tint`]]))("%s is read on %s", (tone, surface) => expect(ratio(tone, surface)).toBeGreaterThanOrEqual(4.5));
    test.each(["accent-solid", "accent-solid-hover", "critical-solid"])("white is read on %s", (solid) => expect(ratio("on-solid", solid)).toBeGreaterThanOrEqual(4.5));
    test.each([...TONES, "accent", "quiet"].map((tone) => ["text1", `${tone}-tint`]))("%s is read on %s", (text, surface) => expect(ratio(text, surface)).toBeGreaterThanOrEqual(4.5));
    test.each(["bg0", "bg1", "bg2"].flatMap((surface) => [["control-line", surface], ["accent", surface]]))("the edge %s is seen on %s", (edge, surface) => expect(ratio(edge, surface)).toBeGreaterThanOrEqual(3));
    test.each(Array.from({ length: 8 }, (_, index) => `plot-${index + 1}`))("the line %s is seen", (line) => expect(ratio(line, "bg1")).toBeGreaterThanOrEqual(3));
    test.each(["warning-fill", "critical-solid"])("the bar %s is seen", (fill) => expect(ratio(fill, "bg1")).toBeGreaterThanOrEqual(3));
  });
}
