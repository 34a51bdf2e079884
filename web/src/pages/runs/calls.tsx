import { useId, useState } from "react";
import { answerTask, settleStep, voteOn, type Approvals, type HumanTask, type RunDetail } from "../../api/runs.ts";
import { SETTLES } from "../../lib/runs.ts";
import { Button } from "../../ui/button.tsx";
import { TextArea } from "../../ui/field.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Time } from "../../ui/time.tsx";
import { useActing } from "./acting.ts";
import { Given } from "./given.tsx";
import { ClassTag } from "./marks.tsx";

function What({ run, asks }: { run: RunDetail; asks: Approvals }) {
  return (
    <dl className="pairs call-what">
      <div>
        <dt>Document</dt>
        <dd>
          {run.doc_id} <span className="mono muted">{run.document.hash.slice(0, 12)}</span> <ClassTag of={run.document.class} />
        </dd>
      </div>
      {asks.step !== "" && (
        <div>
          <dt>Step</dt>
          <dd>{run.document.steps.find((each) => each.id === asks.step)?.text ?? asks.step}</dd>
        </div>
      )}
      <Given run={run} />
      <div>
        <dt>Asked by</dt>
        <dd>
          {run.starter}, {run.trigger.text}
        </dd>
      </div>
      <div>
        <dt>You agree to</dt>
        <dd className="mono">{asks.subject_hash.slice(0, 16)}</dd>
      </div>
    </dl>
  );
}

/** Asks for an approval, and shows exactly what would be approved. */
export function ApprovalPanel({ run, asks }: { run: RunDetail; asks: Approvals }) {
  const vote = useActing((verdict: "approve" | "deny") => voteOn(run.id, { verdict, subject_hash: asks.subject_hash, step: asks.step }), {
    done: (verdict) => (verdict === "approve" ? "Approved" : "Denied: the run will not happen"),
    failed: "Your vote does not count",
  });
  const [denying, setDenying] = useState(false);
  const reason = asks.may_vote ? undefined : (asks.why_not ?? "You may not vote here");
  return (
    <section className="call" aria-label="Approval">
      <header className="call-head">
        <Icon name="check" />
        <h2>
          {asks.have} of {asks.count} {asks.count === 1 ? "approval" : "approvals"}
        </h2>
        <span className="muted">
          by {asks.roles.join(" or ")}
          {asks.until && (
            <>
              , ends <Time at={asks.until} />
            </>
          )}
        </span>
      </header>
      <What run={run} asks={asks} />
      {reason && <p className="call-why">{reason}.</p>}
      <div className="call-actions">
        <Button look="solid" icon="check" reason={reason} busy={vote.isPending && "Sending…"} onClick={() => vote.mutate("approve")}>
          Approve
        </Button>
        <Button look={denying ? "danger" : "plain"} icon="close" reason={reason} busy={vote.isPending && "Sending…"} onBlur={() => setDenying(false)} onClick={() => (denying ? vote.mutate("deny") : setDenying(true))}>
          {denying ? "Deny for good?" : "Deny"}
        </Button>
      </div>
    </section>
  );
}

/** A task that only a person can do. */
export function HumanPanel({ run, task }: { run: RunDetail; task: HumanTask }) {
  const [evidence, setEvidence] = useState("");
  const [asked, setAsked] = useState(false);
  const answer = useActing((done: boolean) => answerTask(run.id, { step: task.step, attempt: task.attempt, done, evidence: evidence.trim() }), {
    done: (done) => (done ? "Done, the run goes on" : "The run knows that it could not be done"),
    failed: "Not stored",
  });
  const reason = task.may_do ? undefined : `This asks for ${task.roles.join(" or ")}`;
  const fault = asked && task.evidence && evidence.trim() === "" ? "Evidence is asked for: what did you see?" : undefined;
  const send = (done: boolean) => {
    setAsked(true);
    if (task.evidence && evidence.trim() === "") return;
    answer.mutate(done);
  };
  return (
    <section className="call" aria-label="Task for a person">
      <header className="call-head">
        <Icon name="user" />
        <h2>{task.title || task.step}</h2>
        <span className="muted">
          step {task.step}, for {task.roles.join(" or ")}
        </span>
      </header>
      <p className="call-text">{task.instructions}</p>
      {task.evidence && <TextArea label="Evidence" value={evidence} maxLength={4000} error={fault} placeholder="What did you do and see?" onChange={(event) => setEvidence(event.target.value)} />}
      {reason && <p className="call-why">{reason}.</p>}
      <div className="call-actions">
        <Button look="solid" icon="check" reason={reason} busy={answer.isPending && "Sending…"} onClick={() => send(true)}>
          Done
        </Button>
        <Button icon="close" reason={reason} busy={answer.isPending && "Sending…"} onClick={() => send(false)}>
          Could not be done
        </Button>
      </div>
    </section>
  );
}

/** Asks what became of a step of which nobody knows whether it happened. */
export function SettlePanel({ run, step }: { run: RunDetail; step: string }) {
  const id = useId();
  const [chosen, setChosen] = useState<(typeof SETTLES)[number]["verdict"] | null>(null);
  const settle = useActing((verdict: (typeof SETTLES)[number]["verdict"]) => settleStep(run.id, step, verdict), { done: () => `Settled ${step}`, failed: "Not settled" });
  const text = run.document.steps.find((each) => each.id === step)?.text;
  return (
    <section className="call" data-tone="critical" aria-label={`Step ${step} in doubt`}>
      <header className="call-head">
        <Icon name="doubt" />
        <h2>Did {step} happen?</h2>
        <span className="muted">{text}</span>
      </header>
      <p className="call-text">
        {run.reason ? run.reason.replace(/\.?$/, ".") : "The run was interrupted while this step was under way."} It is not repeated by itself, since it may have happened. Look first, then choose.
      </p>
      <div className="settles" role="radiogroup" aria-label="What you found">
        {SETTLES.map((each) => (
          <div key={each.verdict} className="settle" data-chosen={chosen === each.verdict || undefined}>
            <input type="radio" id={`${id}${each.verdict}`} name={id} checked={chosen === each.verdict} onChange={() => setChosen(each.verdict)} />
            <label htmlFor={`${id}${each.verdict}`}>
              <strong>{each.label}</strong>
              <span className="soft">{each.words}</span>
            </label>
          </div>
        ))}
      </div>
      <div className="call-actions">
        <Button look="solid" reason={chosen === null ? "Choose what you found" : undefined} busy={settle.isPending && "Sending…"} onClick={() => chosen && settle.mutate(chosen)}>
          Settle
        </Button>
      </div>
    </section>
  );
}
