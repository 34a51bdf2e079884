import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { targetsQuery } from "../../api/queries.ts";
import type { Health, Job, Target } from "../../api/types.ts";
import { EXPLORE_PLACES, PageHead } from "../../app/head.tsx";
import { narrowTargets } from "../../lib/targets.ts";
import type { TargetsSearch } from "../../lib/search.ts";
import { formatCount, formatSeconds, plural } from "../../lib/units.ts";
import { Button, Toggle } from "../../ui/button.tsx";
import { TextField } from "../../ui/field.tsx";
import { Icon } from "../../ui/icons.tsx";
import { LabelList, Tag, type Tone } from "../../ui/marks.tsx";
import { Empty, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import "../../styles/targets.css";

const TONES: Record<Health, Tone> = { up: "ok", down: "critical", unknown: "quiet" };
const WORDS: Record<Health, string> = { up: "Up", down: "Down", unknown: "Not scraped" };

/** Shows how much of the time allowed a scrape took. */
function Took({ target }: { target: Target }) {
  const part = Math.min(1, target.last_duration_seconds / target.timeout_seconds);
  return (
    <span className="took" title={`${formatSeconds(target.last_duration_seconds)} of ${formatSeconds(target.timeout_seconds)} allowed`}>
      <span className="took-track" aria-hidden="true">
        <span className="took-fill" data-tone={part > 0.8 ? "critical" : part > 0.5 ? "warning" : "ok"} style={{ width: `${Math.max(2, part * 100)}%` }} />
      </span>
      <span className="number">{formatSeconds(target.last_duration_seconds)}</span>
    </span>
  );
}

function TargetRow({ target, job }: { target: Target; job: string }) {
  const [open, setOpen] = useState(false);
  return (
    <li className="target">
      <button type="button" className="target-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name={open ? "chevronDown" : "chevronRight"} size={14} />
        <span className="target-health">
          <Tag tone={TONES[target.health]}>{WORDS[target.health]}</Tag>
        </span>
        <span className="target-words">
          <span className="target-name clip">{target.labels.instance ?? target.url}</span>
          {target.last_error !== "" ? <span className="trouble clip">{target.last_error}</span> : target.series_refused > 0 ? <span className="limited clip">{formatCount(target.series_refused)} samples refused: {target.series_refusal}</span> : <span className="muted mono clip">{target.url}</span>}
        </span>
        <span className="target-samples soft number">{formatCount(target.samples)} samples</span>
        {target.last_scrape_at === null ? <span className="took" /> : <Took target={target} />}
        <span className="target-age soft">
          <Time at={target.last_scrape_at} after=" ago" />
        </span>
      </button>
      {open && (
        <div className="target-more">
          {target.last_error !== "" && (
            <p>
              <strong>Why it is down: </strong>
              {target.last_error}
            </p>
          )}
          {target.series_refused > 0 && (
            <p>
              <strong>Of its last scrape {plural(target.series_refused, "sample")} found no series: </strong>
              {target.series_refusal}. Known series go on.{" "}
              <Link to="/explore/series" search={{ by: "targets", q: target.labels.instance }} className="link">
                See who grows
              </Link>
            </p>
          )}
          {target.health === "unknown" && <p>It was found and waits for its first scrape, at most {formatSeconds(target.interval_seconds)} away.</p>}
          <dl className="pairs">
            <div>
              <dt>Address</dt>
              <dd className="mono">{target.url}</dd>
            </div>
            <div>
              <dt>Scraped</dt>
              <dd>
                every {formatSeconds(target.interval_seconds)}, at most {formatSeconds(target.timeout_seconds)}
              </dd>
            </div>
            {target.series_limit !== null && (
              <div>
                <dt>Series</dt>
                <dd>
                  {formatCount(target.series_held ?? 0)} of at most {formatCount(target.series_limit)}
                </dd>
              </div>
            )}
          </dl>
          <h3>Labels</h3>
          <LabelList labels={{ ...target.labels, job: target.labels.job ?? job }} />
          <h3>Before relabelling</h3>
          <LabelList labels={target.discovered_labels} />
        </div>
      )}
    </li>
  );
}

const MOST = 200;

function JobCard({ job }: { job: Job }) {
  const down = job.targets.some((target) => target.health === "down");
  const tone = down ? "critical" : job.up < job.total ? "quiet" : "ok";
  const worst = Math.max(0, ...job.targets.map((target) => target.last_duration_seconds / target.timeout_seconds));
  return (
    <section className="card" data-flush>
      <header className="card-head">
        <h2>{job.name}</h2>
        <Tag tone={tone}>
          {job.up} of {job.total} up
        </Tag>
        <div className="card-note">
          {worst > 0.5 && `slowest takes ${Math.round(worst * 100)} % of its time, `}
          {job.dropped > 0 ? `${plural(job.dropped, "target")} dropped by relabelling` : "none dropped"}
        </div>
      </header>
      <ul>
        {job.targets.slice(0, MOST).map((target) => (
          <TargetRow key={target.url} target={target} job={job.name} />
        ))}
      </ul>
      {job.targets.length > MOST && <p className="card-foot muted">and {job.targets.length - MOST} more: search to see them</p>}
    </section>
  );
}

export function TargetsScreen() {
  const search = useSearch({ from: "/explore/targets" });
  const navigate = useNavigate({ from: "/explore/targets" });
  const query = useQuery(targetsQuery);
  const change = (part: Partial<TargetsSearch>) => void navigate({ search: (now: TargetsSearch) => ({ ...now, ...part }), replace: true });
  const all = query.data?.jobs.flatMap((job) => job.targets) ?? [];
  const down = all.filter((target) => target.health === "down").length;
  const limited = all.filter((target) => target.series_refused > 0).length;

  return (
    <div className="page">
      <PageHead title="Targets" note={query.data && `${plural(all.length, "target")} in ${plural(query.data.jobs.length, "job")}`} places={EXPLORE_PLACES} />
      <div className="bar">
        <TextField label="Search targets" hideLabel type="search" placeholder="Job, address, label or error" value={search.q ?? ""} onChange={(event) => change({ q: event.target.value || undefined })} />
        <Toggle on={search.show === "limited"} count={query.data && limited} tone="warning" onChange={(on) => change({ show: on ? "limited" : undefined })}>
          At a limit
        </Toggle>
        <Toggle on={search.show === "down"} count={query.data && down} tone="critical" onChange={(on) => change({ show: on ? "down" : undefined })}>
          Down
        </Toggle>
      </div>
      <Region query={query} what="the targets" skeleton={<Skeleton rows={10} />}>
        {(data) => {
          const jobs = narrowTargets(data.jobs, search.q ?? "", search.show);
          if (all.length === 0) return <Empty icon="target" title="Nothing is scraped">Targets come from the scrape sections of the configuration.</Empty>;
          if (jobs.length === 0) {
            return search.show !== undefined && !search.q ? (
              <Empty good title={search.show === "down" ? "Every target answers" : "No target is at a limit"} action={<Button onClick={() => change({ show: undefined })}>Show all targets</Button>} />
            ) : (
              <Empty icon="search" title="No target matches" action={<Button onClick={() => change({ q: undefined, show: undefined })}>Clear search</Button>} />
            );
          }
          return (
            <div className="stack">
              {jobs.map((job) => (
                <JobCard key={job.name} job={job} />
              ))}
            </div>
          );
        }}
      </Region>
    </div>
  );
}
