import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { alertQuery, pageQuery, whyQuery } from "../../api/queries.ts";
import { silencesQuery } from "../../api/silences.ts";
import type { Alert, AlertDetail, Delivery } from "../../api/types.ts";
import { useNow } from "../../app/clock.ts";
import { useWhyNotRespond } from "../../app/session.ts";
import { useZone } from "../../app/settings.ts";
import { isQuiet } from "../../lib/grouping.ts";
import { safeLink } from "../../lib/links.ts";
import { endWords, makerOf } from "../../lib/silences.ts";
import { formatDuration } from "../../lib/time.ts";
import { formatValue } from "../../lib/units.ts";
import { AckButton } from "../../ui/ack-button.tsx";
import { Button, IconButton } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy.tsx";
import { Icon } from "../../ui/icons.tsx";
import { AlertStateTag, FlappingTag, LabelList, SeverityMark, Tag, type Tone } from "../../ui/marks.tsx";
import { Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { UtcNote, Verdicts } from "../why/verdicts.tsx";
import { AlertPlot } from "./alert-plot.tsx";
import { History } from "./history.tsx";
import { Suggestions } from "./suggestions.tsx";

interface DetailProps {
  fingerprint: string;
  /** What the list already knows, so that the panel never starts empty. */
  known: Alert | undefined;
  onClose: () => void;
  onMove: (by: number) => void;
  onPick: (name: string, value: string) => void;
  onSilence: (alert: Alert) => void;
}

export function AlertDetailPanel({ fingerprint, known, onClose, onMove, onPick, onSilence }: DetailProps) {
  const query = useQuery(alertQuery(fingerprint));
  const alert = query.data ?? known;
  return (
    <section className="detail" aria-label={alert ? `Alert ${alert.name}` : "Alert"}>
      <div className="detail-bar">
        <Button look="ghost" icon="chevronLeft" className="detail-back" onClick={onClose}>
          Alerts
        </Button>
        <span className="push line">
          <IconButton icon="chevronLeft" label="Previous alert" onClick={() => onMove(-1)} />
          <IconButton icon="chevronRight" label="Next alert" onClick={() => onMove(1)} />
          <IconButton icon="close" label="Close" className="detail-close" onClick={onClose} />
        </span>
      </div>
      <div className="detail-scroll" tabIndex={0} role="region" aria-label="Facts of the alert">
        {alert && <Head alert={alert} />}
        {alert && <Actions alert={alert} onSilence={onSilence} />}
        <Region query={query} what="this alert" skeleton={<Skeleton rows={6} height={32} />}>
          {(data) => <Facts alert={data} onPick={onPick} />}
        </Region>
      </div>
    </section>
  );
}

function Head({ alert }: { alert: Alert }) {
  const { summary, description } = alert.annotations;
  return (
    <div className="detail-head">
      <div className="line wrap">
        <SeverityMark severity={alert.severity} quiet={isQuiet(alert) || alert.state !== "firing"} />
        <AlertStateTag alert={alert} />
        <FlappingTag alert={alert} />
        <span className="soft">
          {alert.state === "resolved" ? (
            <>
              ended <Time at={alert.resolved_at} after=" ago" />
            </>
          ) : alert.state === "pending" ? (
            <>
              since <Time at={alert.active_at} />
            </>
          ) : (
            <>
              for <Time at={alert.fired_at ?? alert.active_at} />
            </>
          )}
        </span>
      </div>
      <h2>{alert.name}</h2>
      {summary && <p className="detail-summary">{summary}</p>}
      {description && description !== summary && <p className="soft">{description}</p>}
    </div>
  );
}

function Actions({ alert, onSilence }: { alert: Alert; onSilence: (alert: Alert) => void }) {
  const mayNot = useWhyNotRespond();
  const runbook = safeLink(alert.annotations.runbook_url ?? alert.annotations.runbook);
  const open = alert.page?.state === "triggered" && alert.state !== "resolved" ? alert.page.id : null;
  return (
    <div className="detail-actions">
      {open && <AckButton pages={[open]} what={alert.name} look="solid" wide />}
      <Button icon="bellOff" reason={mayNot} onClick={() => onSilence(alert)}>
        Silence
      </Button>
      {runbook && (
        <a className="button" data-look="plain" href={runbook} target="_blank" rel="noopener noreferrer">
          <Icon name="external" />
          <span>Runbook</span>
        </a>
      )}
    </div>
  );
}

function Part({ title, note, children }: { title: string; note?: ReactNode; children: ReactNode }) {
  return (
    <section className="part">
      <header className="part-head">
        <h3>{title}</h3>
        {note}
      </header>
      {children}
    </section>
  );
}

function Facts({ alert, onPick }: { alert: AlertDetail; onPick: (name: string, value: string) => void }) {
  return (
    <>
      <Quieted alert={alert} />
      <Told fingerprint={alert.fingerprint} />
      {alert.state !== "resolved" && <Suggestions alert={alert.fingerprint} page={alert.page?.id} />}
      {alert.rule && (
        <Part
          title="Rule"
          note={
            <span className="line push">
              <CopyButton text={alert.rule.expr} label="Copy expression" />
              <Link className="button" data-look="ghost" to="/explore" search={{ expr: alert.rule.expr }}>
                <Icon name="explore" />
                <span>Explore</span>
              </Link>
            </span>
          }
        >
          <AlertPlot alert={alert} expr={alert.rule.expr} />
          <pre className="expression">{alert.rule.expr}</pre>
          <dl className="pairs">
            {alert.value !== null && (
              <div>
                <dt>Value</dt>
                <dd className="number">{formatValue(alert.value)}</dd>
              </div>
            )}
            <div>
              <dt>Held for</dt>
              <dd>{alert.rule.for_seconds > 0 ? formatDuration(alert.rule.for_seconds * 1000) : "no wait"}</dd>
            </div>
            <div>
              <dt>Group</dt>
              <dd>
                {alert.rule.group}, <span className="mono">{alert.rule.file}</span>
              </dd>
            </div>
          </dl>
        </Part>
      )}
      <Part title="Labels" note={<span className="muted push">press one to filter</span>}>
        <LabelList labels={alert.labels} onPick={onPick} />
      </Part>
      <Annotations alert={alert} />
      {alert.page && <PageStory id={alert.page.id} />}
      <Part title="History">
        <History alert={alert} />
      </Part>
      <Part title="Notifications" note={<Receivers alert={alert} />}>
        {alert.deliveries.length === 0 ? <p className="muted">None was sent for this alert.</p> : <Deliveries deliveries={alert.deliveries} />}
      </Part>
    </>
  );
}

/** Says which receivers were told, which were not, and why. */
function Told({ fingerprint }: { fingerprint: string }) {
  const query = useQuery(whyQuery(fingerprint));
  return (
    <Part
      title="Who was told"
      note={
        <Link className="push part-link" to="/alerts/why" search={{ alert: fingerprint }}>
          Everything that was decided
        </Link>
      }
    >
      <Region query={query} what="who was told" skeleton={<Skeleton rows={1} height={56} />}>
        {(why) => {
          const account = why.alerts.find((each) => each.fingerprint === fingerprint);
          return account ? (
            <>
              <Verdicts verdicts={account.verdicts} />
              <UtcNote />
            </>
          ) : (
            <p className="muted">What was decided about it is not written down any more.</p>
          );
        }}
      </Region>
    </Part>
  );
}

const STORY = 12;

/** Tells who was called and what they did. */
function PageStory({ id }: { id: string }) {
  const page = useQuery(pageQuery(id)).data;
  if (!page) return null;
  return (
    <Part title="Page" note={<span className="muted push">{page.users.length > 0 ? `called ${page.users.join(", ")}` : "no one in person"}</span>}>
      <ul className="changes">
        {page.timeline.slice(0, STORY).map((entry) => (
          <li key={`${entry.at} ${entry.kind} ${entry.text}`}>
            <Time at={entry.at} show="stamp" />
            <span className="story-words">
              {entry.text}
              {entry.by && ` by ${entry.by}`}
            </span>
          </li>
        ))}
      </ul>
    </Part>
  );
}

function Receivers({ alert }: { alert: Alert }) {
  if (alert.receivers.length === 0) return <span className="muted push">no receiver</span>;
  return <span className="muted push">to {alert.receivers.join(", ")}</span>;
}

const SHOWN_ABOVE = new Set(["summary", "description", "runbook_url", "runbook"]);

function Annotations({ alert }: { alert: Alert }) {
  const others = Object.entries(alert.annotations).filter(([name]) => !SHOWN_ABOVE.has(name));
  if (others.length === 0) return null;
  return (
    <Part title="Annotations">
      <dl className="pairs">
        {others.map(([name, value]) => {
          const link = safeLink(value);
          return (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                {link ? (
                  <a href={link} target="_blank" rel="noopener noreferrer">
                    {value}
                  </a>
                ) : (
                  value
                )}
              </dd>
            </div>
          );
        })}
      </dl>
    </Part>
  );
}

/** Says what keeps the alert from paging or from ending, and why. */
function Quieted({ alert }: { alert: Alert }) {
  const silences = useQuery({ ...silencesQuery, enabled: alert.silenced_by.length > 0 }).data?.silences;
  const now = useNow();
  const zone = useZone();
  if (!isQuiet(alert) && !alert.unseen) return null;
  return (
    <div className="quieted">
      {alert.silenced_by.map((id) => {
        const silence = silences?.find((each) => each.id === id);
        return (
          <p key={id}>
            <Icon name="bellOff" />
            <span>
              Silenced
              {silence && ` by ${makerOf(silence).name}, ${endWords(silence, now, zone)}: ${silence.comment}`}{" "}
              <Link to="/alerts/silences">Silences</Link>
            </span>
          </p>
        );
      })}
      {alert.inhibited_by.length > 0 && (
        <p>
          <Icon name="lock" />
          <span>
            Inhibited by{" "}
            {alert.inhibited_by.map((fingerprint, index) => (
              <Link key={fingerprint} to="/alerts" search={{ alert: fingerprint }}>
                {index > 0 && ", "}
                {fingerprint}
              </Link>
            ))}
          </span>
        </p>
      )}
      {alert.unseen && (
        <p>
          <Icon name="clock" />
          <span>
            {UNSEEN[alert.unseen.why]} for <Time at={alert.unseen.since} />: nobody can tell whether this has ended
          </span>
        </p>
      )}
      {alert.muted_by.length > 0 && (
        <p>
          <Icon name="clock" />
          <span>Muted in {alert.muted_by.join(", ")}</span>
        </p>
      )}
    </div>
  );
}

const UNSEEN = { scrape_failed: "Its target has not answered", no_data: "There has been no data", target_gone: "Its target has been gone" } as const;

export const DELIVERY_TONES: Record<Delivery["state"], Tone> = { pending: "warning", delivered: "ok", rejected: "critical", expired: "critical" };

function Deliveries({ deliveries }: { deliveries: readonly Delivery[] }) {
  return (
    <ul className="sent">
      {deliveries.slice(0, 20).map((delivery) => (
        <li key={delivery.id}>
          <Tag tone={DELIVERY_TONES[delivery.state]}>{delivery.state}</Tag>
          <span className="clip">
            {delivery.action} to {delivery.receiver}, {delivery.channel}
          </span>
          <Link className="push number" to="/alerts/notifications" search={{ delivery: String(delivery.id) }}>
            <Time at={delivery.created_at} after=" ago" />
          </Link>
        </li>
      ))}
    </ul>
  );
}
