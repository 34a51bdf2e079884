import type { Drill, DrillPhase, DrillResult } from "../api/drills.ts";

export const PHASES: readonly DrillPhase[] = ["detect", "page", "ack", "data", "traffic", "capacity", "verify"];

export const PHASE_WORDS: Record<DrillPhase, string> = {
  detect: "Detect",
  page: "Page",
  ack: "Acknowledge",
  data: "Data",
  traffic: "Traffic",
  capacity: "Capacity",
  verify: "Verify",
};

/** Returns a measured time in at most two units, exact to the second: "42 s", "3 min 20 s", "1 h 5 min". */
export function formatTook(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10 && seconds % 1 !== 0) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pair = (big: number, small: number, bigName: string, smallName: string) => {
    const rest = Math.floor((whole % big) / small);
    return rest === 0 ? `${Math.floor(whole / big)} ${bigName}` : `${Math.floor(whole / big)} ${bigName} ${rest} ${smallName}`;
  };
  if (whole < 3600) return pair(60, 1, "min", "s");
  if (whole < 86_400) return pair(3600, 60, "h", "min");
  return pair(86_400, 3600, "d", "h");
}

/** Returns whether a measured time is within its limit; null when either is not known. */
export function isWithin(seconds: number | null | undefined, limit: number | null | undefined): boolean | null {
  return seconds === null || seconds === undefined || limit === null || limit === undefined ? null : seconds <= limit;
}

export interface PhasePart {
  phase: DrillPhase;
  seconds: number;
  /** Seconds before this phase, from the start of the drill. */
  from: number;
}

/** Returns the phases of a result that took time, one after the other. */
export function partsOf(result: Pick<DrillResult, "phases">): PhasePart[] {
  let from = 0;
  return PHASES.flatMap((phase) => {
    const seconds = result.phases[phase];
    if (seconds === null || seconds === undefined || seconds <= 0) return [];
    const part = { phase, seconds, from };
    from += seconds;
    return [part];
  });
}

/** Returns which phase grew most from the drill before to the last one, when one grew by more than a second. Results: newest first. */
export function slowest(results: readonly DrillResult[]): { phase: DrillPhase; by: number } | null {
  const [last, before] = results.filter((each) => partsOf(each).length > 0);
  if (!last || !before) return null;
  const grown = PHASES.flatMap((phase) => {
    const now = last.phases[phase];
    const then = before.phases[phase];
    return now != null && then != null ? [{ phase, by: now - then }] : [];
  }).toSorted((left, right) => right.by - left.by)[0];
  return grown && grown.by > 1 ? grown : null;
}

/** Returns the drills by platform: overdue ones first, then by name. */
export function byPlatform(drills: readonly Drill[]): { platform: string; drills: Drill[] }[] {
  const groups = new Map<string, Drill[]>();
  for (const each of drills) groups.set(each.document.platform, [...(groups.get(each.document.platform) ?? []), each]);
  const late = (list: readonly Drill[]) => (list.some((each) => each.cadence.overdue) ? 0 : 1);
  return [...groups]
    .map(([platform, list]) => ({ platform, drills: list.toSorted((left, right) => late([left]) - late([right]) || left.document.id.localeCompare(right.document.id)) }))
    .toSorted((left, right) => late(left.drills) - late(right.drills) || left.platform.localeCompare(right.platform));
}

/** Returns the upper end of a scale that holds every value and reads well. */
export function niceTop(values: readonly number[]): number {
  const most = Math.max(0, ...values.filter((each) => Number.isFinite(each)));
  const steps = [10, 20, 30, 60, 120, 180, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400];
  return steps.find((step) => step >= most) ?? Math.ceil(most / 86_400) * 86_400;
}
