import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { createSilence, endSilence, previewSilence } from "../../api/actions.ts";
import { wordsOf } from "../../api/client.ts";
import type { SilencePreview } from "../../api/types.ts";
import { serverNow } from "../../app/clock.ts";
import { useSession, useWhyNotRespond } from "../../app/session.ts";
import { useZone } from "../../app/settings.ts";
import { toSilenceMatcher, type Matcher } from "../../lib/matchers.ts";
import { formatSpan, formatStamp, fromLocalInput, HOUR, nextHour, toInstant, toLocalInput, zoneName } from "../../lib/time.ts";
import { plural } from "../../lib/units.ts";
import { Button } from "../../ui/button.tsx";
import { TextArea, TextField } from "../../ui/field.tsx";
import { AlertStateTag, SeverityMark } from "../../ui/marks.tsx";
import { Banner, Failure, Skeleton } from "../../ui/states.tsx";
import { toast } from "../../ui/toasts.tsx";
import { MatcherEditor } from "./matcher-editor.tsx";

type Length = "1h" | "4h" | "24h" | "8:00" | "exact";

const LENGTHS: readonly { value: Length; label: string }[] = [
  { value: "1h", label: "1 h" },
  { value: "4h", label: "4 h" },
  { value: "24h", label: "24 h" },
  { value: "8:00", label: "Until 08:00" },
  { value: "exact", label: "Exact end" },
];

function endOf(length: Length, exact: string, now: number, zone: string): number | null {
  switch (length) {
    case "1h":
      return now + HOUR;
    case "4h":
      return now + 4 * HOUR;
    case "24h":
      return now + 24 * HOUR;
    case "8:00":
      return nextHour(8, now, zone);
    case "exact":
      return fromLocalInput(exact, zone);
  }
}

export function SilenceForm({ start, onDone }: { start: readonly Matcher[]; onDone: () => void }) {
  const client = useQueryClient();
  const session = useSession();
  const zone = useZone();
  const mayNot = useWhyNotRespond();
  const [matchers, setMatchers] = useState<Matcher[]>([...start]);
  const [length, setLength] = useState<Length>("1h");
  const [exact, setExact] = useState(() => toLocalInput(serverNow() + 2 * HOUR, zone));
  const [reason, setReason] = useState("");
  const [asked, setAsked] = useState(false);
  const now = serverNow();
  const end = endOf(length, exact, now, zone);
  const endFault = end === null ? "Not a date and time" : end <= now ? "The end lies in the past" : undefined;
  const noMatchers = matchers.length === 0;

  const save = useMutation({
    mutationFn: async () => {
      const from = serverNow();
      const until = endOf(length, exact, from, zone);
      if (until === null) throw new Error("The end is not a date and time");
      return createSilence({ matchers: matchers.map(toSilenceMatcher), startsAt: toInstant(from), endsAt: toInstant(until), createdBy: session.user.name, comment: reason.trim() });
    },
    onSuccess: async ({ silenceID }) => {
      const refresh = () => Promise.all(["silences", "alerts", "alert", "overview"].map((name) => client.invalidateQueries({ queryKey: [name] })));
      toast(`Silenced until ${end === null ? "its end" : formatStamp(end, zone, now)}`, {
        undo: () => {
          endSilence(silenceID).then(refresh, (error: unknown) => toast(`Not undone: ${wordsOf(error).title}`, { tone: "critical" }));
        },
      });
      onDone();
      await refresh();
    },
  });

  return (
    <form
      className="silence-form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        setAsked(true);
        if (!noMatchers && !endFault && reason.trim() !== "" && !mayNot && !save.isPending) save.mutate();
      }}
    >
      <div className="form-scroll">
        {mayNot && <Banner tone="info">{mayNot}.</Banner>}
        {save.isError && <Banner tone="critical">Not silenced: {wordsOf(save.error).title}</Banner>}
        <MatcherEditor matchers={matchers} onChange={setMatchers} />
        <Preview matchers={matchers} />
        <fieldset className="lengths">
          <legend className="field-label">How long</legend>
          <div className="toggles">
            {LENGTHS.map((each) => (
              <button key={each.value} type="button" className="toggle" aria-pressed={length === each.value} onClick={() => setLength(each.value)}>
                {each.label}
              </button>
            ))}
          </div>
          {length === "exact" && (
            <TextField label={`End, in ${zoneName(end ?? now, zone)}`} type="datetime-local" value={exact} error={endFault} onChange={(event) => setExact(event.target.value)} />
          )}
          {end !== null && !endFault && (
            <p className="field-hint">
              Ends {formatStamp(end, zone, now)}, in {formatSpan(end - now + 500)}
            </p>
          )}
        </fieldset>
        <TextArea
          label="Reason"
          required
          value={reason}
          placeholder="What is being done, and where is it tracked"
          error={asked && reason.trim() === "" ? "A reason is needed: the next reader was not here" : undefined}
          onChange={(event) => setReason(event.target.value)}
        />
        <p className="field-hint">Signed {session.user.name}</p>
      </div>
      <div className="form-foot">
        <Button onClick={onDone}>Cancel</Button>
        <Button submit look="solid" icon="bellOff" reason={mayNot ?? (noMatchers ? "Add a matcher: a silence without one would hide everything" : undefined)} busy={save.isPending && "Silencing…"}>
          Silence
        </Button>
      </div>
    </form>
  );
}

function warnings(preview: SilencePreview): string[] {
  return [
    ...(preview.covers_every_critical && preview.critical > 0 ? ["It hides every critical alert that fires now."] : []),
    ...(preview.no_equality ? ["No matcher asks for one exact value, so it may hide alerts that do not exist yet."] : []),
  ];
}

/** Shows what the silence would hide, as it is being written. */
function Preview({ matchers }: { matchers: readonly Matcher[] }) {
  const settled = useDeferredValue(matchers);
  const asked = settled.map(toSilenceMatcher);
  const query = useQuery({
    queryKey: ["alerts", "preview", asked],
    queryFn: ({ signal }) => previewSilence(asked, signal),
    enabled: asked.length > 0,
    placeholderData: (before) => before,
    retry: false,
  });
  if (asked.length === 0) return <p className="preview-empty">Add a matcher to see what the silence hides.</p>;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} what="the preview" />;
  if (!query.data) return <Skeleton rows={2} height={44} />;
  const preview = query.data;
  return (
    <section className="preview" aria-label="Preview">
      <p className="preview-count" role="status">
        {preview.total === 0 ? "Hides no alert that fires now" : `Hides ${plural(preview.total, "firing alert")}, ${preview.critical} critical`}
      </p>
      {warnings(preview).map((words) => (
        <Banner key={words} tone="warning">
          {words}
        </Banner>
      ))}
      {preview.alerts.length > 0 && (
        <ul className="preview-list">
          {preview.alerts.slice(0, 6).map((alert) => (
            <li key={alert.fingerprint}>
              <SeverityMark severity={alert.severity} bare />
              <span className="clip">
                {alert.name} <span className="muted">{alert.labels.instance ?? alert.labels.service ?? ""}</span>
              </span>
              <AlertStateTag alert={alert} />
            </li>
          ))}
          {preview.total > 6 && <li className="muted">and {preview.total - 6} more</li>}
        </ul>
      )}
    </section>
  );
}
