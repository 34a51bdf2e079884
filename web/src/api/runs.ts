import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { get, post, put, remove } from "./client.ts";

export type DocumentKind = "runbook" | "experiment" | "drill";
export type RunClass = "read" | "safe" | "disruptive" | "destructive";
export type Mode = "disabled" | "suggest" | "approve" | "auto";
export type RunState =
  | "requested"
  | "gated"
  | "refused"
  | "waiting"
  | "running"
  | "paused"
  | "verifying"
  | "succeeded"
  | "failed"
  | "cancelling"
  | "undoing"
  | "undone"
  | "undo_failed"
  | "interrupted"
  | "needs_human";
export type StepState = "pending" | "running" | "succeeded" | "failed" | "skipped" | "undone" | "unknown";
export type Effect = "idempotent" | "keyed" | "probe" | "once";

export interface Param {
  name: string;
  type: "int" | "float" | "bool" | "enum" | "name" | "duration";
  required: boolean;
  default: string | number | boolean | null;
  min: string | number | null;
  max: string | number | null;
  values: string[] | null;
  /** The kind of thing that a name names. */
  of: string | null;
}

export interface Trigger {
  kind: "alert" | "webhook" | "schedule" | "manual";
  text: string;
  mode: Mode;
  effective_mode: Mode;
  next_due: string | null;
}

export interface DocumentStep {
  id: string;
  kind: string;
  effect: Effect;
  class: RunClass;
  undo: boolean;
  fault: boolean;
  on_fail: string;
  timeout_seconds: number | null;
  text: string;
}

export interface RunDocument {
  id: string;
  kind: DocumentKind;
  platform: string;
  slug: string;
  title: string;
  owner: string;
  class: RunClass;
  hash: string;
  review_by: string | null;
  stale: boolean;
  file: string;
  may_start: boolean;
  why_not: string | null;
  params: Param[];
  triggers: Trigger[];
  steps: DocumentStep[];
  verify: string[];
  guards: { name: string; text: string }[];
  last_run: { id: string; state: RunState; verdict: string | null; ended_at: string | null } | null;
  runs_30d: { succeeded: number; failed: number; refused: number };
  objective: { rpo_seconds: number | null; rto_seconds: number | null } | null;
  schedule_next: string | null;
  experiment: { hypothesis: string[]; environment: string } | null;
}

export interface Approvals {
  have: number;
  count: number;
  roles: string[];
  until: string | null;
  subject_hash: string;
  may_vote: boolean;
  why_not: string | null;
  /** The step that asks; empty for the run as a whole. */
  step: string;
}

export interface HumanTask {
  step: string;
  attempt: number;
  title: string;
  instructions: string;
  evidence: boolean;
  roles: string[];
  may_do: boolean;
}

export interface Run {
  id: string;
  kind: DocumentKind;
  doc_id: string;
  title: string;
  platform: string;
  state: RunState;
  waiting: "approval" | "lock" | "window" | null;
  verdict: string | null;
  reason: string;
  mode: string;
  dry_run: boolean;
  starter: string;
  trigger: { kind: string; ref: string | null; text: string };
  params: Record<string, unknown>;
  targets: string[];
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  refused_by: string | null;
  parent: string | null;
  progress: { done: number; total: number; current: string | null };
  needs: { approvals: Approvals | null; human: HumanTask[]; settle: string[] };
  may_cancel: boolean;
}

export interface StepAttempt {
  phase: "do" | "check" | "undo" | "undo_check" | "verify" | "page";
  attempt: number;
  state: string;
  started_at: string | null;
  ended_at: string | null;
  due_at: string | null;
  request_text: string;
  response_text: string;
  error: string | null;
}

export interface RunStep {
  id: string;
  kind: string;
  effect: Effect;
  state: StepState;
  phase_rows: StepAttempt[];
}

export interface LogLine {
  at: string;
  kind: string;
  text: string;
  step: string | null;
  by: string | null;
}

/** A value at an instant, in milliseconds of the Unix clock; null where nothing could be read. */
export type SamplePoint = [at: number, value: number | null, ok: boolean];

export interface RunDetail extends Run {
  document: RunDocument;
  steps: RunStep[];
  log: LogLine[];
  approvals: { who: string; role: string; verdict: "approve" | "deny"; at: string; step: string }[];
  undos: { id: string; step: string; state: string; deadline: string | null; verified_at: string | null }[];
  samples: { probe: string; points: SamplePoint[] }[];
  children: Run[];
}

