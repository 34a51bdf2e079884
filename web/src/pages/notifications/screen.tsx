import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { deliveriesQuery, pageQuery } from "../../api/queries.ts";
import type { Attempt, Delivery } from "../../api/types.ts";
import { ALERT_PLACES, PageHead } from "../../app/head.tsx";
import { DELIVERY_STATES, type NotificationsSearch } from "../../lib/search.ts";
import { formatSeconds, plural } from "../../lib/units.ts";
import { Button, Toggle } from "../../ui/button.tsx";
import { SelectField } from "../../ui/field.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Tag, type Tone } from "../../ui/marks.tsx";
import { Empty, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { DELIVERY_TONES } from "../alerts/detail.tsx";
import "../../styles/lists.css";

const OUTCOMES: Record<Attempt["outcome"], { tone: Tone; words: string }> = {
  delivered: { tone: "ok", words: "delivered" },
  retry: { tone: "warning", words: "will retry" },
  rejected: { tone: "critical", words: "rejected" },
};

const TONES: Record<Delivery["state"], string> = { pending: "warning", delivered: "ok", rejected: "critical", expired: "critical" };
const CHANNELS = [
  "pagerduty",
  "opsgenie",
  "slack",
  "msteamsv2",
  "discord",
  "telegram",
  "pushover",
  "ntfy",
  "sns",
  "twilio",
  "email",
  "webhook",
  "inbox",
];

function Attempts({ delivery }: { delivery: Delivery }) {
  return (
    <div className="attempts">
      <ol>
        {delivery.attempts.map((attempt, index) => (
          <li key={`${attempt.at} ${attempt.outcome}`}>
            <span className="muted number">{index + 1}</span>
            <Time at={attempt.at} show="stamp" />
            <Tag tone={OUTCOMES[attempt.outcome].tone}>{OUTCOMES[attempt.outcome].words}</Tag>
            <span className="attempt-detail">{attempt.detail}</span>
            <span className="muted number push">{formatSeconds(attempt.duration_ms / 1000)}</span>
          </li>
        ))}
      </ol>
      {delivery.attempts.length === 0 && <p className="muted">Not tried yet.</p>}
      <dl className="pairs">
        <div>
          <dt>Key</dt>
          <dd className="mono">{delivery.key}</dd>
        </div>
        {delivery.next_attempt_at && (
          <div>
            <dt>Next attempt</dt>
            <dd>
              <Time at={delivery.next_attempt_at} />
            </dd>
          </div>
        )}
        {delivery.state === "pending" && (
          <div>
            <dt>Given up</dt>
            <dd>
              <Time at={delivery.expires_at} />
            </dd>
          </div>
        )}
      </dl>
      {delivery.page_id && <WhyLink page={delivery.page_id} at={delivery.finished_at} />}
    </div>
  );
}

/** Leads to what decided about the first alert of a page. */
function WhyLink({ page, at }: { page: string; at: string | null }) {
  const alert = useQuery(pageQuery(page)).data?.alerts[0];
  if (!alert) return null;
  return (
    <Link className="button attempts-why" data-look="plain" to="/alerts/why" search={{ alert, at: at ?? undefined }}>
      <Icon name="doubt" />
      <span>Why</span>
    </Link>
  );
}

function Row({ delivery, open, onToggle }: { delivery: Delivery; open: boolean; onToggle: () => void }) {
  const last = delivery.attempts.at(-1);
  return (
    <li className="delivery" data-open={open || undefined}>
      <button type="button" className="delivery-head" aria-expanded={open} onClick={onToggle}>
        <Icon name={open ? "chevronDown" : "chevronRight"} size={14} />
        <span className="delivery-state">
          <Tag tone={DELIVERY_TONES[delivery.state]}>{delivery.state}</Tag>
        </span>
        <span className="delivery-words">
          <span className="delivery-title clip">{delivery.title}</span>
          <span className="delivery-way clip">
            {delivery.action} to {delivery.receiver} by {delivery.channel}
            {last && last.outcome !== "delivered" && <span className="delivery-trouble">, {last.detail}</span>}
          </span>
        </span>
        <span className="delivery-tries soft number">{plural(delivery.attempts.length, "attempt")}</span>
        <span className="delivery-age soft">
          <Time at={delivery.created_at} after=" ago" />
        </span>
      </button>
      {open && <Attempts delivery={delivery} />}
    </li>
  );
}

export function NotificationsScreen() {
  const search = useSearch({ from: "/alerts/notifications" });
  const navigate = useNavigate({ from: "/alerts/notifications" });
  const query = useQuery(deliveriesQuery(search));
  const change = (part: Partial<NotificationsSearch>, replace = true) => void navigate({ search: (now: NotificationsSearch) => ({ ...now, ...part }), replace });
  const counts = query.data?.counts;
  const channels = search.channel && !CHANNELS.includes(search.channel) ? [...CHANNELS, search.channel] : CHANNELS;

  return (
    <div className="page">
      <PageHead title="Notifications" note="Each delivery and its attempts" places={ALERT_PLACES} />
      <div className="bar">
        <div className="toggles" role="group" aria-label="Show only">
          {DELIVERY_STATES.map((state) => (
            <Toggle key={state} on={search.state === state} count={counts?.[state]} tone={TONES[state]} onChange={(on) => change({ state: on ? state : undefined, before: undefined })}>
              {state[0]?.toUpperCase() + state.slice(1)}
            </Toggle>
          ))}
        </div>
        <SelectField
          label="Channel"
          hideLabel
          value={search.channel ?? ""}
          choices={[{ value: "", label: "All channels" }, ...channels.map((channel) => ({ value: channel, label: channel }))]}
          onPick={(channel) => change({ channel: channel || undefined, before: undefined })}
        />
      </div>
      <Region query={query} what="the notifications" skeleton={<Skeleton rows={10} />}>
        {(data) =>
          data.deliveries.length === 0 ? (
            search.state || search.channel ? (
              <Empty icon="search" title="No delivery matches" action={<Button onClick={() => change({ state: undefined, channel: undefined, before: undefined })}>Clear filter</Button>} />
            ) : (
              <Empty icon="send" title="Nothing was sent yet">
                When an alert fires and a route leads to a receiver, the delivery stands here.
              </Empty>
            )
          ) : (
            <>
              <ul className="card deliveries" data-flush>
                {data.deliveries.map((delivery) => (
                  <Row key={delivery.id} delivery={delivery} open={search.delivery === String(delivery.id)} onToggle={() => change({ delivery: search.delivery === String(delivery.id) ? undefined : String(delivery.id) })} />
                ))}
              </ul>
              <div className="line">
                {search.before && (
                  <Link className="button" data-look="plain" to="/alerts/notifications" search={{ ...search, before: undefined }}>
                    Newest
                  </Link>
                )}
                {data.next && <Button onClick={() => change({ before: String(data.next) }, false)}>Older</Button>}
              </div>
            </>
          )
        }
      </Region>
    </div>
  );
}
