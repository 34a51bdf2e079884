import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { silencesQuery, type Silence } from "../../api/silences.ts";
import { ALERT_PLACES, PageHead } from "../../app/head.tsx";
import { useWhyNotRespond } from "../../app/session.ts";
import { useAsked } from "../../app/shortcuts.ts";
import { formatShort, fromSilenceMatcher, parseMatcher } from "../../lib/matchers.ts";
import type { SilencesSearch } from "../../lib/search.ts";
import { plural } from "../../lib/units.ts";
import { Button, Toggle } from "../../ui/button.tsx";
import { TextField } from "../../ui/field.tsx";
import { Empty, Region } from "../../ui/states.tsx";
import { SilencePanel } from "./panel.tsx";
import { Row } from "./row.tsx";
import "../../styles/silences.css";

const MOST = 500;

function isHit(silence: Silence, text: string): boolean {
  const where = [silence.created_by, silence.owner ?? "", silence.comment, ...silence.matchers.map((each) => formatShort(fromSilenceMatcher(each)))].join(" ").toLowerCase();
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
  const active = query.data?.silences.filter((each) => each.state === "active").length;
  const fresh = () => change({ silence: [""], change: undefined }, false);
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
          const wanted = data.silences.filter((each) => search.show === "all" || each.state !== "expired");
          const shown = wanted.filter((each) => isHit(each, search.q ?? "")).slice(0, MOST);
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
                <Row
                  key={silence.id}
                  silence={silence}
                  remind={data.remind_seconds}
                  onRepeat={(each) => change({ silence: each.matchers.map((matcher) => formatShort(fromSilenceMatcher(matcher))), change: undefined }, false)}
                  onChange={(each) => change({ change: each.id, silence: undefined }, false)}
                />
              ))}
            </ul>
          );
        }}
      </Region>
      <SilencePanel start={search.silence?.flatMap((text) => parseMatcher(text) ?? [])} change={search.change} onClose={() => change({ silence: undefined, change: undefined })} />
    </div>
  );
}
