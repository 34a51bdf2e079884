import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { objectiveQuery, type BurnAlert, type ObjectiveDetail } from "../../api/objectives.ts";
import { useNow } from "../../app/clock.ts";
import { useBackKey } from "../../app/row-keys.ts";
import { PageHead } from "../../app/head.tsx";
import { useZone } from "../../app/settings.ts";
import { burnOver, formatBurn, formatLeft, formatShare, formatTarget, leftOf, standingOf, titleOf } from "../../lib/objectives.ts";
import { formatDuration, formatSpan, formatStamp, parseDuration, parseInstant } from "../../lib/time.ts";
import { formatCount, formatNumber } from "../../lib/units.ts";
import { Card } from "../../ui/card.tsx";
import { CopyButton } from "../../ui/copy.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Tag, type Tone } from "../../ui/marks.tsx";
import { Bar } from "../../ui/meter.tsx";
import { Banner, Region, Skeleton } from "../../ui/states.tsx";
import { Tile, Tiles } from "../../ui/tiles.tsx";
import { Time } from "../../ui/time.tsx";
import { BurnDown, ErrorPlot } from "./burn-down.tsx";
import { budgetTone } from "./screen.tsx";
import "../../styles/objectives.css";

const RANGES = ["", "7d", "3d"] as const;

/** Returns a count of events as people read it: whole when it is large, exact when it is small. */
function events(count: number): string {
  return Math.abs(count) >= 100 ? formatCount(count) : formatNumber(count);
}

function Figures({ objective }: { objective: ObjectiveDetail }) {
  const { budget, unit } = objective;
  const left = leftOf(objective);
  const now = useNow();
  const zone = useZone();
  const empty = parseInstant(budget.exhausted_at_forecast);
  const known = objective.sli !== null && objective.error === null;
  return (
    <Tiles>
      <Tile label="Target" note={objective.window.text}>
        {formatTarget(objective.target)}
      </Tile>
      <Tile label="Achieved" note={known ? `${events(objective.total - objective.good)} bad of ${formatCount(objective.total)} ${unit}` : "nothing was counted yet"}>
        {known ? formatShare(objective.sli ?? 0, 3) : "–"}
      </Tile>
      <Tile
        label="Budget left"
        tone={known ? budgetTone(left) : "plain"}
        note={
          known && (
            <>
              <Bar share={left} tone={budgetTone(left)} />
              {left > 0 ? `${events(budget.allowed - budget.spent)} of ${events(budget.allowed)} bad ${unit} still allowed` : `${events(budget.spent - budget.allowed)} more bad ${unit} than the ${events(budget.allowed)} allowed`}
            </>
          )
        }
      >
        {known ? formatLeft(objective, 1) : "–"}
      </Tile>
      <Tile label="At this rate" note={empty === null ? `burn ${formatBurn(burnOver(objective, 3600))} over 1 h, ${formatBurn(burnOver(objective, 21_600))} over 6 h` : `empty ${formatStamp(empty, zone, now)}`} tone={empty === null ? "plain" : "warning"}>
        {!known ? "–" : left <= 0 ? "Spent" : empty === null ? "Lasts" : empty <= now ? "Empty now" : `Empty in ${formatSpan(empty - now)}`}
      </Tile>
    </Tiles>
  );
}

const ALERT_TONES: Record<BurnAlert["state"], Tone> = { inactive: "quiet", pending: "warning", firing: "critical" };
const ALERT_WORDS: Record<BurnAlert["state"], string> = { inactive: "Quiet", pending: "Pending", firing: "Firing" };

function Rate({ rate, factor, window }: { rate: number | null; factor: number | null; window: number | null }) {
  if (factor === null || window === null) return <span className="rate" />;
  const over = rate !== null && rate > factor;
  return (
    <span className="rate" data-tone={over ? "critical" : rate === null ? "quiet" : "ok"}>
      <Bar share={rate === null ? 0 : rate / (factor * 1.5)} tone={over ? "critical" : "ok"} mark={1 / 1.5} />
      <span className="number">
        {formatBurn(rate)} <small>over {formatDuration(window * 1000)}</small>
      </span>
    </span>
  );
}

