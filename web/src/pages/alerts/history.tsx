import type { AlertDetail, AlertState } from "../../api/types.ts";
import { useNow } from "../../app/clock.ts";
import { blocksOf } from "../../lib/history.ts";
import { HOUR } from "../../lib/time.ts";
import { alertStateTone, Tag } from "../../ui/marks.tsx";
import { Time } from "../../ui/time.tsx";

const SHOWN = 8;

function describe(blocks: readonly (AlertState | null)[]): string {
  const firing = blocks.filter((block) => block === "firing").length;
  return firing === 0 ? "Did not fire in the last 24 hours" : `Fired in ${firing} of the last 24 hours`;
}

/** Shows the last 24 hours as one block an hour, then the changes themselves. */
export function History({ alert }: { alert: AlertDetail }) {
  const now = useNow();
  const blocks = blocksOf(alert.history, now - (now % HOUR) + HOUR);
  return (
    <>
      <div className="blocks" role="img" aria-label={describe(blocks)}>
        {blocks.map((state, index) => (
          <span key={index} className="block" data-state={state ?? "none"} data-severity={alert.severity} />
        ))}
      </div>
      <p className="blocks-words">
        <span>24 h ago</span>
        <span>{describe(blocks)}</span>
        <span>now</span>
      </p>
      <ul className="changes">
        {alert.history.slice(0, SHOWN).map((change) => (
          <li key={`${change.at} ${change.state}`}>
            <Tag tone={alertStateTone(change.state)}>{change.state}</Tag>
            <Time at={change.at} show="stamp" />
          </li>
        ))}
      </ul>
    </>
  );
}
