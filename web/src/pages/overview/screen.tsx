import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { overviewQuery } from "../../api/queries.ts";
import type { Overview } from "../../api/types.ts";
import { PageHead } from "../../app/head.tsx";
import { useSession } from "../../app/session.ts";
import { plural } from "../../lib/units.ts";
import { Card } from "../../ui/card.tsx";
import { Empty, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { JourneysCard } from "../journeys/strip.tsx";
import { FaultSwitches } from "./faults.tsx";
import { FiringDay } from "./firing-day.tsx";
import { Health } from "./health.tsx";
import { NeedsYou } from "./needs-you.tsx";
import { Strip } from "./strip.tsx";
import { WaitingRuns } from "./waiting-runs.tsx";
import "../../styles/overview.css";

function Services({ overview }: { overview: Overview }) {
  if (overview.services.length === 0) {
    return (
      <Empty good title="No service is on fire">
        {plural(overview.rules.rules, "rule")} evaluated <Time at={overview.rules.last_evaluation_at} after=" ago" />.
      </Empty>
    );
  }
  const most = Math.max(...overview.services.map((service) => service.firing));
  return (
    <ul className="services">
      {overview.services.map((service) => (
        <li key={service.name}>
          <Link to="/alerts" search={{ filter: [`service=${service.name}`] }} className="service">
            <span className="severity-bar" data-tone={service.severity} />
            <span className="service-name clip">{service.name}</span>
            <span className="service-severity soft">{service.severity}</span>
            <meter className="unseen" min={0} max={most} value={service.firing} aria-label={`${service.firing} firing`} />
            <span className="service-track" aria-hidden="true">
              <span className="service-fill" data-tone={service.severity} style={{ width: `${(100 * service.firing) / most}%` }} />
            </span>
            <span className="service-count number">
              {service.firing} firing
              {service.acknowledged > 0 && <span className="service-acked">, {service.acknowledged} acked</span>}
            </span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

function Content({ overview }: { overview: Overview }) {
  const { demo } = useSession();
  return (
    <>
      <Strip overview={overview} />
      <div className="overview-columns">
        <div className="stack">
          <Card title="Needs you" note={`${overview.needs_you.length} of ${overview.pages_open} open pages`} flush>
            <NeedsYou overview={overview} />
          </Card>
          <WaitingRuns />
          <Card title="Services on fire" flush>
            <Services overview={overview} />
          </Card>
        </div>
        <div className="stack">
          <Card title="Firing in the last 24 hours">
            <FiringDay buckets={overview.firing_24h} />
          </Card>
          <JourneysCard />
          <Card title="Tocsin itself" flush>
            <Health overview={overview} />
          </Card>
          {demo && <FaultSwitches />}
        </div>
      </div>
    </>
  );
}

export function OverviewScreen() {
  const overview = useQuery(overviewQuery);
  return (
    <div className="page">
      <PageHead title="Overview" note={overview.data && <Proof overview={overview.data} />} />
      <Region
        query={overview}
        what="the overview"
        skeleton={
          <>
            <Skeleton rows={1} height={92} />
            <Skeleton rows={6} />
          </>
        }
      >
        {(data) => <Content overview={data} />}
      </Region>
    </div>
  );
}

function Proof({ overview }: { overview: Overview }) {
  return (
    <>
      {plural(overview.rules.rules, "rule")} evaluated <Time at={overview.rules.last_evaluation_at} after=" ago" />
    </>
  );
}