function Pairs({ objective }: { objective: ObjectiveDetail }) {
  if (objective.alerts.length === 0) return <p className="card-foot muted">No alert watches how fast the budget burns.</p>;
  return (
    <ul className="pairs-list">
      {objective.alerts.map((alert) => (
        <li key={`${alert.name} ${alert.long_seconds} ${alert.factor}`} className="pair">
          <span className="pair-words">
            <span className="pair-name clip">{alert.name}</span>
            <small className="muted">{alert.severity}</small>
          </span>
          <span className="pair-factor number">
            {alert.factor === null ? "when it is spent" : `limit ${formatBurn(alert.factor)}`}
          </span>
          <Rate rate={alert.short_rate} factor={alert.factor} window={alert.short_seconds} />
          <Rate rate={alert.long_rate} factor={alert.factor} window={alert.long_seconds} />
          <span className="pair-state">
            <Tag tone={ALERT_TONES[alert.state]} solid={alert.state === "firing" && /critical|page/.test(alert.severity)}>
              {ALERT_WORDS[alert.state]}
            </Tag>
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Says plainly what makes the numbers of this page less than they seem. */
function Notices({ objective }: { objective: ObjectiveDetail }) {
  return (
    <>
      {objective.error !== null && (
        <Banner tone="critical">
          <strong>It cannot be counted.</strong> {objective.error}
        </Banner>
      )}
      {objective.catching_up && (
        <Banner tone="info">
          <strong>Catching up.</strong> What is stored is being counted; counted until <Time at={objective.counted_until} show="stamp" />. Numbers and alerts follow when the present is reached.
        </Banner>
      )}
      {objective.low_traffic && (
        <Banner tone="warning">
          <strong>Low traffic.</strong> With {formatCount(objective.total)} {objective.unit} in the window a single bad one spends {objective.budget.allowed > 0 ? formatShare(Math.min(99, 1 / objective.budget.allowed), 0) : "all"} of the budget; alerts wait until there is more to judge by.
        </Banner>
      )}
    </>
  );
}

function Content({ objective, range, onRange }: { objective: ObjectiveDetail; range: string; onRange: (range: string) => void }) {
  return (
    <>
      <Notices objective={objective} />
      <Figures objective={objective} />
      {objective.burn_down.length > 0 && (
        <section className="card">
          <header className="card-head">
            <h2>Budget left</h2>
            <div className="segments push" role="group" aria-label="Range of the plot">
              {RANGES.map((each) => (
                <button key={each} type="button" aria-pressed={range === each} onClick={() => onRange(each)}>
                  {each === "" ? "Window" : each.replace("d", " d")}
                </button>
              ))}
            </div>
          </header>
          <BurnDown objective={objective} range={range === "" ? null : parseDuration(range)} />
          <ErrorPlot objective={objective} range={range === "" ? null : parseDuration(range)} />
        </section>
      )}
      <Card title="How fast it burns" note="an alert fires when both windows are over its limit" flush>
        <Pairs objective={objective} />
      </Card>
      <section className="card">
        <header className="card-head">
          <h2>Definition</h2>
          <div className="card-note line">
            <span className="mono">{objective.file}</span>
            <CopyButton text={objective.definition_text} label="Copy definition" />
          </div>
        </header>
        <pre className="source" tabIndex={0} role="region" aria-label="Definition">{objective.definition_text}</pre>
        <p className="objective-window muted">
          Counted by {objective.method === "timeslices" ? "time slices" : "occurrences"} from <Time at={objective.window.from} show="stamp" /> until <Time at={objective.window.until} show="stamp" />, last counted <Time at={objective.counted_until} after=" ago" />.
        </p>
      </section>
    </>
  );
}

export function ObjectiveScreen() {
  const { id } = useParams({ from: "/objectives/$id" });
  const search = useSearch({ from: "/objectives/$id" });
  const navigate = useNavigate({ from: "/objectives/$id" });
  const query = useQuery(objectiveQuery(id));
  useBackKey("/objectives");
  const objective = query.data;
  const standing = objective && standingOf(objective);
  return (
    <div className="page">
      <Link to="/objectives" className="back">
        <Icon name="chevronLeft" size={14} />
        Objectives
      </Link>
      <PageHead title={objective ? titleOf(objective) : "Objective"} note={objective && objective.title !== objective.name && objective.title}>
        {standing && <Tag tone={standing.tone}>{standing.words}</Tag>}
      </PageHead>
      <Region query={query} what="this objective" skeleton={<Skeleton rows={4} height={110} />}>
        {(data) => <Content objective={data} range={search.range ?? ""} onRange={(range) => void navigate({ search: { range: range || undefined }, replace: true })} />}
      </Region>
    </div>
  );
}
