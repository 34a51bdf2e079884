import { describe, expect, test } from "vitest";
import type { KillSwitch, Run, RunStep } from "../src/api/runs.ts";
import { callOf, isEnded, onFailWords, orderOpen, runTime, stateOf, stepTime, stopped, verdictTone } from "../src/lib/runs.ts";

const NOTHING = { approvals: null, human: [], settle: [] };

function run(part: Partial<Run>): Run {
  return {
    id: "r1", kind: "runbook", doc_id: "d", title: "t", platform: "shop", state: "running", waiting: null, verdict: null, reason: "", mode: "manual", dry_run: false, starter: "ada",
    trigger: { kind: "manual", ref: null, text: "" }, params: {}, targets: [], created_at: "2026-11-21T10:00:00Z", started_at: null, ended_at: null, refused_by: null, parent: null,
    progress: { done: 0, total: 3, current: null }, needs: NOTHING, may_cancel: true, ...part,
  };
}

const approvals = { have: 0, count: 1, roles: ["sre-lead"], until: null, subject_hash: "ab", may_vote: true, why_not: null, step: "" };
const task = { step: "look", attempt: 1, title: "Look", instructions: "", evidence: true, roles: ["operator"], may_do: true };

describe("what a run asks of a reader", () => {
  test("the most pressing call counts", () => {
    expect(callOf(run({}))).toBeNull();
    expect(callOf(run({ needs: { ...NOTHING, approvals } }))).toBe("approve");
    expect(callOf(run({ needs: { ...NOTHING, approvals, human: [task] } }))).toBe("task");
    expect(callOf(run({ needs: { approvals, human: [task], settle: ["send"] } }))).toBe("settle");
    expect(callOf(run({ state: "needs_human" }))).toBe("settle");
  });

  test("what waits for a person stands on top, the longest wait first", () => {
    const list = [
      run({ id: "plain" }),
      run({ id: "lock", state: "waiting", waiting: "lock" }),
      run({ id: "vote-new", created_at: "2026-11-21T11:00:00Z", needs: { ...NOTHING, approvals } }),
      run({ id: "vote-old", created_at: "2026-11-21T09:00:00Z", needs: { ...NOTHING, approvals } }),
      run({ id: "doubt", state: "needs_human" }),
      run({ id: "task", needs: { ...NOTHING, human: [task] } }),
      run({ id: "paused", state: "paused" }),
    ];
    expect(orderOpen(list).map((each) => each.id)).toEqual(["doubt", "task", "vote-old", "vote-new", "paused", "plain", "lock"]);
  });
});

test("a state is told in words, with what it waits for", () => {
  expect(stateOf({ state: "waiting", waiting: "approval" }).words).toBe("Waits for approval");
  expect(stateOf({ state: "waiting", waiting: null }).words).toBe("Waiting");
  expect(stateOf({ state: "undo_failed", waiting: null })).toEqual({ words: "Undo failed", tone: "critical" });
  expect(stateOf({ state: "newer_word" as Run["state"], waiting: null })).toEqual({ words: "newer word", tone: "quiet" });
  expect(["refused", "succeeded", "failed", "undone", "undo_failed"].every((state) => isEnded(state as Run["state"]))).toBe(true);
  expect(["running", "needs_human", "cancelling"].some((state) => isEnded(state as Run["state"]))).toBe(false);
});

test("verdicts have a tone, with or without what was missed", () => {
  expect(verdictTone("met")).toBe("ok");
  expect(verdictTone("missed(rto, data)")).toBe("critical");
  expect(verdictTone("stopped")).toBe("warning");
  expect(verdictTone("what is this")).toBe("quiet");
});

describe("how long it took", () => {
  const row = (started: string | null, ended: string | null, attempt = 1): RunStep["phase_rows"][number] => ({ phase: "do", attempt, state: "succeeded", started_at: started, ended_at: ended, due_at: null, request_text: "", response_text: "", error: null });
  const now = Date.parse("2026-11-21T10:01:00Z");

  test("a step counts from its first start to its last end", () => {
    expect(stepTime({ state: "succeeded", phase_rows: [row("2026-11-21T10:00:00Z", "2026-11-21T10:00:04Z"), row("2026-11-21T10:00:10Z", "2026-11-21T10:00:12Z", 2)] }, now)).toBe(12_000);
  });

  test("a step that runs counts on, and one that has not begun has no time", () => {
    expect(stepTime({ state: "running", phase_rows: [row("2026-11-21T10:00:30Z", null)] }, now)).toBe(30_000);
    expect(stepTime({ state: "pending", phase_rows: [] }, now)).toBeNull();
    expect(stepTime({ state: "pending", phase_rows: [row(null, null)] }, now)).toBeNull();
  });

  test("a run that waits counts from when it was asked for", () => {
    expect(runTime(run({}), now)).toBe(60_000);
    expect(runTime(run({ started_at: "2026-11-21T10:00:20Z", ended_at: "2026-11-21T10:00:50Z" }), now)).toBe(30_000);
  });
});

test("what happens after a failure is told in words", () => {
  expect(onFailWords("abort")).toBe("the run stops");
  expect(onFailWords("goto:tell_human")).toBe("goes to tell_human");
  expect(onFailWords("something else")).toBe("something else");
});

test("the kill switch names what it stops", () => {
  const off = { on: false, by: null, at: null, why: null };
  const on = { ...off, on: true };
  const platforms: KillSwitch["platforms"] = [{ name: "shop", ...on }, { name: "dinner", ...off }];
  expect(stopped(undefined)).toEqual([]);
  expect(stopped({ global: null, platforms })).toEqual(["shop"]);
  expect(stopped({ global: on, platforms })).toEqual(["everything"]);
  expect(stopped({ global: off, platforms: [] })).toEqual([]);
});
