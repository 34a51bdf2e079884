import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { QueryError, wordsOf } from "../../api/client.ts";
import { instantQuery, rangeQuery, type QueryAnswer } from "../../api/queries.ts";
import { serverNow } from "../../app/clock.ts";
import { EXPLORE_PLACES, PageHead } from "../../app/head.tsx";
import { useKeys } from "../../app/shortcuts.ts";
import { spanOfError } from "../../lib/position.ts";
import { remember, recall } from "../../lib/remember.ts";
import { stepFor, type ExploreSearch } from "../../lib/search.ts";
import { formatDuration, HOUR, parseDuration, parseInstant, toInstant } from "../../lib/time.ts";
import { plural } from "../../lib/units.ts";
import { Button } from "../../ui/button.tsx";
import { Banner, Empty, Skeleton } from "../../ui/states.tsx";
import { ActionMenu } from "../../ui/menu.tsx";
import { Graph } from "./graph.tsx";
import { RangeBar } from "./range-bar.tsx";
import { ResultTable } from "./table.tsx";
import "../../styles/explore.css";

const Editor = lazy(() => import("../../promql/editor.tsx"));

const STARTERS = ["up", "sum by (job) (up)", "rate(process_cpu_seconds_total[5m])", "topk(10, count by (__name__) ({__name__!=\"\"}))"];
const FRESH_EVERY = 15_000;

/** Seconds by which the end of a plot may lie behind the present: a coarse step must not hide what happened since. */
const GRAIN = 5;

/** The instants that a search asks for, in seconds. */
function askedRange(search: ExploreSearch, now: number) {
  const range = parseDuration(search.range ?? "") ?? HOUR;
  const chosen = parseDuration(search.step ?? "");
  const step = chosen ? Math.max(0.001, chosen / 1000) : stepFor(range);
  const grain = Math.min(step, GRAIN);
  const end = Math.floor((parseInstant(search.end) ?? now) / 1000 / grain) * grain;
  return { range, step, end, start: end - Math.floor(range / 1000 / step) * step };
}

export function ExploreScreen() {
  const search = useSearch({ from: "/explore" });
  const navigate = useNavigate({ from: "/explore" });
  const client = useQueryClient();
  const expr = search.expr ?? "";
  const [draft, setDraft] = useState(expr);
  const [known, setKnown] = useState(expr);
  const [now, setNow] = useState(serverNow);
  // The URL moved by itself, as by the browser's back button: the editor follows it.
  if (known !== expr) {
    setKnown(expr);
    setDraft(expr);
    setNow(serverNow());
  }
  const table = search.tab === "table";
  const asked = askedRange(search, now);
  const graph = useQuery({ ...rangeQuery({ expr, start: asked.start, end: asked.end, step: asked.step }), enabled: expr !== "" && !table });
  const instant = useQuery({ ...instantQuery(expr, asked.end), enabled: expr !== "" && table, placeholderData: keepPreviousData });
  const query: typeof graph = table ? instant : graph;

  const frozen = search.end !== undefined;
  useEffect(() => {
    if (frozen || expr === "") return undefined;
    const timer = setInterval(() => setNow(serverNow()), FRESH_EVERY);
    return () => clearInterval(timer);
  }, [frozen, expr]);

  const change = (part: Partial<ExploreSearch>, replace = true) => void navigate({ search: (before: ExploreSearch) => ({ ...before, ...part }), replace });
  const run = () => {
    setNow(serverNow());
    const wanted = draft.trim();
    if (wanted !== "") remember("queries", wanted);
    if (wanted !== expr) change({ expr: wanted || undefined }, false);
    else void query.refetch();
  };
  const shift = (by: number) => {
    const end = asked.end * 1000 + (by * asked.range) / 2;
    change({ end: end >= serverNow() ? undefined : toInstant(end) });
    setNow(serverNow());
  };
  useKeys({
    "/": () => document.querySelector<HTMLElement>(".editor .cm-content")?.focus(),
    "[": () => shift(-1),
    "]": () => shift(1),
  });

  const error = query.error;
  const fault = useMemo(() => {
    if (!(error instanceof QueryError) || draft !== expr) return null;
    return { span: spanOfError(expr, error.message, error.position), words: error.message };
  }, [error, draft, expr]);
  const past = recall("queries").filter((each) => each !== draft);

  return (
    <div className="page">
      <PageHead title="Explore" places={EXPLORE_PLACES} />
      <section className="card query" aria-label="Query">
        <div className="query-line">
          <div className="query-editor">
            <Suspense fallback={<div className="editor-place mono">{draft || "PromQL expression"}</div>}>
              <Editor value={draft} onChange={setDraft} onRun={run} fault={fault} />
            </Suspense>
          </div>
          <div className="query-buttons">
            {past.length > 0 && (
              <ActionMenu
                entries={past.slice(0, 10).map((each) => ({ label: each, onPick: () => change({ expr: each }, false) }))}
                target={<Button icon="clock">History</Button>}
              />
            )}
            {query.isFetching && !query.data ? (
              <Button icon="close" onClick={() => void client.cancelQueries({ queryKey: [table ? "instant" : "range"] })}>
                Stop
              </Button>
            ) : (
              <Button look="solid" icon="play" onClick={run} title="Ctrl Enter">
                Run
              </Button>
            )}
          </div>
        </div>
        <RangeBar search={search} step={asked.step} table={table} onChange={change} onShift={shift} />
      </section>
      {error && expr !== "" && (
        <Banner tone="critical">
          <span className="mono">{wordsOf(error).title}</span>
        </Banner>
      )}
      {expr === "" ? (
        <Empty icon="explore" title="Ask the metrics">
          <p>Write an expression, or start from one of these.</p>
          <ul className="starters">
            {STARTERS.map((starter) => (
              <li key={starter}>
                <button type="button" className="chip mono" onClick={() => change({ expr: starter }, false)}>
                  {starter}
                </button>
              </li>
            ))}
          </ul>
        </Empty>
      ) : (
        !error && <Answer answer={query.data} table={table} asked={asked} onZoom={(start, end) => change({ range: formatDuration(Math.max(1000, Math.round(end - start) * 1000)), end: toInstant(Math.ceil(end) * 1000) }, false)} />
      )}
    </div>
  );
}

interface AnswerProps {
  answer: QueryAnswer | undefined;
  table: boolean;
  asked: { start: number; end: number; step: number };
  onZoom: (start: number, end: number) => void;
}

function sizeOf(answer: QueryAnswer): string {
  const { result } = answer;
  if (result.resultType === "scalar" || result.resultType === "string") return "one value";
  return plural(result.result.length, "series", "series");
}

function Answer({ answer, table, asked, onZoom }: AnswerProps) {
  if (!answer) return <Skeleton rows={1} height={table ? 300 : 360} />;
  return (
    <section className="card answer" data-flush aria-label="Answer">
      <header className="card-head">
        <h2>{sizeOf(answer)}</h2>
        <div className="card-note number">{Math.round(answer.took)} ms</div>
      </header>
      {answer.notes.map((words) => (
        <Banner key={words} tone="info">
          {words}
        </Banner>
      ))}
      {table ? <ResultTable result={answer.result} /> : <Graph result={answer.result} start={asked.start} end={asked.end} step={asked.step} onZoom={onZoom} />}
    </section>
  );
}
