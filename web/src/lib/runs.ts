import type { DocumentKind, Effect, KillSwitch, Mode, Run, RunClass, RunState, RunStep, StepAttempt, StepState } from "../api/runs.ts";
import { parseInstant } from "./time.ts";

export type RunTone = "critical" | "warning" | "ok" | "accent" | "info" | "quiet";

const STATES: Record<RunState, { words: string; tone: RunTone }> = {
  requested: { words: "Requested", tone: "quiet" },
  gated: { words: "Checked", tone: "quiet" },
  refused: { words: "Refused", tone: "quiet" },
  waiting: { words: "Waiting", tone: "warning" },
  running: { words: "Running", tone: "accent" },
  paused: { words: "Paused", tone: "warning" },
  verifying: { words: "Verifying", tone: "accent" },
  succeeded: { words: "Succeeded", tone: "ok" },
  failed: { words: "Failed", tone: "critical" },
  cancelling: { words: "Cancelling", tone: "warning" },
  undoing: { words: "Undoing", tone: "warning" },
  undone: { words: "Undone", tone: "quiet" },
  undo_failed: { words: "Undo failed", tone: "critical" },
  interrupted: { words: "Interrupted", tone: "warning" },
  needs_human: { words: "Needs a person", tone: "critical" },
};

const WAITS = { approval: "Waits for approval", lock: "Waits for a lock", window: "Waits for a freeze to end" } as const;

const ENDED: readonly RunState[] = ["refused", "succeeded", "failed", "undone", "undo_failed"];

export function isEnded(state: RunState): boolean {
  return ENDED.includes(state);
}

/** Returns the state of a run in words, with its tone; a state that a newer server knows is shown as it is called. */
export function stateOf(run: Pick<Run, "state" | "waiting">): { words: string; tone: RunTone } {
  const known = STATES[run.state] ?? { words: String(run.state).replaceAll("_", " "), tone: "quiet" };
  return run.state === "waiting" && run.waiting ? { words: WAITS[run.waiting] ?? known.words, tone: known.tone } : known;
}

const VERDICTS: Record<string, RunTone> = { met: "ok", held: "ok", missed: "critical", broken: "critical", stopped: "warning", aborted: "warning", invalid: "quiet", refused: "quiet", tabletop: "quiet" };

export function verdictTone(verdict: string): RunTone {
  return VERDICTS[verdict.split("(")[0]?.trim() ?? ""] ?? "quiet";
}

/** Returns what a person has to do for the run to go on, the most pressing first, or null. */
export function callOf(run: Run): "settle" | "task" | "approve" | null {
  if (run.needs.settle.length > 0 || run.state === "needs_human") return "settle";
  if (run.needs.human.length > 0) return "task";
  return run.needs.approvals ? "approve" : null;
}

/** What each call asks of the reader. */
export const CALL_WORDS = { settle: "a step is in doubt", task: "a task is to be done", approve: "an approval is missing" } as const;

const CALL_RANK = { settle: 0, task: 1, approve: 2 } as const;
const STATE_RANK: Partial<Record<RunState, number>> = { undo_failed: 3, interrupted: 3, paused: 4, undoing: 5, cancelling: 5, running: 6, verifying: 6 };

/** Returns open runs in the order in which a reader should look at them: what waits for a person first, the longest wait on top. */
export function orderOpen(runs: readonly Run[]): Run[] {
  const rank = (run: Run) => {
    const call = callOf(run);
    return call ? CALL_RANK[call] : (STATE_RANK[run.state] ?? 7);
  };
  return runs.toSorted((left, right) => rank(left) - rank(right) || left.created_at.localeCompare(right.created_at) || left.id.localeCompare(right.id));
}

const STEP_STATES: Record<StepState, { words: string; tone: RunTone }> = {
  pending: { words: "Not yet", tone: "quiet" },
  running: { words: "Running", tone: "accent" },
  succeeded: { words: "Done", tone: "ok" },
  failed: { words: "Failed", tone: "critical" },
  skipped: { words: "Skipped", tone: "quiet" },
  undone: { words: "Undone", tone: "warning" },
  unknown: { words: "In doubt", tone: "critical" },
};

export function stepState(state: StepState): { words: string; tone: RunTone } {
  return STEP_STATES[state] ?? { words: String(state), tone: "quiet" };
}

