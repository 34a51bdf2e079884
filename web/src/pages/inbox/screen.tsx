import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { inboxQuery, pageQuery } from "../../api/queries.ts";
import type { InboxMessage } from "../../api/types.ts";
import { ALERT_PLACES, PageHead } from "../../app/head.tsx";
import { useSession } from "../../app/session.ts";
import { plural } from "../../lib/units.ts";
import { AckButton } from "../../ui/ack-button.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Empty, Region } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import "../../styles/lists.css";

const TRACKED = 20;

/** What can be done about the page behind a message, by its state now. */
function PageActions({ id, title, at }: { id: string; title: string; at: string }) {
  const page = useQuery(pageQuery(id)).data;
  if (!page) return null;
  const first = page.alerts[0];
  return (
    <>
      {page.state === "triggered" && <AckButton pages={[page.id]} what={title} look={page.severity === "critical" ? "solid" : "plain"} />}
      {page.state === "acknowledged" && <Tag tone="acked">Acked by {page.acknowledged_by}</Tag>}
      {first && (
        <Link className="button" data-look="plain" to="/alerts" search={{ alert: first }}>
          Open alert
        </Link>
      )}
      {first && (
        <Link className="button" data-look="ghost" to="/alerts/why" search={{ alert: first, at }}>
          Why
        </Link>
      )}
    </>
  );
}

function Message({ message, tracked }: { message: InboxMessage; tracked: boolean }) {
  return (
    <li className="message" data-status={message.status}>
      <div className="message-head">
        <Tag tone={message.status === "firing" ? "critical" : "ok"}>{message.status}</Tag>
        <h2>{message.title}</h2>
        <span className="push soft">
          <Time at={message.at} after=" ago" />
        </span>
      </div>
      <p className="message-to">
        to <strong>{message.receiver}</strong>, <Time at={message.at} show="stamp" />
      </p>
      <pre className="message-body">{message.body}</pre>
      <div className="line wrap">{message.page_id && tracked && <PageActions id={message.page_id} title={message.title} at={message.at} />}</div>
    </li>
  );
}

export function InboxScreen() {
  const query = useQuery(inboxQuery);
  const { demo } = useSession();
  return (
    <div className="page page-narrow">
      <PageHead title="Inbox" note={query.data ? plural(query.data.messages.length, "message") : "What receivers with an inbox got"} places={ALERT_PLACES} />
      <Region query={query} what="the inbox">
        {(data) =>
          data.messages.length === 0 ? (
            <Empty icon="inbox" title="No message yet">
              {demo ? "Break a service on the Overview: its page arrives here, as it would on a phone." : "Receivers with inbox_configs leave their messages here."}
            </Empty>
          ) : (
            <ul className="messages">
              {data.messages.map((message, index) => (
                <Message key={message.id} message={message} tracked={index < TRACKED} />
              ))}
            </ul>
          )
        }
      </Region>
    </div>
  );
}
