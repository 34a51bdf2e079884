import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { createSilence, endSilence } from "../../api/actions.ts";
import { wordsOf } from "../../api/client.ts";
import { silencesQuery } from "../../api/queries.ts";
import type { Silence } from "../../api/types.ts";
import { serverNow } from "../../app/clock.ts";
import { ALERT_PLACES, PageHead } from "../../app/head.tsx";
import { useWhyNotRespond } from "../../app/session.ts";
import { useAsked } from "../../app/shortcuts.ts";
import { formatShort, fromSilenceMatcher, parseMatcher } from "../../lib/matchers.ts";
import type { SilencesSearch } from "../../lib/search.ts";
import { parseInstant, toInstant } from "../../lib/time.ts";
import { plural } from "../../lib/units.ts";
import { Button, Toggle } from "../../ui/button.tsx";
import { TextField } from "../../ui/field.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Empty, Region } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { toast } from "../../ui/toasts.tsx";
import { SilencePanel } from "./panel.tsx";
import "../../styles/silences.css";

const RANK = { active: 0, pending: 1, expired: 2 } as const;

function useEndSilence() {
  const client = useQueryClient();
  const refresh = () => Promise.all(["silences", "alerts", "alert", "overview"].map((name) => client.invalidateQueries({ queryKey: [name] })));
  return useMutation({
    mutationFn: (silence: Silence) => endSilence(silence.id),
    onSuccess: async (_answer, silence) => {
      toast("Ended the silence", {
        undo: () => {
          const { matchers, endsAt, createdBy, comment } = silence;
          createSilence({ matchers, startsAt: toInstant(Math.max(serverNow(), parseInstant(silence.startsAt) ?? 0)), endsAt, createdBy, comment }).then(refresh, (error: unknown) =>
            toast(`Not undone: ${wordsOf(error).title}`, { tone: "critical" }),
          );
        },
      });
      await refresh();
    },
    onError: (error) => toast(`Not ended: ${wordsOf(error).title}`, { tone: "critical" }),
  });
}

function Row({ silence, onRepeat }: { silence: Silence; onRepeat: (silence: Silence) => void }) {
  const end = useEndSilence();
  const mayNot = useWhyNotRespond();
  const { state } = silence.status;
  return (
    <li className="silence" data-state={state}>
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
        <p className="silence-comment">{silence.comment}</p>
        <p className="silence-facts">
          by <strong>{silence.createdBy}</strong>, {state === "pending" ? "starts" : "started"} <Time at={silence.startsAt} show="stamp" />
        </p>
      </div>
      <div className="silence-end">
        {state === "active" && <Tag tone="accent">Active</Tag>}
        {state === "pending" && <Tag tone="info">Planned</Tag>}
        {state === "expired" && <Tag>Ended</Tag>}
        <span className="soft">
          {state === "pending" && (
            <>
              starts <Time at={silence.startsAt} />
            </>
          )}
          {state === "active" && (
            <>
              ends <Time at={silence.endsAt} />
            </>
          )}
          {state === "expired" && <Time at={silence.endsAt} after=" ago" />}
        </span>
      </div>
      {state === "expired" ? (
        <Button icon="undo" reason={mayNot} onClick={() => onRepeat(silence)}>
          Silence again
        </Button>
      ) : (
        <Button icon="bell" reason={mayNot} busy={end.isPending && "Ending…"} onClick={() => end.mutate(silence)}>
          End silence
        </Button>
      )}
    </li>
  );
}

function isHit(silence: Silence, text: string): boolean {
  const where = [silence.createdBy, silence.comment, ...silence.matchers.map((each) => formatShort(fromSilenceMatcher(each)))].join(" ").toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => where.includes(word));
}

export function SilencesScreen() {
  const search = useSearch({ from: "/alerts/silences" });
  const navigate = useNavigate({ from: "/alerts/silences" });
  const query = useQuery(silencesQuery);
  const mayNot = useWhyNotRespond();
  const change = (part: Partial<SilencesSearch>, replace = true) => void navigate({ search: (now: SilencesSearch) => ({ ...now, ...part }), replace });
  const active = query.data?.filter((each) => each.status.state === "active").length;
  const fresh = () => change({ silence: [""] }, false);
  useAsked("silence", () => {
    if (!mayNot) fresh();
  });

  return (
    <div className="page">
      <PageHead title="Silences" note={active !== undefined && `${active} active`} places={ALERT_PLACES}>
        <Button look="solid" icon="plus" reason={mayNot} onClick={fresh}>
          New silence
        </Button>
      </PageHead>
      <div className="bar">
        <TextField label="Search silences" hideLabel type="search" placeholder="Matcher, author or reason" value={search.q ?? ""} onChange={(event) => change({ q: event.target.value || undefined })} />
        <Toggle on={search.show === "all"} onChange={(on) => change({ show: on ? "all" : undefined })}>
          Ended too
        </Toggle>
      </div>
      <Region query={query} what="the silences">
        {(data) => {
          const wanted = data.filter((each) => search.show === "all" || each.status.state !== "expired");
          const shown = wanted
            .filter((each) => isHit(each, search.q ?? ""))
            .sort((left, right) => RANK[left.status.state] - RANK[right.status.state] || left.endsAt.localeCompare(right.endsAt))
            .slice(0, 500);
          if (wanted.length === 0) {
            return (
              <Empty good icon="bell" title="Nothing is silenced">
                Every alert that fires reaches its receiver.
              </Empty>
            );
          }
          if (shown.length === 0) return <Empty icon="search" title={`None of ${plural(wanted.length, "silence")} matches`} action={<Button onClick={() => change({ q: undefined })}>Clear search</Button>} />;
          return (
            <ul className="card silences" data-flush>
              {shown.map((silence) => (
                <Row key={silence.id} silence={silence} onRepeat={(each) => change({ silence: each.matchers.map((matcher) => formatShort(fromSilenceMatcher(matcher))) }, false)} />
              ))}
            </ul>
          );
        }}
      </Region>
      <SilencePanel start={search.silence?.flatMap((text) => parseMatcher(text) ?? [])} onClose={() => change({ silence: undefined })} />
    </div>
  );
}
