import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { documentsQuery, openRunsQuery, runsQuery, type Run } from "../../api/runs.ts";
import { useNow } from "../../app/clock.ts";
import { useRowKeys } from "../../app/row-keys.ts";
import { PageHead, RUN_PLACES } from "../../app/head.tsx";
import { callOf, isEnded, KIND_WORDS, orderOpen, runTime } from "../../lib/runs.ts";
import { DOCUMENT_KINDS, RUN_STATES, type RunsSearch } from "../../lib/search.ts";
import { formatSpan } from "../../lib/time.ts";
import { plural } from "../../lib/units.ts";
import { Button, Toggle } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { SelectField } from "../../ui/field.tsx";
import { Icon, type IconName } from "../../ui/icons.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Empty, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { RunStateTag, VerdictTag } from "./marks.tsx";
import "../../styles/runs.css";

const STATE_WORDS: Record<(typeof RUN_STATES)[number], string> = { open: "Open", ended: "Ended", refused: "Refused" };

/** Returns what the run waits for a person to do, in words. */
function callWords(run: Run): { icon: IconName; words: string } | null {
  switch (callOf(run)) {
    case "settle":
      return { icon: "doubt", words: run.needs.settle.length > 0 ? `Nobody knows whether ${run.needs.settle.join(", ")} happened: look, and say` : run.reason };
    case "task":
      return { icon: "user", words: run.needs.human.map((each) => each.title).join(", ") };
    case "approve": {
      const asks = run.needs.approvals;
      return asks && { icon: "check", words: `${asks.have} of ${asks.count} approvals by ${asks.roles.join(" or ")}` };
    }
    default:
      return null;
  }
}

function why(run: Run): string {
  const started = run.trigger.text || `by ${run.starter}`;
  return run.state === "refused" || run.state === "waiting" || run.state === "failed" ? run.reason || started : started;
}

export function RunRow({ run }: { run: Run }) {
  const now = useNow();
  const call = callWords(run);
  const open = !isEnded(run.state);
  return (
    <li>
      <Link to="/runs/$id" params={{ id: run.id }} className="run" data-call={call !== null || undefined}>
        <span className="run-state">
          <RunStateTag run={run} />
        </span>
        <span className="run-words">
          <span className="run-title clip">
            {run.title}
            {run.dry_run && <span className="muted"> (dry run)</span>}
          </span>
          {call ? (
            <span className="run-call clip">
              <Icon name={call.icon} size={14} />
              {call.words}
            </span>
          ) : (
            <span className="run-why clip">{why(run)}</span>
          )}
        </span>
        <span className="run-kind muted clip">
          {run.platform}, {KIND_WORDS[run.kind].toLowerCase()}
        </span>
        <span className="run-progress">
          {run.verdict ? (
            <VerdictTag verdict={run.verdict} />
          ) : open ? (
            <>
              <span className="ticks" aria-hidden="true">
                {Array.from({ length: Math.min(12, run.progress.total) }, (_, index) => (
                  <i key={index} data-on={index < run.progress.done || undefined} />
                ))}
              </span>
              <span className="number soft">
                {run.progress.done} of {run.progress.total}
                <span className="unseen"> steps done</span>
              </span>
            </>
          ) : null}
        </span>
        <span className="run-times number">
          <span>
            <Time at={run.created_at} after=" ago" />
          </span>
          <small className="muted">{run.state === "refused" ? "" : `${open ? "for" : "took"} ${formatSpan(runTime(run, now))}`}</small>
        </span>
      </Link>
    </li>
  );
}

function Rows({ runs }: { runs: readonly Run[] }) {
  return (
    <ul className="run-list">
      {runs.map((run) => (
        <RunRow key={run.id} run={run} />
      ))}
    </ul>
  );
}

/** What is open, apart by whether it goes on by itself. */
function Open({ runs }: { runs: readonly Run[] }) {
  const ordered = orderOpen(runs);
  const calls = ordered.filter((run) => callOf(run) !== null);
  const others = ordered.filter((run) => callOf(run) === null);
  return (
    <>
      {calls.length > 0 && (
        <Card title="Waits for a person" note={plural(calls.length, "run")} flush>
          <Rows runs={calls} />
        </Card>
      )}
      {others.length > 0 && (
        <Card title="Under way" note={plural(others.length, "run")} flush>
          <Rows runs={others} />
        </Card>
      )}
    </>
  );
}

function matches(run: Run, search: RunsSearch): boolean {
  return (!search.kind || run.kind === search.kind) && (!search.platform || run.platform === search.platform) && (!search.doc || run.doc_id === search.doc);
}

