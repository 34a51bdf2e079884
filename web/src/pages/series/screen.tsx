import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { cardinalityQuery, type Cardinality } from "../../api/cardinality.ts";
import { EXPLORE_PLACES, PageHead } from "../../app/head.tsx";
import { memoryWords, SERIES_LISTS, type SeriesList } from "../../lib/cardinality.ts";
import type { SeriesSearch } from "../../lib/search.ts";
import { formatCount, plural } from "../../lib/units.ts";
import { TextField } from "../../ui/field.tsx";
import { Bar } from "../../ui/meter.tsx";
import { Banner, Region, Skeleton } from "../../ui/states.tsx";
import { Tile, Tiles } from "../../ui/tiles.tsx";
import { Time } from "../../ui/time.tsx";
import { Anatomy } from "./anatomy.tsx";
import { Growth } from "./growth.tsx";
import { List } from "./list.tsx";
import "../../styles/proof.css";
import "../../styles/series.css";

const WORDS: Record<SeriesList, string> = { metrics: "Metrics", labels: "Labels", values: "Label values", targets: "Targets", jobs: "Jobs", refused: "Refused" };

/** Says what gives way now, and why. */
function Trouble({ all }: { all: Cardinality }) {
  const { level } = all.memory;
  if (level === "close" || level === "shed") {
    return (
      <Banner tone="critical">
        <strong>Memory is short: new series are refused{level === "shed" ? ", and so are queries" : ""}.</strong> Known series, rules and alerts go on. What grows stands below: limit it or drop it, or give more memory.
      </Banner>
    );
  }
  if (all.series >= all.series_limit) {
    return (
      <Banner tone="critical">
        <strong>The store holds as many series as it may: new ones are refused.</strong> Known series, rules and alerts go on. Limit or drop what grows, or raise storage.series_limit.
      </Banner>
    );
  }
  return null;
}

function Figures({ all }: { all: Cardinality }) {
  const memory = memoryWords(all.memory);
  const full = all.series / all.series_limit;
  const refused = all.refused.reduce((sum, each) => sum + each.samples, 0);
  const limited = all.targets.filter((target) => target.refused > 0).length;
  const last = all.refused[0];
  return (
    <Tiles>
      <Tile
        label="Series"
        tone={full >= 1 ? "critical" : full > 0.8 ? "warning" : "plain"}
        note={
          <>
            <Bar share={full} tone={full >= 1 ? "critical" : full > 0.8 ? "warning" : "accent"} />
            of at most {formatCount(all.series_limit)}
          </>
        }
      >
        {formatCount(all.series)}
      </Tile>
      <Tile label="New in the last hour" note={all.series > 0 ? `${Math.round((100 * all.new_series) / all.series)} % of all` : undefined}>
        {formatCount(all.new_series)}
      </Tile>
      <Tile
        label="Memory"
        tone={memory.tone}
        note={
          <>
            {all.memory.budget_bytes !== null && <Bar share={all.memory.used_bytes / all.memory.budget_bytes} tone={memory.tone === "plain" ? "accent" : memory.tone} />}
            {memory.note}
          </>
        }
      >
        {memory.value}
      </Tile>
      <Tile
        label="Samples refused"
        tone={limited > 0 ? "warning" : "plain"}
        note={
          last ? (
            <>
              the last <Time at={last.last_at} after=" ago" />
              {limited > 0 && `, ${plural(limited, "target")} at the limit`}
            </>
          ) : (
            "no limit was reached"
          )
        }
      >
        {formatCount(refused)}
      </Tile>
    </Tiles>
  );
}

export function SeriesScreen() {
  const search = useSearch({ from: "/explore/series" });
  const navigate = useNavigate({ from: "/explore/series" });
  const query = useQuery(cardinalityQuery);
  const change = (part: Partial<SeriesSearch>) => void navigate({ search: (now: SeriesSearch) => ({ ...now, ...part }), replace: true });
  const list = search.by ?? "metrics";

  return (
    <div className="page">
      <PageHead title="Series" note={query.data && `${plural(query.data.series, "series", "series")}, ${formatCount(query.data.new_series)} new in the last hour`} places={EXPLORE_PLACES} />
      <Region query={query} what="the series" skeleton={<Skeleton rows={10} />}>
        {(all) => (
          <div className="stack">
            <Trouble all={all} />
            <Figures all={all} />
            <Growth all={all} />
            {search.metric !== undefined && <Anatomy metric={search.metric} onClose={() => change({ metric: undefined })} />}
            <section className="card growers-card" data-flush aria-label="Who has the series">
              <div className="bar growers-bar">
                <div className="growers-lists" role="group" aria-label="List">
                  {SERIES_LISTS.map((each) => (
                    <button key={each} type="button" className="toggle" aria-pressed={each === list} onClick={() => change({ by: each === "metrics" ? undefined : each })}>
                      {WORDS[each]}
                    </button>
                  ))}
                </div>
                <TextField label="Search this list" hideLabel type="search" placeholder="Name" value={search.q ?? ""} onChange={(event) => change({ q: event.target.value || undefined })} />
              </div>
              <List key={list} all={all} list={list} search={search} change={change} />
            </section>
          </div>
        )}
      </Region>
    </div>
  );
}
