import type { ReportPhase } from "../api/drills.ts";
import { parseInstant } from "./time.ts";

export interface LaidPhase {
  phase: ReportPhase;
  /** Shares of the whole time, from 0 to 1. */
  from: number;
  width: number;
  budget: number | null;
}

/** Returns the phases laid on one axis, from the first start to the last end; those without a start follow the one before. */
export function laid(phases: readonly ReportPhase[]): LaidPhase[] {
  let reached = 0;
  const placed = phases.flatMap((phase) => {
    const seconds = phase.seconds;
    const from = parseInstant(phase.from) ?? reached;
    const until = parseInstant(phase.until) ?? (seconds === null ? null : from + seconds * 1000);
    if (until === null) return [];
    reached = until;
    return [{ phase, from, until }];
  });
  const first = Math.min(...placed.map((each) => each.from));
  const last = Math.max(...placed.map((each) => Math.max(each.until, each.from + (each.phase.budget_seconds ?? 0) * 1000)));
  const whole = last - first;
  if (!(whole > 0)) return [];
  return placed.map(({ phase, from, until }) => ({
    phase,
    from: (from - first) / whole,
    width: Math.max(0, until - from) / whole,
    budget: phase.budget_seconds === null ? null : (phase.budget_seconds * 1000) / whole,
  }));
}