const PHASES: Record<StepAttempt["phase"], string> = { do: "", check: "check whether it happened", undo: "undo", undo_check: "check of the undo", verify: "verification", page: "page" };

/** Returns what an attempt was for; nothing for the deed itself. */
export function phaseWords(phase: StepAttempt["phase"]): string {
  return PHASES[phase] ?? phase;
}

const ATTEMPTS: Record<string, { words: string; tone: RunTone }> = {
  pending: { words: "due", tone: "quiet" },
  intent: { words: "leaving", tone: "accent" },
  issued: { words: "under way", tone: "accent" },
  succeeded: { words: "succeeded", tone: "ok" },
  failed: { words: "failed", tone: "critical" },
  unknown: { words: "in doubt", tone: "critical" },
  skipped: { words: "skipped", tone: "quiet" },
  abandoned: { words: "given up", tone: "quiet" },
};

export function attemptState(state: string): { words: string; tone: RunTone } {
  return ATTEMPTS[state] ?? { words: state.replaceAll("_", " "), tone: "quiet" };
}

/** Returns how long a step has taken, from its first start to its last end, or to `now` while it runs; null before it began. Unit: milliseconds. */
export function stepTime(step: Pick<RunStep, "phase_rows" | "state">, now: number): number | null {
  const starts = step.phase_rows.flatMap((row) => parseInstant(row.started_at) ?? []);
  if (starts.length === 0) return null;
  const ends = step.phase_rows.flatMap((row) => parseInstant(row.ended_at) ?? []);
  const open = step.phase_rows.some((row) => row.started_at !== null && row.ended_at === null && step.state === "running");
  const end = open || ends.length === 0 ? now : Math.max(...ends);
  return Math.max(0, end - Math.min(...starts));
}

/** Returns how long a run took, or has taken until `now`. Unit: milliseconds. */
export function runTime(run: Pick<Run, "created_at" | "started_at" | "ended_at">, now: number): number {
  const from = parseInstant(run.started_at) ?? parseInstant(run.created_at) ?? now;
  return Math.max(0, (parseInstant(run.ended_at) ?? now) - from);
}

/** What each declared effect means when a process ends in the middle. */
export const EFFECT_WORDS: Record<Effect, string> = {
  idempotent: "may be repeated: the end is the same",
  keyed: "the other side knows a repeat by its key",
  probe: "a check tells whether it happened",
  once: "is never repeated: in doubt, a person decides",
};

export const CLASS_WORDS: Record<RunClass, string> = {
  read: "only looks",
  safe: "changes nothing that users feel",
  disruptive: "users may feel it",
  destructive: "cannot be taken back",
};

export const CLASS_TONES: Record<RunClass, RunTone> = { read: "quiet", safe: "quiet", disruptive: "warning", destructive: "critical" };

export const KIND_WORDS: Record<DocumentKind, string> = { runbook: "Runbook", experiment: "Experiment", drill: "Drill" };

export const MODE_WORDS: Record<Mode, string> = {
  disabled: "does nothing",
  suggest: "offers the run to a person",
  approve: "starts it and waits for approval",
  auto: "starts it alone",
};

/** Returns what happens when a step fails, in words. */
export function onFailWords(text: string): string {
  if (text === "abort" || text === "") return "the run stops";
  if (text === "continue") return "the run goes on";
  if (text === "undo") return "everything is undone";
  const target = /^goto[: ]\s*(.+)$/.exec(text);
  return target ? `goes to ${target[1]}` : text;
}

/** What each answer to a step in doubt does. */
export const SETTLES = [
  { verdict: "done", label: "It happened", words: "I looked, and the effect is there. The run goes on with the next step." },
  { verdict: "retry", label: "Do it again", words: "I looked, and nothing happened. The step runs once more; if it did happen after all, it happens twice." },
  { verdict: "undo", label: "Undo the run", words: "Stop here and take back what was done, this step too, whether it happened or not." },
] as const;

/** Returns what a kill switch stops now: everything, or the named platforms; empty when none is on. */
export function stopped(state: KillSwitch | undefined): string[] {
  if (!state) return [];
  if (state.global?.on) return ["everything"];
  return state.platforms.filter((each) => each.on).map((each) => each.name);
}