export interface RunList {
  runs: Run[];
  next: string | null;
  open: { running: number; waiting: number; needs_human: number };
}

export interface Suggestion {
  doc_id: string;
  title: string;
  mode: Mode;
  why: string;
  params: Record<string, unknown>;
}

export interface SwitchState {
  on: boolean;
  by: string | null;
  at: string | null;
  why: string | null;
}

export interface KillSwitch {
  global: SwitchState | null;
  platforms: (SwitchState & { name: string })[];
}

export interface Freeze {
  id: string;
  scope: string;
  reason: string;
  starts: string;
  ends: string;
  by: string;
}

/** What to ask the list of runs for. */
export interface RunsAsked {
  state?: "open" | "ended" | "refused" | undefined;
  kind?: DocumentKind | undefined;
  doc?: string | undefined;
  platform?: string | undefined;
  before?: string | undefined;
  limit?: number | undefined;
}

export const documentsQuery = queryOptions({
  queryKey: ["documents"],
  queryFn: ({ signal }) => get<{ server_time: string; documents: RunDocument[] }>("/runbooks", {}, signal),
});

export function documentQuery(id: string) {
  return queryOptions({
    queryKey: ["document", id],
    queryFn: ({ signal }) => get<RunDocument & { source: string }>(`/runbooks/${encodeURIComponent(id)}`, {}, signal),
  });
}

export function runsQuery({ state, kind, doc, platform, before, limit = 100 }: RunsAsked) {
  return queryOptions({
    queryKey: ["runs", state ?? "all", kind ?? "", doc ?? "", platform ?? "", before ?? "", limit],
    queryFn: ({ signal }) => get<RunList>("/runs", { state: state ?? "all", kind, doc, platform, before, limit }, signal),
    placeholderData: keepPreviousData,
  });
}

/** Everything that is under way or waits, whatever the page shows; the frame counts from it too. */
export const openRunsQuery = runsQuery({ state: "open" });

export function runQuery(id: string) {
  return queryOptions({
    queryKey: ["run", id],
    queryFn: ({ signal }) => get<RunDetail>(`/runs/${encodeURIComponent(id)}`, {}, signal),
  });
}

export function suggestionsQuery(asked: { alert?: string; page?: string }) {
  return queryOptions({
    queryKey: ["suggestions", asked.alert ?? "", asked.page ?? ""],
    queryFn: ({ signal }) => get<{ suggestions: Suggestion[] }>("/suggestions", asked, signal),
    retry: false,
  });
}

export const killSwitchQuery = queryOptions({
  queryKey: ["kill-switch"],
  queryFn: ({ signal }) => get<KillSwitch>("/kill-switch", {}, signal),
});

export const freezesQuery = queryOptions({
  queryKey: ["freezes"],
  queryFn: ({ signal }) => get<{ freezes: Freeze[] }>("/freezes", {}, signal),
});

const at = (run: string) => `/runs/${encodeURIComponent(run)}`;

export interface StartRequest {
  params: Record<string, string>;
  reference?: string;
  dry_run?: boolean;
  reason?: string;
}

export const startRun = (document: string, asked: StartRequest) => post<Run>(`/runbooks/${encodeURIComponent(document)}/runs`, asked);
export const voteOn = (run: string, vote: { verdict: "approve" | "deny"; subject_hash: string; step: string }) => post<Run>(`${at(run)}/approve`, vote);
export const steer = (run: string, how: "cancel" | "pause" | "resume") => post<Run>(`${at(run)}/${how}`, {});
export const answerTask = (run: string, answer: { step: string; attempt: number; done: boolean; evidence: string }) => post<Run>(`${at(run)}/human`, answer);
export const settleStep = (run: string, step: string, verdict: "done" | "retry" | "undo") => post<Run>(`${at(run)}/settle`, { step, verdict });
export const turnKillSwitch = (platform: string | null, on: boolean, why: string) => put<KillSwitch>("/kill-switch", { platform, on, why });
export const createFreeze = (freeze: { scope: string; reason: string; starts: string; ends: string }) => post<Freeze>("/freezes", freeze);
export const endFreeze = (id: string) => remove(`/freezes/${encodeURIComponent(id)}`);
