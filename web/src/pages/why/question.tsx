import { useRef, useState } from "react";
import { serverNow } from "../../app/clock.ts";
import { useZone } from "../../app/settings.ts";
import { useKeys } from "../../app/shortcuts.ts";
import type { WhySearch } from "../../lib/search.ts";
import { fromLocalInput, parseInstant, toInstant, toLocalInput, zoneName } from "../../lib/time.ts";
import { Button } from "../../ui/button.tsx";
import { TextField } from "../../ui/field.tsx";

/** Which alert is meant, and at what time; asked when the form is sent. */
export function Question({ search, onAsk }: { search: WhySearch; onAsk: (asked: WhySearch) => void }) {
  const zone = useZone();
  const field = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => field.current?.focus() });
  const at = parseInstant(search.at);
  const known = `${search.alert ?? ""} ${search.at ?? ""} ${zone}`;
  const fresh = { known, alert: search.alert ?? "", when: at === null ? null : toLocalInput(at, zone) };
  const [draft, setDraft] = useState(fresh);
  // The address may change beside the form, by a link or by the way back.
  if (draft.known !== known) setDraft(fresh);
  const { alert, when } = draft;
  const instant = when === null ? null : fromLocalInput(when, zone);
  const bad = when !== null && instant === null;
  // The field has no seconds: while nobody touches it, the instant stays as exact as it was.
  const asked = at !== null && when === fresh.when ? search.at : instant === null ? undefined : toInstant(instant);

  return (
    <form
      className="question"
      onSubmit={(event) => {
        event.preventDefault();
        if (!bad) onAsk({ alert: alert.trim() || undefined, at: asked });
      }}
    >
      <TextField
        ref={field}
        label="Alert"
        hint="A name, a fingerprint, or matchers"
        placeholder='CheckoutErrors{service="checkout"}'
        value={alert}
        autoCapitalize="off"
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => setDraft({ ...draft, alert: event.target.value })}
      />
      <div className="question-time">
        {when === null ? (
          <Button icon="clock" title="Ask about another time" onClick={() => setDraft({ ...draft, when: toLocalInput(serverNow(), zone) })}>
            Now
          </Button>
        ) : (
          <>
            <TextField
              label={`At, in ${zoneName(instant ?? serverNow(), zone)}`}
              type="datetime-local"
              value={when}
              error={bad ? "Write a day and a time" : undefined}
              onChange={(event) => setDraft({ ...draft, when: event.target.value })}
            />
            <Button look="ghost" onClick={() => setDraft({ ...draft, when: null })}>
              Now
            </Button>
          </>
        )}
        <Button look="solid" icon="search" submit>
          Ask
        </Button>
      </div>
    </form>
  );
}
