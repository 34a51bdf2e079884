import { useState } from "react";
import type { DocumentStep, RunDetail, RunStep, StepAttempt } from "../../api/runs.ts";
import { attemptState, EFFECT_WORDS, phaseWords, stepState, stepTime } from "../../lib/runs.ts";
import { parseInstant } from "../../lib/time.ts";
import { formatTook } from "../../lib/drills.ts";
import { plural } from "../../lib/units.ts";
import { CopyButton } from "../../ui/copy.tsx";
import { Icon, type IconName } from "../../ui/icons.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Time } from "../../ui/time.tsx";

const MARKS: Record<string, IconName> = { succeeded: "check", failed: "close", unknown: "doubt", skipped: "dash", undone: "undo" };

function Output({ name, text }: { name: string; text: string }) {
  if (text === "") return null;
  return (
    <div className="output">
      <p className="output-head">
        <span className="muted">{name}</span>
        <CopyButton text={text} label={`Copy ${name.toLowerCase()}`} />
      </p>
      <pre tabIndex={0} role="region" aria-label={name}>
        {text}
      </pre>
    </div>
  );
}

function took(row: StepAttempt, now: number): string {
  const start = parseInstant(row.started_at);
  if (start === null) return "";
  const end = parseInstant(row.ended_at) ?? now;
  return formatTook(Math.max(0, (end - start) / 1000));
}

/** One attempt; what it sent and what came back is folded, but for the one that explains a failure. */
function Attempt({ row, now, telling }: { row: StepAttempt; now: number; telling: boolean }) {
  const [open, setOpen] = useState(telling);
  const some = row.request_text !== "" || row.response_text !== "";
  const state = attemptState(row.state);
  const phase = phaseWords(row.phase);
  return (
    <li className="try">
      <p className="try-head">
        <span className="number muted">{row.attempt}</span>
        <Tag tone={state.tone}>{state.words}</Tag>
        {phase && <span>{phase}</span>}
        {row.started_at ? <Time at={row.started_at} show="stamp" /> : row.due_at && <Time at={row.due_at} />}
        <span className="number muted push">{took(row, now)}</span>
        {some && (
          <button type="button" className="try-fold" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "Hide" : "Show"}
            <span className="unseen"> output of attempt {row.attempt}</span>
          </button>
        )}
      </p>
      {row.error && <p className="trouble">{row.error}</p>}
      {open && (
        <>
          <Output name="Request" text={row.request_text} />
          <Output name="Answer" text={row.response_text} />
        </>
      )}
    </li>
  );
}

function Step({ step, told, now, last }: { step: RunStep; told: DocumentStep | undefined; now: number; last: boolean }) {
  const state = stepState(step.state);
  const [chosen, setChosen] = useState<boolean | null>(null);
  const open = chosen ?? (step.state === "failed" || step.state === "unknown");
  const time = stepTime(step, now);
  const tries = step.phase_rows.filter((row) => row.phase === "do").length;
  const some = step.phase_rows.length > 0;
  const mark = MARKS[step.state];
  return (
    <li className="step" data-state={step.state} data-tone={state.tone} data-last={last || undefined}>
      <span className="step-mark" aria-hidden="true">
        {mark ? <Icon name={mark} size={12} /> : <i />}
      </span>
      <div className="step-body">
        <button type="button" className="step-head" aria-expanded={open} disabled={!some} onClick={() => setChosen(!open)}>
          <span className="step-words">
            <span className="step-text">{told?.text || step.id}</span>
            <span className="step-id">
              <span className="mono">{step.id}</span>, {step.kind}
              {told?.fault && ", fault"}
            </span>
          </span>
          <span className="step-facts">
            <span className="step-state">{state.words}</span>
            <span className="number muted">
              {tries > 1 && `${plural(tries, "attempt")}, `}
              {time !== null && formatTook(time / 1000)}
            </span>
          </span>
          {some && <Icon name={open ? "chevronDown" : "chevronRight"} size={14} />}
        </button>
        {open && some && (
          <div className="step-more">
            <p className="muted">
              {step.effect}: {EFFECT_WORDS[step.effect]}
            </p>
            <ol>
              {step.phase_rows.map((row, index) => (
                <Attempt key={`${row.phase} ${row.attempt}`} row={row} now={now} telling={(step.state === "failed" || step.state === "unknown") && index === step.phase_rows.length - 1} />
              ))}
            </ol>
          </div>
        )}
      </div>
    </li>
  );
}

/** The steps of a run, one below the other, with what each did. */
export function Sequence({ run, now }: { run: RunDetail; now: number }) {
  return (
    <section className="card" data-flush>
      <header className="card-head">
        <h2>Steps</h2>
        <div className="card-note">press one to see its attempts</div>
      </header>
      <ol className="sequence">
        {run.steps.map((step, index) => (
          <Step key={step.id} step={step} told={run.document.steps.find((each) => each.id === step.id)} now={now} last={index === run.steps.length - 1} />
        ))}
      </ol>
      {run.document.verify.length > 0 && (
        <div className="verify" data-state={run.state}>
          <h3>Then it must hold</h3>
          <ul>
            {run.document.verify.map((text) => (
              <li key={text}>
                <Icon name={run.state === "succeeded" && !run.dry_run ? "check" : "dash"} size={14} />
                {text}
              </li>
            ))}
          </ul>
        </div>
      )}
    </section>
  );
}
