import type { Draft, Frame, Latest, Plan } from "../../lib/plans.ts";
import { LATEST, LENGTHS, summaryWords } from "../../lib/plans.ts";
import { zoneName } from "../../lib/time.ts";
import { keepSpans } from "../../lib/units.ts";
import { TextField } from "../../ui/field.tsx";
import { RepeatFields } from "./repeat-fields.tsx";

interface ChoicesProps<T extends string> {
  all: readonly { value: T; label: string }[];
  chosen: T;
  /** Names the choice for readers who do not see its place. */
  label?: string;
  /** Why one cannot be chosen. */
  reasonOf?: (value: T) => string | undefined;
  onChoose: (value: T) => void;
}

function Choices<T extends string>({ all, chosen, label: name, reasonOf, onChoose }: ChoicesProps<T>) {
  return (
    <div className="toggles" role={name && "group"} aria-label={name}>
      {all.map(({ value, label }) => {
        const reason = reasonOf?.(value);
        return (
          <button
            key={value}
            type="button"
            className="toggle"
            aria-pressed={chosen === value}
            aria-disabled={reason !== undefined || undefined}
            title={reason}
            onClick={() => {
              if (!reason) onChoose(value);
            }}
          >
            {label}
          </button>
        );
      })}
    </div>
  );
}

interface HowLongProps {
  draft: Draft;
  plan: Plan;
  frame: Frame;
  /** Alerts that fire and that the matchers mute; null: not known. */
  firing: number | null;
  /** Whether it would be refused as it stands: then nothing will happen. */
  refused: boolean;
  onChange: (part: Partial<Draft>) => void;
}

/** Chooses how long: a time, until the alerts are resolved, or again and again. */
export function HowLong({ draft, plan, frame, firing, refused, onChange }: HowLongProps) {
  const { now, startsAt, zone } = frame;
  const noWait = startsAt !== null && startsAt > now ? "It has not begun, so there is nothing to wait for" : firing === 0 ? "Nothing fires that it mutes, so there is nothing to wait for" : undefined;
  const shown = draft.length === "resolved" ? draft.latest === "exact" : draft.length === "exact";
  const summary = refused ? null : summaryWords(draft, plan, frame, firing);
  return (
    <fieldset className="lengths">
      <legend className="field-label">How long</legend>
      <Choices all={LENGTHS} chosen={draft.length} reasonOf={(value) => (value === "resolved" ? noWait : undefined)} onChoose={(length) => onChange({ length })} />
      {noWait && <p className="field-hint">Until resolved: {noWait.charAt(0).toLowerCase() + noWait.slice(1)}.</p>}
      {draft.length === "resolved" && (
        <div className="length-part">
          <p className="field-label">At the latest in</p>
          <Choices<Latest> label="At the latest in" all={LATEST} chosen={draft.latest} onChoose={(latest) => onChange({ latest })} />
        </div>
      )}
      {shown && (
        <TextField label={`End, in ${zoneName(plan.endsAt ?? now, zone)}`} type="datetime-local" value={draft.exact} error={plan.faults.exact} onChange={(event) => onChange({ exact: event.target.value, exactAt: null })} />
      )}
      {draft.length === "repeats" && <RepeatFields draft={draft} plan={plan} onChange={onChange} />}
      {summary && <p className="lengths-summary">{keepSpans(summary)}</p>}
    </fieldset>
  );
}