export function RunsScreen() {
  const search = useSearch({ from: "/runs" });
  const navigate = useNavigate({ from: "/runs" });
  const open = useQuery(openRunsQuery);
  useRowKeys("run");
  const { state, kind, platform, doc, before } = search;
  const query = useQuery({ ...runsQuery({ state: state === "open" ? "ended" : state, kind, platform, doc, before }), enabled: state !== "open" });
  const documents = useQuery(documentsQuery).data?.documents ?? [];
  const platforms = [...new Set([...documents.map((each) => each.platform), ...(platform ? [platform] : [])])].sort();
  const change = (part: Partial<RunsSearch>, replace = true) => void navigate({ search: (now: RunsSearch) => ({ ...now, before: undefined, ...part }), replace });
  const counts = open.data?.open;
  const filtered = Boolean(state || kind || platform || doc);
  const clear = () => change({ state: undefined, kind: undefined, platform: undefined, doc: undefined });
  const showOpen = (state === undefined || state === "open") && !before;
  const openRuns = (open.data?.runs ?? []).filter((run) => matches(run, search));
  const past = state === "open" ? [] : (query.data?.runs ?? []).filter((run) => isEnded(run.state));

  return (
    <div className="page">
      <PageHead title="Runs" note={counts && (counts.running + counts.waiting + counts.needs_human === 0 ? "nothing is under way" : `${counts.running} running, ${counts.waiting} waiting, ${counts.needs_human} with a person`)} places={RUN_PLACES} always>
        <Button icon="stop" onClick={() => window.dispatchEvent(new Event("tocsin:stop"))}>
          Kill switch
        </Button>
        <Link to="/runs/documents" className="button" data-look="solid">
          <Icon name="play" />
          <span>Start a run</span>
        </Link>
      </PageHead>
      <div className="bar">
        <div className="toggles" role="group" aria-label="Show only">
          {RUN_STATES.map((each) => (
            <Toggle key={each} on={state === each} count={each === "open" ? open.data?.runs.length : undefined} onChange={(on) => change({ state: on ? each : undefined })}>
              {STATE_WORDS[each]}
            </Toggle>
          ))}
        </div>
        <SelectField label="Kind" hideLabel value={kind ?? ""} choices={[{ value: "", label: "All kinds" }, ...DOCUMENT_KINDS.map((each) => ({ value: each, label: `${KIND_WORDS[each]}s` }))]} onPick={(value) => change({ kind: DOCUMENT_KINDS.find((each) => each === value) })} />
        <SelectField label="Platform" hideLabel value={platform ?? ""} choices={[{ value: "", label: "All platforms" }, ...platforms.map((name) => ({ value: name, label: name }))]} onPick={(value) => change({ platform: value || undefined })} />
        {doc && (
          <Tag tone="accent">
            {doc}
            <button type="button" className="tag-close" aria-label={`Remove ${doc}`} onClick={() => change({ doc: undefined })}>
              <Icon name="close" size={12} />
            </button>
          </Tag>
        )}
      </div>
      {showOpen && (
        <Region query={open} what="the open runs" skeleton={<Skeleton rows={4} />}>
          {() =>
            openRuns.length > 0 ? (
              <Open runs={openRuns} />
            ) : state === "open" ? (
              filtered && (kind || platform || doc) ? (
                <Empty icon="search" title="No open run matches" action={<Button onClick={clear}>Clear filter</Button>} />
              ) : (
                <Empty good title="No run is open">
                  Nothing is under way and nothing waits for a person.
                </Empty>
              )
            ) : null
          }
        </Region>
      )}
      {state !== "open" && (
        <Region query={query} what="the runs" skeleton={<Skeleton rows={8} />}>
          {(data) =>
            past.length === 0 ? (
              filtered ? (
                <Empty icon="search" title="No ended run matches" action={<Button onClick={clear}>Clear filter</Button>} />
              ) : (
                openRuns.length === 0 && (
                  <Empty icon="steps" title="Nothing has run yet" action={<Link to="/runs/documents">See what can be run</Link>}>
                    Runbooks, experiments and drills leave their runs here.
                  </Empty>
                )
              )
            ) : (
              <>
                <Card title={state === "refused" ? "Refused" : "Ended"} flush>
                  <Rows runs={past} />
                </Card>
                <div className="line">
                  {before && <Button onClick={() => change({ before: undefined })}>Newest</Button>}
                  {data.next && <Button onClick={() => change({ before: data.next ?? undefined }, false)}>Older</Button>}
                </div>
              </>
            )
          }
        </Region>
      )}
    </div>
  );
}
