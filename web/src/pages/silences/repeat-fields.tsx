import { useId } from "react";
import type { Draft, Plan } from "../../lib/plans.ts";
import { DAYS, isWholeDay, timesWords, type Repeat } from "../../lib/recurring.ts";
import { Button } from "../../ui/button.tsx";
import { TextField } from "../../ui/field.tsx";

interface RepeatFieldsProps {
  draft: Draft;
  plan: Plan;
  onChange: (part: Partial<Draft>) => void;
}

/** The days, hours and zone at which a silence mutes, and its last day. */
export function RepeatFields({ draft, plan, onChange }: RepeatFieldsProps) {
  const { repeat, kept } = draft;
  const zones = useId();
  const change = (part: Partial<Repeat>) => onChange({ repeat: { ...repeat, ...part } });
  const turn = (day: number) => change({ days: repeat.days.includes(day) ? repeat.days.filter((each) => each !== day) : [...repeat.days, day].sort((left, right) => left - right) });
  const nextDay = !isWholeDay(repeat) && repeat.to < repeat.from && repeat.to !== "00:00";
  const { faults } = plan;
  return (
    <div className="length-part">
      {kept ? (
        <div className="line wrap">
          <p className="soft">Its times say more than this form can: {timesWords(kept)}. They stay as they are.</p>
          <Button onClick={() => onChange({ kept: null })}>Write other times</Button>
        </div>
      ) : (
        <>
          <div className="repeat-days" role="group" aria-label="Days">
            {DAYS.map((name, day) => (
              <button key={name} type="button" className="toggle" aria-pressed={repeat.days.includes(day)} onClick={() => turn(day)}>
                {name}
              </button>
            ))}
          </div>
          {faults.days && (
            <p className="field-error" role="alert">
              {faults.days}
            </p>
          )}
          <div className="repeat-hours">
            <TextField label="From" type="time" value={repeat.from} onChange={(event) => change({ from: event.target.value })} />
            <TextField label="To" type="time" value={repeat.to} onChange={(event) => change({ to: event.target.value })} />
            <TextField
              label="Zone"
              list={zones}
              value={repeat.zone}
              error={faults.zone}
              spellCheck={false}
              autoCapitalize="none"
              autoComplete="off"
              onChange={(event) => change({ zone: event.target.value.trim() })}
            />
            <datalist id={zones}>
              {["UTC", ...Intl.supportedValuesOf("timeZone").filter((name) => name !== "UTC")].map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </datalist>
          </div>
          {faults.hours && <p className="field-error">{faults.hours}</p>}
          {nextDay && <p className="field-hint">{repeat.to} is that of the next day.</p>}
        </>
      )}
      <TextField label="Last day" type="date" value={draft.lastDate} error={faults.last} onChange={(event) => onChange({ lastDate: event.target.value, lastAt: null })} />
    </div>
  );
}
