import { useQuery } from "@tanstack/react-query";
import { journeysQuery, type Journey } from "../../api/drills.ts";
import { Icon } from "../../ui/icons.tsx";
import { formatSeconds, plural } from "../../lib/units.ts";
import { Time } from "../../ui/time.tsx";
import "../../styles/journeys.css";

function Row({ journey }: { journey: Journey }) {
  const { last } = journey;
  const failed = journey.recent.filter((each) => !each.ok).length;
  const broken = journey.steps.find((each) => !each.ok);
  return (
    <li className="journey">
      <span className="fact-mark" data-tone={last === null ? "quiet" : last.ok ? "ok" : "critical"}>
        <Icon name={last === null ? "dash" : last.ok ? "check" : "close"} size={12} />
        <span className="unseen">{last === null ? "not tried yet" : last.ok ? "works" : "fails"}</span>
      </span>
      <span className="journey-words">
        <span className="journey-name clip">{journey.name}</span>
        <span className="journey-why clip" data-bad={(last !== null && !last.ok) || undefined}>
          {last === null ? "not tried yet" : last.ok ? [journey.platform, formatSeconds(last.duration_seconds), last.late ? "late" : null].filter(Boolean).join(", ") : (last.reason ?? `${broken?.name ?? "a step"} failed`)}
        </span>
      </span>
      <span className="journey-ticks" role="img" aria-label={`${failed === 0 ? "none" : failed} of the last ${plural(journey.recent.length, "attempt")} failed`}>
        {journey.recent.map((each) => (
          <i key={each.began} data-ok={each.ok} />
        ))}
      </span>
      <span className="journey-age muted number">{last && <Time at={last.began} after=" ago" />}</span>
    </li>
  );
}

/** What a user can do, tried again and again: each journey with its recent attempts as ticks. Nothing when there are none. */
export function JourneysCard({ wide = false }: { wide?: boolean }) {
  const journeys = useQuery(journeysQuery).data?.journeys ?? [];
  if (journeys.length === 0) return null;
  const failing = journeys.filter((each) => each.last !== null && !each.last.ok).length;
  return (
    <section className="card" data-flush data-wide={wide || undefined}>
      <header className="card-head">
        <h2>Journeys</h2>
        <div className="card-note">{failing === 0 ? "users get through" : `${plural(failing, "journey")} ${failing === 1 ? "fails" : "fail"}`}</div>
      </header>
      <ul className="journeys">
        {journeys.map((each) => (
          <Row key={each.name} journey={each} />
        ))}
      </ul>
    </section>
  );
}
