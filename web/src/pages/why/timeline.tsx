import { useState } from "react";
import type { WhyAccount, WhyLine, WhyStage } from "../../api/types.ts";
import { useZone } from "../../app/settings.ts";
import { byDay, stagesOf } from "../../lib/why.ts";
import { formatDay, parseInstant } from "../../lib/time.ts";
import { plural } from "../../lib/units.ts";
import { Button, Toggle } from "../../ui/button.tsx";
import { Time } from "../../ui/time.tsx";
import { STAGE_WORDS, StageMark } from "./stages.tsx";
import { Way } from "./way.tsx";

/** Of more lines than can be read at once the newest are drawn; those before them come when they are asked for. */
const LONG = 80;
const AT_ONCE = 60;
/** Most lines that the server sends of one alert. */
const MOST = 500;

/** Says how often the same was decided, and until when. */
function Again({ line }: { line: WhyLine }) {
  const zone = useZone();
  if (line.times < 2) return null;
  const day = (at: string) => formatDay(parseInstant(at) ?? 0, zone);
  const sameDay = day(line.at) === day(line.until);
  return (
    <span className="line-again">
      {plural(line.times, "time")} until <Time at={line.until} show={sameDay ? "clock" : "stamp"} />
    </span>
  );
}

function Line({ line }: { line: WhyLine }) {
  return (
    <li className="moment">
      <Time at={line.at} show="clock" />
      <StageMark stage={line.stage} />
      <div className="moment-words">
        <p>
          {line.text} <Again line={line} />
        </p>
        <Way lines={line.more} label="What belongs to it" />
      </div>
    </li>
  );
}

interface TimelineProps {
  account: WhyAccount;
  /** The stages that are shown; none for all. */
  stages: readonly WhyStage[];
  onStages: (stages: WhyStage[]) => void;
}

/** Everything that was decided about an alert, by day, as far as the chosen stages go. */
export function Timeline({ account, stages, onStages }: TimelineProps) {
  const zone = useZone();
  const [all, setAll] = useState(false);
  const { timeline } = account;
  const counts = stagesOf(timeline);
  const chosen = stages.filter((stage) => counts.some(([name]) => name === stage));
  const meant = chosen.length === 0 ? timeline : timeline.filter((line) => chosen.includes(line.stage));
  const hidden = all || meant.length <= LONG ? 0 : meant.length - AT_ONCE;
  const first = parseInstant(timeline[0]?.at);
  if (first === null) return <p className="muted">Nothing was decided about it in this time.</p>;
  return (
    <>
      {counts.length > 1 && (
        <div className="toggles" role="group" aria-label="Show only">
          {counts.map(([stage, count]) => (
            <Toggle key={stage} on={chosen.includes(stage)} count={count} onChange={(on) => onStages(on ? [...chosen, stage] : chosen.filter((each) => each !== stage))}>
              {STAGE_WORDS[stage]}
            </Toggle>
          ))}
        </div>
      )}
      {timeline.length >= MOST && hidden === 0 && <p className="muted">What was decided before is left out.</p>}
      {hidden > 0 && (
        <Button look="ghost" icon="chevronRight" onClick={() => setAll(true)}>
          {plural(hidden, "earlier line")}
        </Button>
      )}
      {byDay(meant.slice(hidden), zone).map((day) => (
        <section key={day.title} className="day">
          <h4>{day.title}</h4>
          <ol className="moments">
            {day.lines.map((line, index) => (
              // Lines of one instant may be alike.
              <Line key={`${line.at} ${line.stage} ${index}`} line={line} />
            ))}
          </ol>
        </section>
      ))}
    </>
  );
}
