import { useMutation, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { endSilence, previewQuery, setSilence, type PreviewWish, type Silence } from "../../api/silences.ts";
import { serverNow, useNow } from "../../app/clock.ts";
import { useSession, useWhyNotRespond } from "../../app/session.ts";
import { useZone } from "../../app/settings.ts";
import { fromSilenceMatcher, sameMatcher, toSilenceMatcher, type Matcher } from "../../lib/matchers.ts";
import { planOf, startDraft, termsOf, type Frame } from "../../lib/plans.ts";
import { makerOf } from "../../lib/silences.ts";
import { formatStamp, MINUTE, parseInstant, toInstant } from "../../lib/time.ts";
import { Button } from "../../ui/button.tsx";
import { TextArea } from "../../ui/field.tsx";
import { Banner } from "../../ui/states.tsx";
import { toast } from "../../ui/toasts.tsx";
import { isOutdated, refusal, useRefresh } from "./acts.ts";
import { HowLong } from "./how-long.tsx";
import { MatcherEditor } from "./matcher-editor.tsx";
import { Past } from "./past.tsx";
import { Preview } from "./preview.tsx";

interface FormProps {
  /** Matchers of a new silence. */
  start: readonly Matcher[];
  /** The silence that is changed, as the reader saw it; null: a new one is made. */
  changed: Silence | null;
  onDone: () => void;
  /** Starts again from what the silence is now. */
  onAgain?: () => void;
}

function sameMatchers(left: readonly Matcher[], right: readonly Matcher[]): boolean {
  return left.length === right.length && left.every((each) => right.some((other) => sameMatcher(each, other)));
}

export function SilenceForm({ start, changed, onDone, onAgain }: FormProps) {
  const refresh = useRefresh();
  const session = useSession();
  const zone = useZone();
  const mayNot = useWhyNotRespond();
  const now = useNow();
  const before = changed ? changed.matchers.map(fromSilenceMatcher) : start;
  const [matchers, setMatchers] = useState<Matcher[]>([...before]);
  const [draft, setDraft] = useState(() => startDraft(changed, serverNow(), zone));
  const [reason, setReason] = useState(changed?.comment ?? "");
  const [asked, setAsked] = useState(false);
  const startsAt = changed?.state === "pending" ? parseInstant(changed.starts_at) : null;
  const frame: Frame = { now, startsAt, begun: changed !== null && (startsAt === null || startsAt <= now), zone };
  const plan = planOf(draft, frame);
  const noMatchers = matchers.length === 0;

  // Asked by whole minutes, so that a form that stands open does not ask for each tick of the clock.
  const minute = planOf(draft, { ...frame, now: now - (now % MINUTE) });
  const wish: PreviewWish = {
    matchers: matchers.map(toSilenceMatcher),
    ...(changed && startsAt !== null && startsAt > now && { starts_at: changed.starts_at }),
    ...(minute.endsAt !== null && { ends_at: toInstant(minute.endsAt) }),
    until_resolved: minute.untilResolved,
    times: minute.times,
  };
  const settled = useDeferredValue(JSON.stringify(wish));
  const preview = useQuery(previewQuery(JSON.parse(settled) as PreviewWish));
  const firing = noMatchers || !preview.data ? null : preview.data.total;
  const against = noMatchers ? [] : (preview.data?.faults ?? []);
  const nothingWaits = plan.untilResolved && firing === 0;

  const save = useMutation({
    mutationFn: async () => {
      const fresh = planOf(draft, { ...frame, now: serverNow() });
      const { endsAt } = fresh;
      if (endsAt === null) throw new Error("The end is not known");
      const terms = termsOf({ ...fresh, endsAt });
      const same = changed ? { id: changed.id, seen_at: changed.updated_at, starts_at: changed.starts_at } : {};
      return { endsAt, made: await setSilence({ ...same, ...terms, matchers: matchers.map(toSilenceMatcher), comment: reason.trim(), created_by: session.user.name }) };
    },
    onSuccess: async ({ endsAt, made }) => {
      const until = `until ${formatStamp(endsAt, zone, now)}`;
      if (changed) toast(`Changed; it silences ${until}`);
      else {
        toast(`Silenced ${until}`, {
          undo: () => {
            endSilence(made.id).then(refresh, (error: unknown) => toast(`Not undone: ${refusal(error)}`, { tone: "critical" }));
          },
        });
      }
      onDone();
      await refresh();
    },
    onError: (error) => {
      if (isOutdated(error)) void refresh();
    },
  });

  const blocked =
    mayNot ??
    (noMatchers ? "Add a matcher: a silence without one would hide everything" : undefined) ??
    (against.length > 0 ? `Not allowed here: ${against[0]}` : undefined) ??
    (nothingWaits ? "Nothing fires that it mutes, so it has nothing to wait for" : undefined);
  const sound = Object.keys(plan.faults).length === 0;

  return (
    <form
      className="silence-form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        setAsked(true);
        if (!blocked && sound && reason.trim() !== "" && !save.isPending) save.mutate();
      }}
    >
      <div className="form-scroll">
        {mayNot && <Banner tone="info">{mayNot}.</Banner>}
        {save.isError && <NotSaved error={save.error} changed={changed !== null} onAgain={onAgain} />}
        <MatcherEditor matchers={matchers} onChange={setMatchers} />
        {changed && !noMatchers && !sameMatchers(matchers, before) && <p className="field-hint">With other matchers a new silence takes the place of this one.</p>}
        <Preview query={preview} empty={noMatchers} />
        <Past matchers={matchers} times={plan.times} open={preview.isSuccess && !noMatchers} />
        <HowLong draft={draft} plan={plan} frame={frame} firing={firing} refused={noMatchers || against.length > 0} onChange={(part) => setDraft((old) => ({ ...old, ...part }))} />
        <TextArea
          label="Reason"
          required
          value={reason}
          placeholder="What is being done, and where is it tracked"
          error={asked && reason.trim() === "" ? "A reason is needed: the next reader was not here" : undefined}
          onChange={(event) => setReason(event.target.value)}
        />
        <p className="field-hint">{changed ? `Made by ${makerOf(changed).name}, changed by ${session.user.name}` : `Signed ${session.user.name}`}</p>
      </div>
      <div className="form-foot">
        {blocked && !mayNot && <p className="form-why">{blocked}</p>}
        <Button onClick={onDone}>Cancel</Button>
        <Button submit look="solid" icon="bellOff" reason={blocked} busy={save.isPending && (changed ? "Changing…" : "Silencing…")}>
          {changed ? "Change" : "Silence"}
        </Button>
      </div>
    </form>
  );
}

function NotSaved({ error, changed, onAgain }: { error: unknown; changed: boolean; onAgain: (() => void) | undefined }) {
  if (!isOutdated(error)) return <Banner tone="critical">{`${changed ? "Not changed" : "Not silenced"}: ${refusal(error)}`}</Banner>;
  return (
    <Banner tone="critical" action={onAgain && <Button onClick={onAgain}>Start from what stands now</Button>}>
      Not changed: somebody has changed the silence since you opened it.
    </Banner>
  );
}
