import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { openRunsQuery } from "../../api/runs.ts";
import { callOf, CALL_WORDS, orderOpen } from "../../lib/runs.ts";
import { plural } from "../../lib/units.ts";
import { Card } from "../../ui/card.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Time } from "../../ui/time.tsx";

const MOST = 5;

/** The runs that do not go on before a person acts; nothing when there are none. */
export function WaitingRuns() {
  const waiting = orderOpen(useQuery(openRunsQuery).data?.runs ?? []).flatMap((run) => {
    const call = callOf(run);
    return call ? [{ run, call }] : [];
  });
  if (waiting.length === 0) return null;
  return (
    <Card title="Runs that wait for a person" note={plural(waiting.length, "run")} flush>
      <ul className="needs">
        {waiting.slice(0, MOST).map(({ run, call }) => (
          <li key={run.id} className="need">
            <Icon name={call === "settle" ? "doubt" : call === "task" ? "user" : "check"} size={14} />
            <div className="need-words">
              <p className="need-title clip">
                <Link to="/runs/$id" params={{ id: run.id }}>
                  {run.title}
                </Link>
              </p>
              <p className="need-facts clip">
                {CALL_WORDS[call]}, {run.platform}, since <Time at={run.created_at} />
              </p>
            </div>
          </li>
        ))}
      </ul>
    </Card>
  );
}
