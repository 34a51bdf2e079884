import { useEffect, useRef, useState } from "react";
import type { RunDetail } from "../../api/runs.ts";
import { useZone } from "../../app/settings.ts";
import { formatClock, parseInstant } from "../../lib/time.ts";
import { Toggle } from "../../ui/button.tsx";

/** Lines beyond this are left out from the start: the end is what is read. */
const MOST = 500;

/** The log of a run, which follows its end until the reader scrolls away from it. */
export function RunLog({ run }: { run: RunDetail }) {
  const zone = useZone();
  const box = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(true);
  const lines = run.log.slice(-MOST);
  const count = run.log.length;
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [follow, count]);
  return (
    <section className="card" data-flush>
      <header className="card-head">
        <h2>Log</h2>
        <div className="card-note">
          <Toggle on={follow} onChange={setFollow}>
            Follow
          </Toggle>
        </div>
      </header>
      <div
        className="log"
        ref={box}
        tabIndex={0}
        role="region"
        aria-label="Log"
        onScroll={(event) => {
          const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
          setFollow(scrollHeight - scrollTop - clientHeight < 24);
        }}
      >
        {count > MOST && <p className="muted">{count - MOST} earlier lines are left out.</p>}
        <ol>
          {lines.map((line, index) => {
            const at = parseInstant(line.at);
            return (
              <li key={`${line.at} ${count - lines.length + index}`} className="log-line" data-kind={line.kind}>
                <time className="number muted" dateTime={line.at}>
                  {at === null ? "" : formatClock(at, zone, true)}
                </time>
                <span>
                  {line.text}
                  {line.by && <span className="muted"> by {line.by}</span>}
                </span>
              </li>
            );
          })}
        </ol>
      </div>
    </section>
  );
}
