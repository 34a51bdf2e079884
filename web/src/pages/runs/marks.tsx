import type { Run, RunClass } from "../../api/runs.ts";
import { CLASS_TONES, CLASS_WORDS, stateOf, verdictTone } from "../../lib/runs.ts";
import { Tag } from "../../ui/marks.tsx";

export function RunStateTag({ run }: { run: Pick<Run, "state" | "waiting"> }) {
  const { words, tone } = stateOf(run);
  return (
    <Tag tone={tone} solid={run.state === "needs_human" || run.state === "undo_failed"}>
      {words}
    </Tag>
  );
}

export function VerdictTag({ verdict }: { verdict: string }) {
  return <Tag tone={verdictTone(verdict)}>{verdict}</Tag>;
}

export function ClassTag({ of }: { of: RunClass }) {
  return (
    <Tag tone={CLASS_TONES[of]} title={CLASS_WORDS[of]}>
      {of}
    </Tag>
  );
}
