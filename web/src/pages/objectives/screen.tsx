import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { objectivesQuery, type Objective } from "../../api/objectives.ts";
import { useRowKeys } from "../../app/row-keys.ts";
import { PageHead } from "../../app/head.tsx";
import { burnOver, byService, formatBurn, formatLeft, formatShare, formatTarget, leftOf, LOW_BUDGET, narrowObjectives, standingOf } from "../../lib/objectives.ts";
import type { ObjectivesSearch } from "../../lib/search.ts";
import { plural } from "../../lib/units.ts";
import { Button, Toggle } from "../../ui/button.tsx";
import { TextField } from "../../ui/field.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Bar } from "../../ui/meter.tsx";
import { Empty, Region, Skeleton } from "../../ui/states.tsx";
import "../../styles/objectives.css";

const HOUR = 3600;
/** Objectives of a rank below this want a look. */
const FINE = 5;

export function budgetTone(share: number): string {
  return share <= 0 ? "critical" : share < LOW_BUDGET ? "warning" : "ok";
}

/** Shows how much of the budget is left, as a bar and as a number. */
function Budget({ objective }: { objective: Objective }) {
  const share = leftOf(objective);
  if (objective.error !== null || objective.sli === null) return <span className="budget muted">not known</span>;
  return (
    <span className="budget" data-tone={budgetTone(share)}>
      <Bar share={share} tone={budgetTone(share)} />
      <span className="budget-share number">
        {formatLeft(objective, 0)}
        <span className="unseen"> of the budget left</span>
      </span>
    </span>
  );
}

function Burn({ objective, hours }: { objective: Objective; hours: number }) {
  const rate = burnOver(objective, hours * HOUR);
  return (
    <span className="burn number" data-hot={(rate !== null && rate > 1) || undefined}>
      <span className="burn-window">{hours} h </span>
      {formatBurn(rate)}
    </span>
  );
}

function Row({ objective }: { objective: Objective }) {
  const standing = standingOf(objective);
  return (
    <li>
      <Link to="/objectives/$id" params={{ id: objective.id }} className="objective">
        <span className="severity-bar" data-tone={standing.tone} />
        <span className="objective-words">
          <span className="objective-name clip">{objective.name}</span>
          <span className="objective-title clip">{objective.error ?? (objective.title === objective.name ? "" : objective.title)}</span>
        </span>
        <span className="objective-state">
          <Tag tone={standing.tone}>{standing.words}</Tag>
        </span>
        <span className="objective-sli number">
          {objective.sli === null ? "–" : formatShare(objective.sli, 3)}
          <small> of {formatTarget(objective.target)}</small>
        </span>
        <Budget objective={objective} />
        <Burn objective={objective} hours={1} />
        <Burn objective={objective} hours={6} />
      </Link>
    </li>
  );
}

export function ObjectivesScreen() {
  const search = useSearch({ from: "/objectives" });
  const navigate = useNavigate({ from: "/objectives" });
  const query = useQuery(objectivesQuery);
  useRowKeys("objective");
  const change = (part: Partial<ObjectivesSearch>) => void navigate({ search: (now: ObjectivesSearch) => ({ ...now, ...part }), replace: true });
  const all = query.data?.objectives ?? [];
  const trouble = all.filter((each) => standingOf(each).rank < FINE);

  return (
    <div className="page">
      <PageHead title="Objectives" note={query.data && (trouble.length === 0 ? `${plural(all.length, "objective")}, all within budget` : `${trouble.length} of ${plural(all.length, "objective")} in trouble`)} />
      <div className="bar">
        <TextField label="Search objectives" hideLabel type="search" placeholder="Service, objective or state" value={search.q ?? ""} onChange={(event) => change({ q: event.target.value || undefined })} />
        <Toggle on={search.show === "trouble"} count={query.data && trouble.length} onChange={(on) => change({ show: on ? "trouble" : undefined })}>
          In trouble
        </Toggle>
      </div>
      <Region query={query} what="the objectives" skeleton={<Skeleton rows={8} />}>
        {() => {
          const shown = byService(narrowObjectives(search.show === "trouble" ? trouble : all, search.q ?? ""));
          if (all.length === 0) {
            return (
              <Empty icon="gauge" title="No objective is loaded">
                Objectives come from the files that slo_files names, in OpenSLO or Sloth form.
              </Empty>
            );
          }
          if (shown.length === 0) {
            return search.show === "trouble" && !search.q ? (
              <Empty good title="Every objective keeps its budget" action={<Button onClick={() => change({ show: undefined })}>Show all objectives</Button>} />
            ) : (
              <Empty icon="search" title="No objective matches" action={<Button onClick={() => change({ q: undefined, show: undefined })}>Clear search</Button>} />
            );
          }
          return (
            <div className="card objectives" data-flush>
              <p className="objective-heads" aria-hidden="true">
                <span>Objective</span>
                <span>State</span>
                <span>Achieved</span>
                <span>Budget left</span>
                <span>Burn 1 h</span>
                <span>Burn 6 h</span>
              </p>
              {shown.map((group) => (
                <section key={group.service} className="objective-group" aria-label={group.service}>
                  <h2>{group.service}</h2>
                  <ul>
                    {group.objectives.map((each) => (
                      <Row key={each.id} objective={each} />
                    ))}
                  </ul>
                </section>
              ))}
            </div>
          );
        }}
      </Region>
    </div>
  );
}
