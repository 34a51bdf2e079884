import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useId, useState } from "react";
import { alertsQuery, whyQuery } from "../../api/queries.ts";
import type { Why, WhyAccount } from "../../api/types.ts";
import { ALERT_PLACES, PageHead } from "../../app/head.tsx";
import type { WhySearch } from "../../lib/search.ts";
import { plural } from "../../lib/units.ts";
import { narrowing } from "../../lib/why.ts";
import { Icon } from "../../ui/icons.tsx";
import { LabelList } from "../../ui/marks.tsx";
import { Banner, Empty, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { Question } from "./question.tsx";
import { RuleRow } from "./rules.tsx";
import { Timeline } from "./timeline.tsx";
import { UtcNote, Verdicts } from "./verdicts.tsx";
import { Way } from "./way.tsx";
import "../../styles/lists.css";
import "../../styles/why.css";

interface AnswerProps {
  why: Why;
  search: WhySearch;
  change: (part: WhySearch) => void;
}

function Account({ account, alone, search, change }: { account: WhyAccount; alone: boolean } & Omit<AnswerProps, "why">) {
  const [asked, setOpen] = useState(false);
  const part = useId();
  const open = alone || asked;
  const name = account.labels.alertname ?? "";
  return (
    <section className="card account" aria-label={`${name} ${account.fingerprint}`}>
      <header className="account-head">
        <h2>{name}</h2>
        <span className="line push">
          {!alone && (
            <Link className="button" data-look="ghost" to="/alerts/why" search={{ ...search, alert: account.fingerprint }}>
              Only this one
            </Link>
          )}
          <Link className="button" data-look="ghost" to="/alerts" search={{ alert: account.fingerprint }}>
            <Icon name="bell" />
            <span>
              Alert<span className="unseen"> {name}</span>
            </span>
          </Link>
        </span>
      </header>
      <LabelList labels={account.labels} skip={["alertname"]} />
      <Verdicts verdicts={account.verdicts} />
      <div className="account-line">
        <h3>Timeline</h3>
        {!alone && (
          <button type="button" className="fold" aria-expanded={open} aria-controls={part} onClick={() => setOpen(!open)}>
            <Icon name={open ? "chevronDown" : "chevronRight"} size={12} />
            {plural(account.timeline.length, "line")}
          </button>
        )}
      </div>
      <div id={part} className="timeline" hidden={!open}>
        {open && <Timeline account={account} stages={search.stage ?? []} onStages={(stage) => change({ stage })} />}
      </div>
    </section>
  );
}

/** No alert of the time is meant: says so, and which way it would have gone. */
function Unknown({ why, past }: { why: Why; past: boolean }) {
  return (
    <>
      <Empty icon="doubt" title="No such alert is known">
        None was pending or fired in the day before <Time at={why.at} show="stamp" />
        {past && ", or in the hour after"}.
      </Empty>
      {why.way.length > 0 && (
        <section className="card account">
          <h2>The way that it would have gone</h2>
          <p className="soft">For an alert with the labels that were asked for and those that its rule adds. Name more to be exact.</p>
          <Way lines={why.way} label="The way down the routes" />
        </section>
      )}
    </>
  );
}

function Answer({ why, search, change }: AnswerProps) {
  const known = why.alerts.length > 0;
  const example = narrowing(why.alerts.map((account) => account.labels));
  return (
    <>
      {known && (
        <p className="soft answer-time">
          As it stood at <Time at={why.at} show="stamp" />. <UtcNote />
        </p>
      )}
      {why.more > 0 && (
        <Banner tone="info">
          {plural(why.more, "more alert is", "more alerts are")} meant. Add labels to tell them apart{example !== null && <>, such as <code>{example}</code></>}.
        </Banner>
      )}
      {why.alerts.map((account) => (
        <Account key={account.fingerprint} account={account} alone={why.alerts.length === 1} search={search} change={change} />
      ))}
      {!known && <Unknown why={why} past={search.at !== undefined} />}
      {why.rules.length > 0 ? (
        <section className="card" data-flush>
          <header className="card-head">
            <h2>{why.rules.length === 1 ? "The rule" : "The rules"}</h2>
            <div className="card-note">
              as now, with the values at <Time at={why.at} show="stamp" />
            </div>
          </header>
          <ul>
            {why.rules.map((rule) => (
              <RuleRow key={`${rule.file} ${rule.group} ${rule.expr}`} rule={rule} at={search.at} />
            ))}
          </ul>
        </section>
      ) : (
        !known && <p className="muted answer-end">There is no alerting rule of this name.</p>
      )}
    </>
  );
}

const OFFERED = 8;

/** Nothing is asked yet: offers the alerts of now. */
function Offer() {
  const alerts = useQuery(alertsQuery({})).data?.alerts ?? [];
  const names = [...new Set(alerts.map((alert) => alert.name))].slice(0, OFFERED);
  return (
    <Empty icon="doubt" title="Name an alert">
      <p>You see who was told of it, who was not, and what would have had to be different.</p>
      {names.length > 0 && (
        <>
          <p className="offers-head">There are now:</p>
          <ul className="offers" aria-label="Alerts now">
            {names.map((name) => (
              <li key={name}>
                <Link className="button" data-look="plain" to="/alerts/why" search={{ alert: name }}>
                  {name}
                </Link>
              </li>
            ))}
          </ul>
        </>
      )}
    </Empty>
  );
}

function Result({ alert, search, change }: { alert: string } & Omit<AnswerProps, "why">) {
  const query = useQuery(whyQuery(alert, search.at));
  return (
    <Region query={query} what="why" skeleton={<Skeleton rows={6} height={64} />}>
      {(why) => <Answer why={why} search={search} change={change} />}
    </Region>
  );
}

export function WhyScreen() {
  const search = useSearch({ from: "/alerts/why" });
  const navigate = useNavigate({ from: "/alerts/why" });
  const change = (part: WhySearch) => void navigate({ search: (now: WhySearch) => ({ ...now, ...part }), replace: true });
  return (
    <div className="page">
      <PageHead title="Why" note="Who was told of an alert, or nobody, and what decided it" places={ALERT_PLACES} />
      <Question search={search} onAsk={(asked) => void navigate({ search: asked })} />
      {search.alert === undefined ? <Offer /> : <Result key={`${search.alert} ${search.at}`} alert={search.alert} search={search} change={change} />}
    </div>
  );
}
