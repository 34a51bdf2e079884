import { useId } from "react";
import type { Silence } from "../../api/silences.ts";
import { useNow } from "../../app/clock.ts";
import { useWhyNotRespond } from "../../app/session.ts";
import { useZone } from "../../app/settings.ts";
import { formatShort, fromSilenceMatcher } from "../../lib/matchers.ts";
import { endedWords, endWords, isRecurring, makerOf, mutesWords, urgentWords } from "../../lib/silences.ts";
import { formatStamp, parseInstant } from "../../lib/time.ts";
import { keepSpans } from "../../lib/units.ts";
import { Button } from "../../ui/button.tsx";
import { SeverityMark, Tag } from "../../ui/marks.tsx";
import { Time } from "../../ui/time.tsx";
import { useEndSilence, useExtendSilence } from "./acts.ts";

function Maker({ silence }: { silence: Silence }) {
  const { name, as } = makerOf(silence);
  return (
    <>
      by <strong>{name}</strong>
      {as && ` as ${as}`}
    </>
  );
}

function StateTag({ silence }: { silence: Silence }) {
  if (silence.state === "active") return <Tag tone="accent">Active</Tag>;
  if (silence.state === "pending") return <Tag tone="info">Planned</Tag>;
  return <Tag>Ended</Tag>;
}

/** Says what becomes of a silence: when it ends and what it mutes, or how it ended. */
function Fate({ silence, urgent }: { silence: Silence; urgent: string | null }) {
  const now = useNow();
  const zone = useZone();
  const { state } = silence;
  const stamp = formatStamp(parseInstant(silence.ends_at) ?? 0, zone, now);
  return (
    <div className="silence-fate">
      <p className="line">
        <StateTag silence={silence} />
        {state !== "expired" && isRecurring(silence) && <Tag>Repeats</Tag>}
      </p>
      {state === "expired" ? (
        <p className="soft">
          {endedWords(silence)}, <Time at={silence.ends_at} after=" ago" />
        </p>
      ) : urgent ? (
        <p className="silence-urgent" data-tone="warning" title={stamp}>
          <SeverityMark severity="warning" bare /> {keepSpans(urgent)}
        </p>
      ) : (
        <p className="soft" title={`ends ${stamp}`}>
          {keepSpans(endWords(silence, now, zone))}
        </p>
      )}
      {state === "active" && !urgent && <p className={silence.firing > 0 ? "silence-mutes" : "muted"}>{mutesWords(silence)}</p>}
      {state === "active" && urgent && silence.critical > 0 && <p className="silence-mutes">{mutesWords(silence)}</p>}
    </div>
  );
}

interface RowProps {
  silence: Silence;
  remind: number | null | undefined;
  onRepeat: (silence: Silence) => void;
  onChange: (silence: Silence) => void;
}

export function Row({ silence, remind, onRepeat, onChange }: RowProps) {
  const end = useEndSilence();
  const extend = useExtendSilence();
  const mayNot = useWhyNotRespond();
  const now = useNow();
  const { state } = silence;
  const urgent = urgentWords(silence, remind, now);
  // Each row has the same buttons: its reason tells them apart.
  const reason = useId();
  return (
    <li className="silence" data-state={state} data-urgent={urgent !== null || undefined}>
      <div className="silence-main">
        <ul className="chips">
          {silence.matchers.map((matcher) => {
            const text = formatShort(fromSilenceMatcher(matcher));
            return (
              <li key={text} className="chip">
                <span className="mono">{text}</span>
              </li>
            );
          })}
        </ul>
        <p className="silence-comment" id={reason}>{silence.comment}</p>
        <p className="silence-facts">
          <Maker silence={silence} />, {state === "pending" && (parseInstant(silence.starts_at) ?? 0) > now ? "from" : "since"} <Time at={silence.starts_at} show="stamp" />
        </p>
      </div>
      <Fate silence={silence} urgent={urgent} />
      <div className="silence-acts">
        {state === "expired" ? (
          <Button icon="undo" aria-describedby={reason} reason={mayNot} onClick={() => onRepeat(silence)}>
            Silence again
          </Button>
        ) : (
          <>
            {urgent && (
              <Button look="solid" icon="clock" aria-describedby={reason} reason={mayNot} busy={extend.isPending && "Extending…"} onClick={() => extend.mutate(silence)}>
                Extend 1 h
              </Button>
            )}
            <Button icon="settings" aria-describedby={reason} reason={mayNot} onClick={() => onChange(silence)}>
              Change
            </Button>
            <Button icon="bell" aria-describedby={reason} reason={mayNot} busy={end.isPending && "Ending…"} onClick={() => end.mutate(silence)}>
              End silence
            </Button>
          </>
        )}
      </div>
    </li>
  );
}
