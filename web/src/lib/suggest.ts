import type { Alert } from "../api/types.ts";
import { formatShort } from "./matchers.ts";

const MOST = 8;

/** Returns how the last word of a filter could go on: names of labels, then values, the most frequent first. */
export function suggest(text: string, alerts: readonly Alert[]): string[] {
  const word = /\S*$/.exec(text)?.[0] ?? "";
  const typed = /^([a-zA-Z_][a-zA-Z0-9_]*)=(?!~)"?(.*?)"?$/.exec(word);
  const found = new Map<string, number>();
  const add = (key: string) => found.set(key, (found.get(key) ?? 0) + 1);
  for (const alert of alerts) {
    for (const [name, value] of Object.entries(alert.labels)) {
      if (typed) {
        if (name === typed[1] && value.toLowerCase().startsWith((typed[2] ?? "").toLowerCase())) add(formatShort({ name, operator: "=", value }));
      } else if (name.toLowerCase().startsWith(word.toLowerCase())) add(`${name}=`);
    }
  }
  return [...found]
    .sort(([leftKey, left], [rightKey, right]) => right - left || leftKey.localeCompare(rightKey))
    .slice(0, MOST)
    .map(([key]) => key);
}
