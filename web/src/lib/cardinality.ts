import type { Cardinality, Limit, MemoryLevel } from "../api/cardinality.ts";
import { formatBytes } from "./units.ts";

export const SERIES_LISTS = ["metrics", "labels", "values", "targets", "jobs", "refused"] as const;
export type SeriesList = (typeof SERIES_LISTS)[number];

/** One line of a list, whatever the list is of. */
export interface Line {
  key: string;
  /** The words of the line; the second is what the first belongs to, or its value. */
  name: string;
  more: string;
  size: number;
  /** Null where nothing new is counted. */
  fresh: number | null;
  /** Null for no limit. */
  limit: number | null;
  /** What counts against the limit. */
  held: number;
  refused: number;
  /** PromQL that shows it; null where there is none. */
  expr: string | null;
  /** The metric that can be taken apart. */
  metric: string | null;
}

/** Returns a text as PromQL quotes it. */
export function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}

const CLASSIC_METRIC = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const CLASSIC_LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Returns a selector of a metric; names that are not classic stand in quotes. */
export function selectorOf(metric: string): string {
  return CLASSIC_METRIC.test(metric) ? metric : `{${quote(metric)}}`;
}

const labelName = (name: string) => (CLASSIC_LABEL.test(name) ? name : quote(name));
const countBy = (selector: string, ...labels: string[]) => `count by (${labels.map(labelName).join(", ")}) (${selector})`;

/** Returns the query that counts a metric's series by each value of a label. */
export function byLabel(metric: string, label: string): string {
  return `topk(20, count by (${labelName(label)}) (${selectorOf(metric)}))`;
}

/** Returns the relabelling rule that keeps a metric out, as it stands in a job of the configuration. */
export function dropRule(metric: string): string {
  const escaped = metric.replace(/[.*+?()[\]{}|\\^$]/g, "\\$&");
  return `metric_relabel_configs:\n  - {source_labels: [__name__], regex: ${quote(escaped)}, action: drop}`;
}

/** Returns the relabelling rule that takes a label from a metric's series; series that differ in it alone become one. */
export function dropLabelRule(metric: string, label: string): string {
  const escaped = metric.replace(/[.*+?()[\]{}|\\^$]/g, "\\$&");
  return `metric_relabel_configs:\n  - {source_labels: [__name__], regex: ${quote(escaped)}, target_label: ${label}, replacement: ""}`;
}

function line(part: Partial<Line> & Pick<Line, "key" | "name" | "size">): Line {
  return { more: "", fresh: null, limit: null, held: part.size, refused: 0, expr: null, metric: null, ...part };
}

/** Returns the lines of one list. */
export function linesOf(all: Cardinality, list: SeriesList): Line[] {
  switch (list) {
    case "metrics":
      return all.metrics.map((each) => line({ key: each.name, name: each.name, size: each.series, fresh: each.new_series, limit: each.limit, expr: countBy(selectorOf(each.name), "job", "instance"), metric: each.name }));
    case "labels":
      return all.labels.map((each) => line({ key: each.name, name: each.name, size: each.values, fresh: each.new_values, expr: `topk(20, ${countBy(`{${labelName(each.name)}!=""}`, "__name__")})` }));
    case "values":
      return all.label_values.map((each) => line({ key: `${each.name}=${each.value}`, name: each.value, more: each.name, size: each.series, fresh: each.new_series, expr: `topk(20, ${countBy(`{${labelName(each.name)}=${quote(each.value)}}`, "__name__")})` }));
    case "targets":
      return all.targets.map((each) => {
        const selector = `{job=${quote(each.job)}, instance=${quote(each.instance)}}`;
        return line({ key: `${each.job} ${each.instance}`, name: each.instance, more: each.job, size: each.series, fresh: each.new_series, limit: each.limit, held: each.held ?? each.series, refused: each.refused, expr: `topk(20, ${countBy(selector, "__name__")})` });
      });
    case "jobs":
      return all.jobs.map((each) => line({ key: each.job, name: each.job, size: each.series, fresh: each.new_series, expr: `topk(20, ${countBy(`{job=${quote(each.job)}}`, "__name__")})` }));
    case "refused":
      return all.refused.map((each) =>
        line({ key: `${each.limit} ${each.job} ${each.metric}`, name: each.metric || (each.job ? "all other metrics" : "all others together"), more: [each.job, LIMIT_WORDS[each.limit]].filter(Boolean).join(", "), size: each.samples, metric: each.metric || null }),
      );
  }
}

export const LIMIT_WORDS: Record<Limit, string> = {
  target: "limit of its target",
  metric: "limit of the metric",
  process: "limit of the whole store",
  memory: "memory was short",
  labels: "labels too long",
  numbers: "numbers used up",
};

/** Returns lines that match a search, the largest first, or those with most that is new. */
export function sortLines(lines: readonly Line[], by: "size" | "new", text: string): Line[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const hit = lines.filter((each) => words.every((word) => `${each.more} ${each.name}`.toLowerCase().includes(word)));
  const rank = (each: Line) => (by === "new" ? [each.fresh ?? 0, each.size] : [each.size, each.fresh ?? 0]);
  return hit.toSorted((left, right) => {
    const [one = 0, two = 0] = rank(left);
    const [first = 0, second = 0] = rank(right);
    return first - one || second - two || left.name.localeCompare(right.name);
  });
}

/** How the memory stands, in words. */
export function memoryWords(memory: Cardinality["memory"]): { value: string; note: string; tone: "plain" | "warning" | "critical" } {
  const value = formatBytes(memory.used_bytes);
  if (memory.budget_bytes === null) return { value, note: "no budget is set", tone: "plain" };
  const share = Math.round((100 * memory.used_bytes) / memory.budget_bytes);
  const words: Record<MemoryLevel, string> = { calm: "", flush: ", samples move to blocks early", close: ", new series are refused", shed: ", new series and queries are refused" };
  return { value, note: `${share} % of ${formatBytes(memory.budget_bytes)}${words[memory.level]}`, tone: memory.level === "calm" ? "plain" : memory.level === "flush" ? "warning" : "critical" };
}
