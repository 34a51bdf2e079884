import type { Labels, SilenceMatcher } from "../api/types.ts";

export type Operator = "=" | "!=" | "=~" | "!~";

export interface Matcher {
  name: string;
  operator: Operator;
  value: string;
}

const HEAD = /^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*/;
const PLAIN = /^[a-zA-Z0-9_.:/@+-]+$/;

/** Returns the matcher that the text starts with and what follows it, or null. */
function takeMatcher(text: string): { matcher: Matcher; rest: string } | null {
  const head = HEAD.exec(text);
  if (!head) return null;
  const [whole, name, operator] = head;
  const tail = text.slice(whole.length);
  const value = tail.startsWith('"') ? takeQuoted(tail) : takeBare(tail);
  if (!value || !name) return null;
  return { matcher: { name, operator: operator as Operator, value: value.value }, rest: value.rest };
}

function takeQuoted(text: string): { value: string; rest: string } | null {
  let value = "";
  for (let index = 1; index < text.length; index += 1) {
    const char = text[index];
    if (char === '"') return { value, rest: text.slice(index + 1) };
    if (char === "\\") {
      index += 1;
      const escaped = text[index];
      if (escaped === undefined) return null;
      value += escaped === "n" ? "\n" : escaped === "t" ? "\t" : escaped;
    } else {
      value += char;
    }
  }
  return null;
}

function takeBare(text: string): { value: string; rest: string } {
  const end = text.search(/[\s,]/);
  return end < 0 ? { value: text, rest: "" } : { value: text.slice(0, end), rest: text.slice(end) };
}

/** Returns the one matcher that the text is, or null when it is something else or more. */
export function parseMatcher(text: string): Matcher | null {
  const taken = takeMatcher(text);
  return taken && taken.rest.trim() === "" ? taken.matcher : null;
}

/** Returns the matchers in what was typed into a filter box, and the words that are none, in order. */
export function parseFilterText(text: string): { matchers: Matcher[]; words: string } {
  const matchers: Matcher[] = [];
  const words: string[] = [];
  let rest = text.trim().replace(/^\{(.*)\}$/s, "$1");
  while (rest !== "") {
    const taken = takeMatcher(rest);
    if (taken) {
      matchers.push(taken.matcher);
      rest = taken.rest.replace(/^[\s,]+/, "");
      continue;
    }
    const { value, rest: after } = takeBare(rest);
    if (value !== "") words.push(value);
    rest = after.replace(/^[\s,]+/, "");
  }
  return { matchers, words: words.join(" ") };
}

/** Returns the matcher as the server reads it, always quoted. */
export function formatMatcher(matcher: Matcher): string {
  const escaped = matcher.value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");
  return `${matcher.name}${matcher.operator}"${escaped}"`;
}

/** Returns the matcher as a reader types it: quotes only where they are needed. */
export function formatShort(matcher: Matcher): string {
  return PLAIN.test(matcher.value) ? `${matcher.name}${matcher.operator}${matcher.value}` : formatMatcher(matcher);
}

export function toSilenceMatcher(matcher: Matcher): SilenceMatcher {
  return {
    name: matcher.name,
    value: matcher.value,
    isRegex: matcher.operator.endsWith("~"),
    isEqual: matcher.operator.startsWith("="),
  };
}

export function fromSilenceMatcher(matcher: SilenceMatcher): Matcher {
  const operator: Operator = matcher.isRegex ? (matcher.isEqual ? "=~" : "!~") : matcher.isEqual ? "=" : "!=";
  return { name: matcher.name, operator, value: matcher.value };
}

export function sameMatcher(left: Matcher, right: Matcher): boolean {
  return left.name === right.name && left.operator === right.operator && left.value === right.value;
}

/**
 * Returns what a silence made from an alert should match.
 * The severity and labels that only say where the alert came from are left out: they would make the silence miss its siblings.
 */
export function matchersFromLabels(labels: Labels): Matcher[] {
  const skipped = new Set(["severity", "prometheus", "replica", "monitor", "tenant"]);
  return Object.keys(labels)
    .filter((name) => !skipped.has(name) && labels[name] !== "")
    .sort((left, right) => rank(left) - rank(right) || left.localeCompare(right))
    .map((name) => ({ name, operator: "=", value: labels[name] ?? "" }));
}

function rank(name: string): number {
  return name === "alertname" ? 0 : name === "service" || name === "job" ? 1 : name === "instance" ? 2 : 3;
}
