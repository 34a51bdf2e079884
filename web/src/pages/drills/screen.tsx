import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { drillsQuery, experimentsQuery, type Drill, type Experiment } from "../../api/drills.ts";
import { PageHead } from "../../app/head.tsx";
import { byPlatform, formatTook, PHASE_WORDS, slowest } from "../../lib/drills.ts";
import { verdictTone } from "../../lib/runs.ts";
import { plural } from "../../lib/units.ts";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Empty, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { JourneysCard } from "../journeys/strip.tsx";
import { VerdictTag } from "../runs/marks.tsx";
import { Goal, Sparkline } from "./goal.tsx";
import { Trend } from "./trend.tsx";
import "../../styles/runs.css";
import "../../styles/drills.css";

function DrillCard({ drill, open, onToggle }: { drill: Drill; open: boolean; onToggle: () => void }) {
  const { document, cadence, results } = drill;
  const last = results[0];
  const measured = results.find((each) => each.rto_seconds !== null || each.rpo_seconds !== null);
  const goal = measured?.objective ?? drill.objective;
  const slower = slowest(results);
  return (
    <section className="card drill" data-open={open || undefined} aria-label={document.title}>
      <header className="drill-head">
        <div className="drill-words">
          <h2>
            <Link to="/runs/documents/$id" params={{ id: document.id }}>
              {document.title}
            </Link>
          </h2>
          <p className="muted">
            {document.platform},{" "}
            {last ? (
              <>
                last <Time at={last.at} after=" ago" />
              </>
            ) : (
              "never held"
            )}
            {cadence.due_at && (
              <>
                , {cadence.overdue ? "was due" : "due"} <Time at={cadence.due_at} after={cadence.overdue ? " ago" : ""} />
              </>
            )}
          </p>
        </div>
        <div className="drill-tags">
          {cadence.overdue && (
            <Tag tone="warning" solid={false}>
              Overdue
            </Tag>
          )}
          {last && <VerdictTag verdict={last.verdict} />}
        </div>
      </header>
      {goal && (
        <div className="goals">
          <Goal name="RTO" seconds={measured?.rto_seconds ?? null} limit={goal.rto_seconds} />
          <Sparkline results={results} pick={(each) => each.rto_seconds} limit={goal.rto_seconds} name="RTO" />
          <Goal name="RPO" seconds={measured?.rpo_seconds ?? null} limit={goal.rpo_seconds} />
          <Sparkline results={results} pick={(each) => each.rpo_seconds} limit={goal.rpo_seconds} name="RPO" />
        </div>
      )}
      <footer className="drill-foot">
        {slower ? (
          <span className="soft">
            {PHASE_WORDS[slower.phase]} took {formatTook(slower.by)} longer than before
          </span>
        ) : (
          <span className="muted">{plural(results.length, "drill")} so far</span>
        )}
        <span className="line push">
          {last && (
            <Link to="/drills/$id" params={{ id: last.run }} className="button" data-look="ghost">
              Report
            </Link>
          )}
          {results.length > 0 && (
            <Button look="ghost" aria-expanded={open} onClick={onToggle}>
              {open ? "Fold" : "Trend"}
              <span className="unseen"> of {document.title}</span>
            </Button>
          )}
        </span>
      </footer>
      {open && <Trend drill={drill} />}
    </section>
  );
}

const TICKS = 20;

function ExperimentRow({ experiment }: { experiment: Experiment }) {
  const { document, results } = experiment;
  const last = results[0];
  const shown = results.slice(0, TICKS).toReversed();
  return (
    <li className="experiment">
      <div className="experiment-words">
        <Link to="/runs/documents/$id" params={{ id: document.id }} className="experiment-title">
          {document.title}
        </Link>
        <p className="muted clip">{last ? last.why : (document.experiment?.hypothesis.join("; ") ?? "")}</p>
      </div>
      <span className="muted experiment-place">
        {document.platform}, {document.experiment?.environment ?? ""}
      </span>
      <ul className="verdicts" aria-label="Verdicts, the newest last">
        {shown.map((each) => (
          <li key={each.run}>
            <Link to="/drills/$id" params={{ id: each.run }} className="verdict" data-tone={verdictTone(each.verdict)} title={each.verdict}>
              <span className="unseen">{each.verdict}</span>
            </Link>
          </li>
        ))}
      </ul>
      <span className="experiment-last">
        {last ? (
          <>
            <VerdictTag verdict={last.verdict} />
            <small className="muted">
              <Time at={last.at} after=" ago" />
            </small>
          </>
        ) : (
          <span className="muted">never ran</span>
        )}
      </span>
    </li>
  );
}

export function DrillsScreen() {
  const search = useSearch({ from: "/drills" });
  const navigate = useNavigate({ from: "/drills" });
  const query = useQuery(drillsQuery);
  const experiments = useQuery(experimentsQuery);
  const all = query.data?.drills ?? [];
  const overdue = all.filter((each) => each.cadence.overdue).length;
  return (
    <div className="page">
      <PageHead title="Drills" note={query.data && (overdue > 0 ? `${overdue} of ${plural(all.length, "drill")} overdue` : `${plural(all.length, "drill")}, none overdue`)} />
      <JourneysCard wide />
      <Region query={query} what="the drills" skeleton={<Skeleton rows={3} height={150} />}>
        {(data) =>
          data.drills.length === 0 ? (
            <Empty icon="lifebuoy" title="No drill is written">
              A drill says what is lost, how fast it must be back, and measures whether it is.
            </Empty>
          ) : (
            <div className="drills">
              {byPlatform(data.drills).flatMap((group) =>
                group.drills.map((drill) => (
                  <DrillCard
                    key={drill.document.id}
                    drill={drill}
                    open={search.open === drill.document.id}
                    onToggle={() => void navigate({ search: search.open === drill.document.id ? {} : { open: drill.document.id }, replace: true })}
                  />
                )),
              )}
            </div>
          )
        }
      </Region>
      <Region query={experiments} what="the experiments" skeleton={<Skeleton rows={3} />}>
        {(data) =>
          data.experiments.length === 0 ? null : (
            <Card title="Experiments" note="each mark is a run, the newest at the right" flush>
              <ul>
                {data.experiments.map((each) => (
                  <ExperimentRow key={each.document.id} experiment={each} />
                ))}
              </ul>
            </Card>
          )
        }
      </Region>
    </div>
  );
}

