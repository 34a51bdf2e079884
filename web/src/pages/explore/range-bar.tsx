import { useState } from "react";
import { serverNow } from "../../app/clock.ts";
import { useZone } from "../../app/settings.ts";
import type { ExploreSearch } from "../../lib/search.ts";
import { formatDuration, fromLocalInput, parseDuration, parseInstant, toInstant, toLocalInput, zoneName } from "../../lib/time.ts";
import { Button, IconButton } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy.tsx";
import { TextField } from "../../ui/field.tsx";

const RANGES = ["15m", "1h", "6h", "1d", "7d"];

interface RangeProps {
  search: ExploreSearch;
  /** Seconds. */
  step: number;
  table: boolean;
  onChange: (part: Partial<ExploreSearch>) => void;
  onShift: (by: number) => void;
}

/** A duration that is taken over when it is whole and the field is left or Enter pressed. */
function DurationField({ label, value, placeholder, onPick }: { label: string; value: string; placeholder: string; onPick: (value: string | undefined) => void }) {
  const [text, setText] = useState(value);
  const [known, setKnown] = useState(value);
  if (known !== value) {
    setKnown(value);
    setText(value);
  }
  const bad = text.trim() !== "" && parseDuration(text) === null;
  const take = () => {
    if (!bad && text.trim() !== value) onPick(text.trim() || undefined);
  };
  return (
    <div className="duration">
      <TextField
        label={label}
        value={text}
        placeholder={placeholder}
        error={bad ? "Write 90s, 15m, 1h or 7d" : undefined}
        onChange={(event) => setText(event.target.value)}
        onBlur={take}
        onKeyDown={(event) => {
          if (event.key === "Enter") take();
        }}
      />
    </div>
  );
}

export function RangeBar({ search, step, table, onChange, onShift }: RangeProps) {
  const zone = useZone();
  const range = search.range ?? "1h";
  const end = parseInstant(search.end);
  return (
    <div className="range">
      <div className="segments" role="group" aria-label="Show as">
        <button type="button" aria-pressed={!table} onClick={() => onChange({ tab: undefined })}>
          Graph
        </button>
        <button type="button" aria-pressed={table} onClick={() => onChange({ tab: "table" })}>
          Table
        </button>
      </div>
      {!table && (
        <>
          <div className="segments" role="group" aria-label="Range">
            {RANGES.map((each) => (
              <button key={each} type="button" aria-pressed={range === each} onClick={() => onChange({ range: each === "1h" ? undefined : each })}>
                {each}
              </button>
            ))}
          </div>
          <DurationField label="Range" value={search.range ?? ""} placeholder="1h" onPick={(value) => onChange({ range: value })} />
          <DurationField label="Step" value={search.step ?? ""} placeholder={formatDuration(step * 1000)} onPick={(value) => onChange({ step: value })} />
        </>
      )}
      <div className="range-end">
        {!table && <IconButton icon="chevronLeft" label="Earlier" onClick={() => onShift(-1)} />}
        {end === null ? (
          <Button look="plain" icon="clock" onClick={() => onChange({ end: toInstant(serverNow()) })} title="Stop following the clock">
            Now
          </Button>
        ) : (
          <>
            <TextField
              label={`End, in ${zoneName(end, zone)}`}
              hideLabel
              type="datetime-local"
              value={toLocalInput(end, zone)}
              onChange={(event) => {
                const at = fromLocalInput(event.target.value, zone);
                if (at !== null) onChange({ end: toInstant(at) });
              }}
            />
            <Button look="ghost" onClick={() => onChange({ end: undefined })}>
              Follow the clock
            </Button>
          </>
        )}
        {!table && <IconButton icon="chevronRight" label="Later" onClick={() => onShift(1)} />}
        <CopyButton text={window.location.href} label="Copy link to this query" />
      </div>
    </div>
  );
}
