import type { Objective, ObjectiveDetail } from "../api/objectives.ts";
import { parseInstant } from "./time.ts";

export type ObjectiveTone = "critical" | "warning" | "ok" | "quiet";

/** Below this share of its budget an objective is worth a look even when nothing burns. */
export const LOW_BUDGET = 0.25;

export interface Standing {
  rank: number;
  tone: ObjectiveTone;
  words: string;
}

/** Returns the share of the budget that is left; a budget of nothing that is overspent counts as spent once more. */
export function leftOf(objective: Objective): number {
  return objective.budget.remaining_share ?? -1;
}

/** Returns what is left of a budget as text. */
export function formatLeft(objective: Objective, digits: number): string {
  return objective.budget.remaining_share === null ? "overspent" : formatShare(objective.budget.remaining_share, digits);
}

/** Returns what an objective is called beside others: with its service, unless the name says it already. */
export function titleOf(objective: Objective): string {
  return objective.service === "" || objective.name.startsWith(objective.service) ? objective.name : `${objective.service} ${objective.name}`;
}

/** Returns how an objective stands, in a word or two: the worst thing that is true of it. */
export function standingOf(objective: Objective): Standing {
  if (objective.error !== null) return { rank: 0, tone: "critical", words: "Cannot be counted" };
  const firing = objective.alerts.filter((each) => each.state === "firing");
  const left = leftOf(objective);
  if (left <= 0) return { rank: 1, tone: "critical", words: firing.length > 0 ? "Spent, still burning" : "Budget spent" };
  if (firing.length > 0) return { rank: 2, tone: firing.some((each) => each.severity === "critical" || each.severity === "page") ? "critical" : "warning", words: "Burning" };
  if (objective.catching_up) return { rank: 5, tone: "quiet", words: "Catching up" };
  if (objective.sli === null) return { rank: 6, tone: "quiet", words: "No events yet" };
  if (left < LOW_BUDGET) return { rank: 3, tone: "warning", words: "Budget low" };
  if (objective.alerts.some((each) => each.state === "pending")) return { rank: 4, tone: "warning", words: "Burning soon" };
  if (objective.low_traffic) return { rank: 7, tone: "quiet", words: "Low traffic" };
  return { rank: 8, tone: "ok", words: "Within budget" };
}

export interface ServiceGroup {
  service: string;
  objectives: Objective[];
}

/** Returns the objectives by service: the service with the worst one first, and the worst first within each. */
export function byService(objectives: readonly Objective[]): ServiceGroup[] {
  const groups = new Map<string, Objective[]>();
  for (const each of objectives) groups.set(each.service, [...(groups.get(each.service) ?? []), each]);
  const order = (left: Objective, right: Objective) =>
    standingOf(left).rank - standingOf(right).rank || leftOf(left) - leftOf(right) || left.id.localeCompare(right.id);
  const worst = (group: ServiceGroup) => Math.min(...group.objectives.map((each) => standingOf(each).rank));
  return [...groups]
    .map(([service, list]) => ({ service, objectives: list.toSorted(order) }))
    .toSorted((left, right) => worst(left) - worst(right) || left.service.localeCompare(right.service));
}

/** Returns the objectives that hold every word, in their names, services or states. */
export function narrowObjectives(objectives: readonly Objective[], text: string): Objective[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return objectives.filter((each) => {
    const where = `${each.id} ${each.slo} ${each.name} ${each.title} ${each.service} ${standingOf(each).words}`.toLowerCase();
    return words.every((word) => where.includes(word));
  });
}

/** Returns the burn rate over a window, or null when it is not known. Unit of the window: seconds. */
export function burnOver(objective: Objective, seconds: number): number | null {
  return objective.burn.find((each) => each.window_seconds === seconds)?.rate ?? null;
}

/** Returns a share as percent, with as many digits as tell it from a whole: 99.9, 99.95, 100. */
export function formatShare(share: number, digits = 2): string {
  const percent = share * 100;
  const text = String(Number(percent.toFixed(digits)));
  // A share below one must not be shown as the whole.
  if (text === "100" && share < 1) return `${Math.floor(percent * 10 ** (digits + 2)) / 10 ** (digits + 2)} %`;
  return `${text} %`;
}

/** Returns the target as it is written: as many digits as it has. */
export function formatTarget(target: number): string {
  return `${Number((target * 100).toPrecision(8))} %`;
}

/** Returns a burn rate: "14.4x". One is the pace that spends the budget exactly at the end of the window. */
export function formatBurn(rate: number | null): string {
  if (rate === null) return "–";
  return `${rate >= 100 ? Math.round(rate) : Number(rate.toFixed(rate >= 10 ? 1 : 2))}×`;
}

/** Returns points of a plot in columns of seconds, oldest first, without what is no number. */
export function columnsOf(points: readonly (readonly [number, number | null])[]): { times: number[]; values: (number | null)[] } {
  const sorted = points.filter(([at]) => Number.isFinite(at)).toSorted(([left], [right]) => left - right);
  return { times: sorted.map(([at]) => at / 1000), values: sorted.map(([, value]) => value) };
}

/** How much of the shown time the way ahead may take. */
const AHEAD = 0.25;

/**
 * Returns the plot of a budget: what was left, the even pace, and the way ahead at this rate.
 * Shape: rows of shares on one axis of seconds. `range` keeps only so many milliseconds before the last point.
 */
export function burnDown(objective: ObjectiveDetail, range: number | null): { times: number[]; rows: (number | null)[][] } {
  const all = columnsOf(objective.burn_down);
  const last = all.times.at(-1);
  const from = parseInstant(objective.window.from);
  const until = parseInstant(objective.window.until);
  if (last === undefined || from === null || until === null) return { times: [], rows: [[], [], []] };
  const left = range === null ? from / 1000 : last - range / 1000;
  const points = all.times.flatMap((at, index) => (at >= left ? [[at, all.values[index] ?? null] as const] : []));
  const shown = range === null ? [[from / 1000, 1] as const, ...points.filter(([at]) => at > from / 1000)] : points;

  const forecast = parseInstant(objective.budget.exhausted_at_forecast);
  const now = shown.at(-1)?.[1] ?? null;
  const reach = last + (last - left) * AHEAD;
  const ahead = forecast !== null && now !== null && now > 0 && forecast / 1000 > last ? Math.min(forecast / 1000, reach) : null;
  const windowEnd = range === null && until / 1000 > last ? until / 1000 : null;
  const further = [...new Set([ahead, windowEnd])].filter((at): at is number => at !== null).toSorted((a, b) => a - b);

  const times = [...shown.map(([at]) => at), ...further];
  const pace = (at: number) => {
    const share = 1 - (at * 1000 - from) / (until - from);
    return share < 0 || share > 1 ? null : share;
  };
  const way = (at: number) => {
    if (ahead === null || forecast === null || now === null || at < last || at > ahead) return null;
    return now * (1 - (at - last) / (forecast / 1000 - last));
  };
  return { times, rows: [[...shown.map(([, value]) => value), ...further.map(() => null)], times.map(pace), times.map(way)] };
}
