import { useQuery } from "@tanstack/react-query";
import { historyQuery, type HistoryWish, type Times } from "../../api/silences.ts";
import { useNow } from "../../app/clock.ts";
import { useSettled } from "../../app/settled.ts";
import { useZone } from "../../app/settings.ts";
import { toSilenceMatcher, type Matcher } from "../../lib/matchers.ts";
import { pastWords } from "../../lib/silences.ts";
import { formatCount, keepSpans } from "../../lib/units.ts";
import { Button } from "../../ui/button.tsx";
import { Bar } from "../../ui/meter.tsx";
import { Skeleton } from "../../ui/states.tsx";
import { refusal } from "./acts.ts";
import "../../styles/proof.css";

/** How long the matchers must stand still: the answer costs the server more than a list. */
const STILL = 600;
const MOST = 5;

interface PastProps {
  matchers: readonly Matcher[];
  times: Times[];
  /** Whether the server can read the matchers. */
  open: boolean;
}

/** Says what the silence would have muted in the last 30 days. */
export function Past({ matchers, times, open }: PastProps) {
  const now = useNow();
  const zone = useZone();
  const wish: HistoryWish = { matchers: matchers.map(toSilenceMatcher), times };
  const wanted = JSON.stringify(wish);
  const settled = useSettled(wanted, STILL);
  const query = useQuery({ ...historyQuery(JSON.parse(settled) as HistoryWish), enabled: open && settled === wanted });
  if (!open) return null;
  if (settled !== wanted || query.isPending) {
    return (
      <section className="past" aria-label="The last 30 days">
        <Skeleton rows={2} height={20} />
      </section>
    );
  }
  if (query.isError) {
    return (
      <section className="past line" aria-label="The last 30 days">
        <p className="muted">What it would have muted before is not known: {refusal(query.error)}</p>
        <Button look="ghost" icon="refresh" className="push" onClick={() => void query.refetch()}>
          Try again
        </Button>
      </section>
    );
  }
  const most = query.data.names.slice(0, MOST);
  const widest = Math.max(1, ...most.map((each) => each.begins));
  return (
    <section className="past" aria-label="The last 30 days">
      <p className="soft">{keepSpans(pastWords(query.data, now, zone))}</p>
      {most.length > 0 && (
        <ul className="past-names" aria-label="How often which alert began to fire">
          {most.map(({ name, begins }) => (
            <li key={name}>
              <span className="clip">{name}</span>
              <Bar share={begins / widest} tone="quiet" />
              <span className="number">{formatCount(begins)}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
