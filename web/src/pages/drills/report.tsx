import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import { reportAddress, reportQuery, type Report, type ReportPlot } from "../../api/drills.ts";
import { useBackKey } from "../../app/row-keys.ts";
import { PageHead } from "../../app/head.tsx";
import { useZone } from "../../app/settings.ts";
import { formatTook, isWithin } from "../../lib/drills.ts";
import { textOf } from "../../lib/params.ts";
import { verdictTone } from "../../lib/runs.ts";
import { laid } from "../../lib/report.ts";
import { parseInstant } from "../../lib/time.ts";
import { formatNumber, plural } from "../../lib/units.ts";
import type { SeriesLook } from "../../plot/canvas.tsx";
import { lineVariable } from "../../plot/palette.ts";
import { Plot } from "../../plot/plot.tsx";
import { Card } from "../../ui/card.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Banner, Region, Skeleton } from "../../ui/states.tsx";
import { Tile, Tiles } from "../../ui/tiles.tsx";
import { Time } from "../../ui/time.tsx";
import { VerdictTag } from "../runs/marks.tsx";
import "../../styles/runs.css";
import "../../styles/drills.css";

const NONE: ReadonlySet<number> = new Set();
const MEASURED_APART = new Set(["rto_seconds", "rpo_seconds", "lost_writes"]);

/** Returns a measured value with its unit, which is the last word of its name. */
function measured(name: string, value: unknown): string {
  if (value === null || value === undefined) return "not measured";
  if (typeof value === "number") {
    if (name.endsWith("_seconds")) return formatTook(value);
    if (name.endsWith("_ms")) return `${formatNumber(value)} ms`;
    return formatNumber(value);
  }
  return textOf(value);
}

const label = (name: string) => {
  const words = name.replace(/_(seconds|ms)$/, "").replaceAll("_", " ");
  return `${words[0]?.toUpperCase() ?? ""}${words.slice(1)}`;
};

function GoalTile({ name, title, seconds, limit, note }: { name: string; title: string; seconds: unknown; limit: number | null; note: string }) {
  const value = typeof seconds === "number" ? seconds : null;
  const ok = isWithin(value, limit);
  return (
    <Tile label={`${name}, ${title}`} tone={ok === null ? "plain" : ok ? "ok" : "critical"} note={limit === null ? "no objective" : `objective ${formatTook(limit)}${ok === null ? "" : ok ? ", met" : ", missed"}${note}`}>
      {formatTook(value)}
    </Tile>
  );
}

function Figures({ report }: { report: Report }) {
  const { objective } = report;
  const lost = report.measured.lost_writes;
  const { acknowledged } = report.measured;
  if (!objective) return null;
  return (
    <Tiles>
      <GoalTile name="RTO" title="until users got through" seconds={report.measured.rto_seconds} limit={objective.rto_seconds} note="" />
      <GoalTile name="RPO" title="of data lost" seconds={report.measured.rpo_seconds} limit={objective.rpo_seconds} note="" />
      <Tile label="Lost writes" tone={typeof lost === "number" && lost > 0 ? "critical" : "plain"} note={typeof acknowledged === "number" ? `of ${formatNumber(acknowledged)} acknowledged` : "not measured"}>
        {typeof lost === "number" ? formatNumber(lost) : "–"}
      </Tile>
    </Tiles>
  );
}

/** Draws the phases on one axis of time, each with its budget. */
function Phases({ report }: { report: Report }) {
  const rows = laid(report.phases);
  if (rows.length === 0) return null;
  return (
    <Card title="Phases" note="the mark is the budget of the phase" flush>
      <ol className="report-phases">
        {rows.map(({ phase, from, width, budget }, index) => (
          <li key={`${phase.name} ${phase.from}`} className="report-phase">
            <span className="report-name">{label(phase.name)}</span>
            <span className="phase-track" aria-hidden="true">
              <span className="phase-part" style={{ left: `${from * 100}%`, width: `${Math.max(0.4, width * 100)}%`, background: lineVariable(index) }} />
              {budget !== null && <span className="phase-limit" style={{ left: `${Math.min(1, from + budget) * 100}%` }} />}
            </span>
            <span className="report-took number">
              {formatTook(phase.seconds)}
              {phase.budget_seconds !== null && <small className="muted"> of {formatTook(phase.budget_seconds)}</small>}
            </span>
            <span className="report-ok">{phase.ok !== null && <Tag tone={phase.ok ? "ok" : "critical"}>{phase.ok ? "within" : "over"}</Tag>}</span>
          </li>
        ))}
      </ol>
    </Card>
  );
}

