import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { rulesQuery } from "../../api/queries.ts";
import type { Rule, RuleGroup } from "../../api/types.ts";
import { ALERT_PLACES, PageHead } from "../../app/head.tsx";
import type { RulesSearch } from "../../lib/search.ts";
import { formatDuration, parseInstant, toInstant } from "../../lib/time.ts";
import { formatSeconds, plural } from "../../lib/units.ts";
import { Button, Toggle } from "../../ui/button.tsx";
import { TextField } from "../../ui/field.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Empty, Region } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import "../../styles/lists.css";

function isFailing(rule: Rule): boolean {
  return rule.health === "err";
}

function isFiring(rule: Rule): boolean {
  return rule.state === "firing" || rule.state === "pending";
}

// Prometheus writes nanoseconds and zones of the machine; the rest of the page takes UTC in milliseconds.
function normal(text: string | undefined): string | null {
  if (!text) return null;
  if (parseInstant(text) !== null) return text;
  const at = Date.parse(text);
  return Number.isNaN(at) || at <= 0 ? null : toInstant(at);
}

function RuleRow({ rule }: { rule: Rule }) {
  return (
    <li className="rule">
      <div className="rule-head">
        <span className="rule-name">{rule.name}</span>
        {isFailing(rule) && <Tag tone="critical">Fails</Tag>}
        {rule.state === "firing" && (
          <Link to="/alerts" search={{ filter: [`alertname=${rule.name}`] }}>
            <Tag tone="warning">{plural(rule.alerts?.length ?? 0, "alert")} firing</Tag>
          </Link>
        )}
        {rule.state === "pending" && <Tag>Pending</Tag>}
        {rule.type === "recording" && <Tag>records</Tag>}
        {rule.labels?.severity && <span className="muted">{rule.labels.severity}</span>}
        <span className="push muted number">
          {rule.duration !== undefined && rule.duration > 0 && `for ${formatDuration(rule.duration * 1000)}, `}
          {rule.evaluationTime !== undefined && formatSeconds(rule.evaluationTime)}
        </span>
      </div>
      <Link className="rule-expression" to="/explore" search={{ expr: rule.query }} title="Open in Explore">
        <code>{rule.query}</code>
      </Link>
      {rule.lastError && <p className="trouble">{rule.lastError}</p>}
    </li>
  );
}

function Group({ group }: { group: RuleGroup }) {
  return (
    <section className="card" data-flush>
      <header className="card-head">
        <h2>{group.name}</h2>
        <span className="muted mono clip">{group.file}</span>
        <div className="card-note">
          every {formatDuration(group.interval * 1000)}, evaluated <Time at={normal(group.lastEvaluation)} after=" ago" />
          {group.evaluationTime !== undefined && ` in ${formatSeconds(group.evaluationTime)}`}
        </div>
      </header>
      <ul>
        {group.rules.map((rule) => (
          <RuleRow key={`${rule.type} ${rule.name} ${rule.query} ${JSON.stringify(rule.labels)}`} rule={rule} />
        ))}
      </ul>
    </section>
  );
}

const MOST_RULES = 500;

function narrowed(groups: readonly RuleGroup[], search: RulesSearch): RuleGroup[] {
  const words = (search.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  let room = MOST_RULES;
  return groups.flatMap((group) => {
    const rules = group.rules
      .filter((rule) => (search.show === "failing" ? isFailing(rule) : search.show === "firing" ? isFiring(rule) : true))
      .filter((rule) => {
        const where = `${group.name} ${group.file} ${rule.name} ${rule.query}`.toLowerCase();
        return words.every((word) => where.includes(word));
      })
      .slice(0, Math.max(0, room));
    room -= rules.length;
    return rules.length > 0 ? [{ ...group, rules }] : [];
  });
}

export function RulesScreen() {
  const search = useSearch({ from: "/alerts/rules" });
  const navigate = useNavigate({ from: "/alerts/rules" });
  const query = useQuery(rulesQuery);
  const change = (part: Partial<RulesSearch>) => void navigate({ search: (now: RulesSearch) => ({ ...now, ...part }), replace: true });
  const all = query.data?.groups.flatMap((group) => group.rules) ?? [];

  return (
    <div className="page">
      <PageHead title="Rules" note={query.data && `${plural(all.length, "rule")} in ${plural(query.data.groups.length, "group")}`} places={ALERT_PLACES} />
      <div className="bar">
        <TextField label="Search rules" hideLabel type="search" placeholder="Name, file or expression" value={search.q ?? ""} onChange={(event) => change({ q: event.target.value || undefined })} />
        <div className="toggles" role="group" aria-label="Show only">
          <Toggle on={search.show === "firing"} count={query.data && all.filter(isFiring).length} tone="warning" onChange={(on) => change({ show: on ? "firing" : undefined })}>
            Firing or pending
          </Toggle>
          <Toggle on={search.show === "failing"} count={query.data && all.filter(isFailing).length} tone="critical" onChange={(on) => change({ show: on ? "failing" : undefined })}>
            Failing
          </Toggle>
        </div>
      </div>
      <Region query={query} what="the rules">
        {(data) => {
          const shown = narrowed(data.groups, search);
          if (all.length === 0) return <Empty icon="rules" title="No rule is loaded">Rules come from the files that the configuration names.</Empty>;
          if (shown.length === 0) {
            return search.show === "failing" && !search.q ? (
              <Empty good title="Every rule can be evaluated" action={<Button onClick={() => change({ show: undefined })}>Show all rules</Button>} />
            ) : (
              <Empty icon="search" title="No rule matches" action={<Button onClick={() => change({ q: undefined, show: undefined })}>Clear search</Button>} />
            );
          }
          return (
            <div className="stack">
              {shown.map((group) => (
                <Group key={`${group.file} ${group.name}`} group={group} />
              ))}
            </div>
          );
        }}
      </Region>
    </div>
  );
}
