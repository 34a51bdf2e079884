import type { Labels, WhyLine, WhyStage } from "../api/types.ts";
import { formatMatcher } from "./matchers.ts";
import { WHY_STAGES } from "./search.ts";
import { formatDay, parseInstant, zoneName } from "./time.ts";

export interface WhyDay {
  /** "22 Nov, CET": the day with the zone that its times are in. */
  title: string;
  lines: WhyLine[];
}

/** Returns the lines by days of the zone, in their order; a day on which the clocks change is two, each with the zone of its part. */
export function byDay(lines: readonly WhyLine[], zone: string): WhyDay[] {
  const days: WhyDay[] = [];
  for (const line of lines) {
    const at = parseInstant(line.at) ?? 0;
    const title = `${formatDay(at, zone)}, ${zoneName(at, zone)}`;
    const last = days.at(-1);
    if (last?.title === title) last.lines.push(line);
    else days.push({ title, lines: [line] });
  }
  return days;
}

/** Returns how many lines each stage has, in the order of the way; stages without a line are left out. */
export function stagesOf(lines: readonly WhyLine[]): [WhyStage, number][] {
  return WHY_STAGES.map((stage): [WhyStage, number] => [stage, lines.filter((line) => line.stage === stage).length]).filter(([, count]) => count > 0);
}

export interface SubLine {
  text: string;
  /** How many routes stand above it. */
  depth: number;
  kind: "takes" | "passes" | "refuses" | "plain";
  /** Whether it stays when the rest is folded away. */
  kept: boolean;
}

const ROUTE = /^( *)route /;
const TAKES = /: takes it(, and the next one is asked too)?$/;
const PASSES = /: passes it on$/;
/** A fold that hides less than this saves nothing. */
const FOLD_FROM = 3;
/** Of lines that are no routes, the first so many stay. */
const PLAIN_KEPT = 6;

function kindOf(line: string): SubLine["kind"] {
  if (!ROUTE.test(line)) return "plain";
  if (TAKES.test(line)) return "takes";
  return PASSES.test(line) ? "passes" : "refuses";
}

/** Returns the lines below a line as they are drawn; the routes that neither took the alert nor passed it on can be folded away. */
export function foldLines(more: readonly string[]): { lines: SubLine[]; folded: number; words: string } {
  let plain = 0;
  const lines = more.map((line): SubLine => {
    const kind = kindOf(line);
    if (kind === "plain") plain += 1;
    const blanks = ROUTE.exec(line)?.[1]?.length ?? 0;
    return { text: line.trim(), depth: Math.floor(blanks / 2), kind, kept: kind === "plain" ? plain <= PLAIN_KEPT : kind !== "refuses" };
  });
  const folded = lines.filter((line) => !line.kept);
  if (folded.length < FOLD_FROM) return { lines: lines.map((line) => ({ ...line, kept: true })), folded: 0, words: "" };
  const routes = folded.every((line) => line.kind === "refuses");
  // Those behind a route that took the alert are not asked, and whether they match nobody knows.
  const matched = folded.some((line) => line.text.endsWith(": not asked, one before it took the alert")) ? "did not match or were not asked" : "did not match";
  return { lines, folded: folded.length, words: routes ? `${folded.length} routes that ${matched}` : `${folded.length} more` };
}

/** Returns a text of the server with a capital where it begins with a plain word, as a sentence does. */
export function sentence(text: string): string {
  return /^[a-z]+[ ,:]/.test(text) ? `${text.slice(0, 1).toUpperCase()}${text.slice(1)}` : text;
}

/** Returns what tells one of several alerts from the others, as it would be typed; null where their labels do not. */
export function narrowing(all: readonly Labels[]): string | null {
  const first = all[0];
  if (!first) return null;
  const { alertname = "", ...labels } = first;
  const telling = Object.entries(labels).find(([name, value]) => value !== "" && all.some((other) => other[name] !== value));
  if (telling) return `${alertname}{${formatMatcher({ name: telling[0], operator: "=", value: telling[1] })}}`;
  return all.some((other) => other.alertname !== alertname) ? alertname : null;
}
