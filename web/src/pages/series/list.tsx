import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { linesOf, sortLines, type Line, type SeriesList } from "../../lib/cardinality.ts";
import type { Cardinality } from "../../api/cardinality.ts";
import type { SeriesSearch } from "../../lib/search.ts";
import { formatCount } from "../../lib/units.ts";
import { Button } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Bar } from "../../ui/meter.tsx";
import { Empty } from "../../ui/states.tsx";

const PART = 50;

const HEADS: Record<SeriesList, { name: string; size: string; fresh: string | null; limited: boolean }> = {
  metrics: { name: "Metric", size: "Series", fresh: "New in 1 h", limited: true },
  labels: { name: "Label", size: "Values", fresh: "New in 1 h", limited: false },
  values: { name: "Value", size: "Series", fresh: "New in 1 h", limited: false },
  targets: { name: "Target", size: "Series", fresh: "New in 1 h", limited: true },
  jobs: { name: "Job", size: "Series", fresh: "New in 1 h", limited: false },
  refused: { name: "Metric", size: "Samples", fresh: null, limited: false },
};

interface SortHeadProps {
  words: string;
  on: boolean;
  onPick: () => void;
}

function SortHead({ words, on, onPick }: SortHeadProps) {
  return (
    <th scope="col" className="table-number" aria-sort={on ? "descending" : "none"}>
      <button type="button" className="sort" data-on={on || undefined} onClick={onPick}>
        <span className="sort-mark">{on && <Icon name="chevronDown" size={12} />}</span>
        {words}
      </button>
    </th>
  );
}

function Limit({ line }: { line: Line }) {
  if (line.refused > 0) return <Tag tone="warning" title={`${formatCount(line.refused)} samples of the last scrape found no series`}>Full, {formatCount(line.refused)} refused</Tag>;
  if (line.limit === null) return <span className="muted">none</span>;
  const share = line.held / line.limit;
  return (
    <span className="grower-limit number" data-tone={share >= 1 ? "critical" : share > 0.8 ? "warning" : undefined} title={`${formatCount(line.held)} of ${formatCount(line.limit)}`}>
      {share >= 1 ? "full: " : ""}
      {formatCount(line.limit)}
    </span>
  );
}

interface ListProps {
  all: Cardinality;
  list: SeriesList;
  search: SeriesSearch;
  change: (part: Partial<SeriesSearch>) => void;
}

/** One of the lists, sorted by size or by growth. */
export function List({ all, list, search, change }: ListProps) {
  const [most, setMost] = useState(PART);
  const heads = HEADS[list];
  const sort = heads.fresh === null ? "size" : (search.sort ?? "size");
  const lines = sortLines(linesOf(all, list), sort, search.q ?? "");
  const widest = Math.max(1, ...lines.map((line) => (sort === "new" ? (line.fresh ?? 0) : line.size)));
  if (lines.length === 0) {
    if (search.q) return <Empty icon="search" title="Nothing matches" action={<Button onClick={() => change({ q: undefined })}>Clear search</Button>} />;
    return list === "refused" ? <Empty good title="Nothing was refused">Every sample has found its series since the start.</Empty> : <Empty icon="search" title="There are no series yet" />;
  }
  return (
    <>
      <table className="table growers">
        <caption className="unseen">{heads.name} by {sort === "new" ? "growth" : "size"}</caption>
        <thead>
          <tr>
            <th scope="col">{heads.name}</th>
            <th scope="col" className="grower-bar">
              <span className="unseen">Share</span>
            </th>
            <SortHead words={heads.size} on={sort === "size"} onPick={() => change({ sort: undefined })} />
            {heads.fresh !== null && <SortHead words={heads.fresh} on={sort === "new"} onPick={() => change({ sort: "new" })} />}
            {heads.limited && (
              <th scope="col" className="table-number grower-limits">
                Limit
              </th>
            )}
            <th scope="col" className="grower-act">
              <span className="unseen">Query</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {lines.slice(0, most).map((line) => (
            <tr key={line.key} data-open={(line.metric !== null && search.metric === line.metric) || undefined}>
              <td className="grower-name">
                {line.metric !== null ? (
                  <button type="button" className="grower-pick mono" aria-pressed={search.metric === line.metric} title="Take it apart by its labels" onClick={() => change({ metric: search.metric === line.metric ? undefined : (line.metric ?? undefined) })}>
                    {line.name}
                  </button>
                ) : (
                  <span className="mono">{line.name === "" ? "(empty)" : line.name}</span>
                )}
                {line.more !== "" && <span className="muted grower-more">{line.more}</span>}
              </td>
              <td className="grower-bar">
                <Bar share={(sort === "new" ? (line.fresh ?? 0) : line.size) / widest} tone="accent" />
              </td>
              <td className="table-number number">{formatCount(line.size)}</td>
              {heads.fresh !== null && (
                <td className="table-number number" data-hot={(line.fresh !== null && line.fresh > 100 && line.fresh * 2 > line.size) || undefined}>
                  {line.fresh === null || line.fresh === 0 ? <span className="muted">0</span> : `+${formatCount(line.fresh)}`}
                </td>
              )}
              {heads.limited && (
                <td className="table-number grower-limits">
                  <Limit line={line} />
                </td>
              )}
              <td className="grower-act">
                {line.expr !== null && (
                  <Link to="/explore" search={{ expr: line.expr, tab: "table" }} className="icon-button" aria-label={`Query ${line.name}`} title={line.expr}>
                    <Icon name="explore" />
                  </Link>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {lines.length > most && (
        <p className="card-foot">
          <Button onClick={() => setMost(most + 200)}>Show more of {lines.length}</Button>
        </p>
      )}
    </>
  );
}
