import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { runQuery, steer, type RunDetail } from "../../api/runs.ts";
import { serverNow } from "../../app/clock.ts";
import { useBackKey } from "../../app/row-keys.ts";
import { PageHead } from "../../app/head.tsx";
import { callOf, isEnded, KIND_WORDS, runTime } from "../../lib/runs.ts";
import { formatSpan } from "../../lib/time.ts";
import { plural } from "../../lib/units.ts";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Tag, type Tone } from "../../ui/marks.tsx";
import { Dialog } from "../../ui/overlays.tsx";
import { Banner, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { useActing } from "./acting.ts";
import { ApprovalPanel, HumanPanel, SettlePanel } from "./calls.tsx";
import { Given } from "./given.tsx";
import { RunLog } from "./log.tsx";
import { ClassTag, RunStateTag, VerdictTag } from "./marks.tsx";
import { RunRow } from "./screen.tsx";
import { Samples } from "./samples.tsx";
import { Sequence } from "./sequence.tsx";
import "../../styles/runs.css";

/** Returns the server's time, each second while something moves. */
function useSeconds(moving: boolean): number {
  const [now, setNow] = useState(serverNow);
  useEffect(() => {
    if (!moving) return undefined;
    const timer = setInterval(() => setNow(serverNow()), 1000);
    return () => clearInterval(timer);
  }, [moving]);
  return now;
}

function Steering({ run }: { run: RunDetail }) {
  const [asking, setAsking] = useState(false);
  const act = useActing((how: "cancel" | "pause" | "resume") => steer(run.id, how), {
    done: (how) => ({ cancel: "Cancelled the run", pause: "Paused: no further step begins", resume: "The run goes on" })[how],
    failed: "Nothing changed",
  });
  if (isEnded(run.state)) return null;
  const reason = run.may_cancel ? undefined : "Your role may not steer this run";
  const undone = run.undos.filter((each) => each.state === "armed");
  return (
    <>
      {run.state === "paused" ? (
        <Button icon="play" reason={reason} busy={act.isPending && "…"} onClick={() => act.mutate("resume")}>
          Resume
        </Button>
      ) : (
        (run.state === "running" || run.state === "verifying") && (
          <Button icon="pause" reason={reason} busy={act.isPending && "…"} onClick={() => act.mutate("pause")}>
            Pause
          </Button>
        )
      )}
      {run.state !== "cancelling" && run.state !== "undoing" && (
        <Button icon="stop" reason={reason} onClick={() => setAsking(true)}>
          Cancel run
        </Button>
      )}
      <Dialog open={asking} onClose={() => setAsking(false)} title="Cancel this run?">
        <p>
          {run.started_at === null
            ? "It has not begun. Nothing has to be taken back."
            : undone.length > 0
              ? `No further step begins, and ${plural(undone.length, "step")} that can be undone ${undone.length === 1 ? "is" : "are"} undone, the last one first: ${undone.map((each) => each.step).join(", ")}.`
              : "No further step begins. None of the steps so far can be undone: what they did stays."}
        </p>
        <div className="line">
          <Button
            look="danger"
            busy={act.isPending && "Cancelling…"}
            onClick={() => {
              act.mutate("cancel", { onSuccess: () => setAsking(false) });
            }}
          >
            Cancel the run
          </Button>
          <Button data-autofocus onClick={() => setAsking(false)}>
            Let it go on
          </Button>
        </div>
      </Dialog>
    </>
  );
}

const UNDO_TONES: Record<string, Tone> = { armed: "accent", started: "warning", undone: "ok", failed: "critical", released: "quiet" };
const UNDO_WORDS: Record<string, string> = { armed: "ready", started: "under way", undone: "undone", failed: "failed", released: "not needed" };

function Undos({ run }: { run: RunDetail }) {
  return (
    <Card title="What can be undone" flush>
      <ul className="small-list">
        {run.undos.map((undo) => (
          <li key={undo.id}>
            <span className="mono">{undo.step}</span>
            {undo.deadline && undo.state === "armed" && (
              <span className="muted">
                by itself <Time at={undo.deadline} />
              </span>
            )}
            <span className="push">
              <Tag tone={UNDO_TONES[undo.state] ?? "quiet"}>{UNDO_WORDS[undo.state] ?? undo.state}</Tag>
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Facts({ run }: { run: RunDetail }) {
  return (
    <Card title="Facts">
      <dl className="pairs">
        <div>
          <dt>{KIND_WORDS[run.kind]}</dt>
          <dd>
            <Link to="/runs/documents/$id" params={{ id: run.doc_id }}>
              {run.doc_id}
            </Link>{" "}
            <ClassTag of={run.document.class} />
          </dd>
        </div>
        <div>
          <dt>Version</dt>
          <dd className="mono">{run.document.hash.slice(0, 12)}</dd>
        </div>
        <div>
          <dt>Started by</dt>
          <dd>
            {run.starter}, {run.trigger.text}
          </dd>
        </div>
        <Given run={run} />
        <div>
          <dt>Asked for</dt>
          <dd>
            <Time at={run.created_at} show="stamp" />
          </dd>
        </div>
        {run.ended_at && (
          <div>
            <dt>Ended</dt>
            <dd>
              <Time at={run.ended_at} show="stamp" />
            </dd>
          </div>
        )}
        {run.parent && (
          <div>
            <dt>Called by</dt>
            <dd>
              <Link to="/runs/$id" params={{ id: run.parent }}>
                {run.parent}
              </Link>
            </dd>
          </div>
        )}
        {run.approvals.map((each) => (
          <div key={`${each.who} ${each.step} ${each.at}`}>
            <dt>{each.verdict === "approve" ? "Approved" : "Denied"}</dt>
            <dd>
              {each.who} ({each.role}){each.step && ` for ${each.step}`}, <Time at={each.at} show="stamp" />
            </dd>
          </div>
        ))}
      </dl>
    </Card>
  );
}

function Summary({ run, now }: { run: RunDetail; now: number }) {
  const tone = run.state === "refused" ? "warning" : run.state === "failed" || run.state === "undo_failed" ? "critical" : "info";
  const told = run.reason !== "" && callOf(run) === null && (run.state !== "succeeded" || run.dry_run);
  return (
    <>
      {told && (
        <Banner tone={tone}>
          {run.refused_by && <strong>Refused by the guard {run.refused_by.replaceAll("_", " ")}. </strong>}
          {run.reason}
        </Banner>
      )}
      <p className="run-summary">
        <span className="number">
          {run.progress.done} of {plural(run.progress.total, "step")}
        </span>
        <span className="number">
          {isEnded(run.state) ? "took" : "for"} {formatSpan(runTime(run, now))}
        </span>
        {!isEnded(run.state) && run.progress.current && <span>now at {run.progress.current}</span>}
        {(run.kind === "drill" || run.kind === "experiment") && isEnded(run.state) && run.state !== "refused" && (
          <Link to="/drills/$id" params={{ id: run.id }} className="line">
            <Icon name="document" size={14} />
            Report
          </Link>
        )}
      </p>
    </>
  );
}

function Content({ run }: { run: RunDetail }) {
  const now = useSeconds(!isEnded(run.state));
  const { approvals, human, settle } = run.needs;
  return (
    <>
      <Summary run={run} now={now} />
      {settle.map((step) => (
        <SettlePanel key={step} run={run} step={step} />
      ))}
      {human.map((task) => (
        <HumanPanel key={`${task.step} ${task.attempt}`} run={run} task={task} />
      ))}
      {approvals && <ApprovalPanel key={approvals.step} run={run} asks={approvals} />}
      <div className="run-columns">
        <div className="stack">
          <Sequence run={run} now={now} />
          {run.samples.length > 0 && <Samples samples={run.samples} />}
          {run.children.length > 0 && (
            <Card title="Runs it called" flush>
              <ul className="run-list">
                {run.children.map((child) => (
                  <RunRow key={child.id} run={child} />
                ))}
              </ul>
            </Card>
          )}
        </div>
        <div className="stack">
          <RunLog run={run} />
          <Facts run={run} />
          {run.undos.length > 0 && <Undos run={run} />}
        </div>
      </div>
    </>
  );
}

export function RunScreen() {
  const { id } = useParams({ from: "/runs/$id" });
  const query = useQuery(runQuery(id));
  useBackKey("/runs");
  const run = query.data;
  return (
    <div className="page">
      <Link to="/runs" className="back">
        <Icon name="chevronLeft" size={14} />
        Runs
      </Link>
      <PageHead
        title={run?.title ?? "Run"}
        note={
          run && (
            <span className="line wrap">
              <RunStateTag run={run} />
              {run.verdict && <VerdictTag verdict={run.verdict} />}
              {run.dry_run && <Tag>Dry run</Tag>}
              <span>
                {run.platform}, <span className="mono">{run.id}</span>
              </span>
            </span>
          )
        }
      >
        {run && <Steering run={run} />}
      </PageHead>
      <Region query={query} what="this run" skeleton={<Skeleton rows={5} height={64} />}>
        {(data) => <Content run={data} />}
      </Region>
    </div>
  );
}