function ReportPlotCard({ plot }: { plot: ReportPlot }) {
  const zone = useZone();
  const frame = useMemo(() => {
    const instants = [...new Set(plot.series.flatMap((each) => each.points.map(([at]) => at)))].toSorted((left, right) => left - right);
    const rows = plot.series.map((each) => {
      const values = new Map(each.points);
      return instants.map((at) => values.get(at) ?? null);
    });
    return { times: instants.map((at) => at / 1000), rows };
  }, [plot]);
  const names = useMemo(() => plot.series.map((each) => each.name), [plot]);
  const looks = useMemo<SeriesLook[]>(() => plot.series.map((_, index) => ({ colour: `plot-${(index % 8) + 1}` })), [plot]);
  const marks = useMemo(
    () =>
      plot.marks.flatMap((mark) => {
        const at = parseInstant(mark.at);
        return at === null ? [] : [{ at: at / 1000, words: mark.text }];
      }),
    [plot],
  );
  if (frame.times.length < 2) return null;
  return (
    <section className="card">
      <header className="card-head">
        <h2>{plot.title}</h2>
        <div className="card-note">{plot.unit}</div>
      </header>
      <figure className="plot-figure">
        <Plot frame={frame} names={names} zone={zone} height={180} hidden={NONE} coloured={null} looks={looks} marks={marks} label={`${plot.title}${plot.unit ? ` in ${plot.unit}` : ""}: ${plural(names.length, "series", "series")}, ${plural(marks.length, "mark")}.`} />
        {names.length > 1 && (
          <figcaption className="phase-legend">
            {names.map((name, index) => (
              <span key={name}>
                <i style={{ background: lineVariable(index) }} />
                {name}
              </span>
            ))}
          </figcaption>
        )}
      </figure>
    </section>
  );
}

function Receipt({ page }: { page: Record<string, unknown> }) {
  const shown = Object.entries(page).filter(([name, value]) => value !== null && name !== "ok" && name !== "why");
  const ok = typeof page.ok === "boolean" ? page.ok : null;
  return (
    <Card title="Page receipt" note={ok !== null && <Tag tone={ok ? "ok" : "critical"}>{ok ? "in time" : "not in time"}</Tag>}>
      <div className="stack-8">
        {typeof page.why === "string" && <p>{page.why}</p>}
        <dl className="pairs">
          {shown.map(([name, value]) => (
            <div key={name}>
              <dt>{label(name.replace(/_at$/, ""))}</dt>
              <dd>{name.endsWith("_at") && typeof value === "string" && parseInstant(value) !== null ? <Time at={value} show="stamp" /> : textOf(value)}</dd>
            </div>
          ))}
        </dl>
      </div>
    </Card>
  );
}

function Content({ report }: { report: Report }) {
  const others = Object.entries(report.measured).filter(([name]) => !report.objective || !MEASURED_APART.has(name));
  const tone = verdictTone(report.verdict);
  return (
    <>
      <Banner tone={tone === "accent" || tone === "quiet" ? "info" : tone}>
        <strong>{label(report.verdict)}.</strong> {report.why}
      </Banner>
      <Figures report={report} />
      <div className="run-columns">
        <div className="stack">
          <Phases report={report} />
          {report.plots.map((plot) => (
            <ReportPlotCard key={plot.title} plot={plot} />
          ))}
        </div>
        <div className="stack">
          {report.checks.length > 0 && (
            <Card title="Checks" flush>
              <ul className="small-list">
                {report.checks.map((check) => (
                  <li key={check.id}>
                    <span className="fact-mark" data-tone={check.ok ? "ok" : "critical"}>
                      <Icon name={check.ok ? "check" : "close"} size={12} />
                      <span className="unseen">{check.ok ? "passed: " : "failed: "}</span>
                    </span>
                    <span>{check.text || label(check.id)}</span>
                  </li>
                ))}
              </ul>
            </Card>
          )}
          {report.page && <Receipt page={report.page} />}
          {others.length > 0 && (
            <Card title="Measured">
              <dl className="pairs">
                {others.map(([name, value]) => (
                  <div key={name}>
                    <dt>{label(name)}</dt>
                    <dd className="number">{measured(name, value)}</dd>
                  </div>
                ))}
              </dl>
            </Card>
          )}
          <Card title="Timeline">
            <ol className="timeline">
              {report.timeline.map((entry, index) => (
                <li key={`${entry.at} ${index}`}>
                  <Time at={entry.at} show="stamp" />
                  <span>{entry.text}</span>
                </li>
              ))}
            </ol>
          </Card>
        </div>
      </div>
    </>
  );
}

export function ReportScreen() {
  const { id } = useParams({ from: "/drills/$id" });
  const query = useQuery(reportQuery(id));
  useBackKey("/drills");
  const report = query.data;
  return (
    <div className="page">
      <Link to="/drills" className="back">
        <Icon name="chevronLeft" size={14} />
        Drills
      </Link>
      <PageHead
        title={report?.run.title ?? "Report"}
        note={
          report && (
            <span className="line wrap">
              <VerdictTag verdict={report.verdict} />
              <span>
                {report.run.platform}, <Time at={report.run.created_at} show="stamp" />
              </span>
            </span>
          )
        }
      >
        {report && (
          <>
            <Link to="/runs/$id" params={{ id }} className="button" data-look="plain">
              <Icon name="steps" />
              <span>Steps</span>
            </Link>
            <a className="button" data-look="plain" href={reportAddress(id, "html")} target="_blank" rel="noopener noreferrer">
              <Icon name="external" />
              <span>Page</span>
            </a>
            <a className="button" data-look="plain" href={reportAddress(id, "json")} download={`report-${id}.json`}>
              <Icon name="download" />
              <span>JSON</span>
            </a>
          </>
        )}
      </PageHead>
      <Region query={query} what="this report" skeleton={<Skeleton rows={4} height={110} />}>
        {(data) => <Content report={data} />}
      </Region>
    </div>
  );
}
