import { useState } from "react";
import { seriesName } from "../../api/queries.ts";
import type { Labels, QueryResult } from "../../api/types.ts";
import { useZone } from "../../app/settings.ts";
import { serverNow } from "../../app/clock.ts";
import { readSample } from "../../lib/series.ts";
import { formatStamp } from "../../lib/time.ts";
import { formatNumber } from "../../lib/units.ts";
import { Button } from "../../ui/button.tsx";
import { CopyButton } from "../../ui/copy.tsx";
import { Empty } from "../../ui/states.tsx";

const PART = 200;

function rowsOf(result: QueryResult): { metric: Labels; at: number; text: string }[] {
  switch (result.resultType) {
    case "vector":
      return result.result.map((each) => (each.value ? { metric: each.metric, at: each.value[0], text: each.value[1] } : { metric: each.metric, at: 0, text: "histogram" }));
    case "matrix":
      return result.result.flatMap((each) => (each.values ?? []).map(([at, text]) => ({ metric: each.metric, at, text })));
    case "scalar":
    case "string":
      return [{ metric: {}, at: result.result[0], text: result.result[1] }];
  }
}

function Series({ metric }: { metric: Labels }) {
  const { __name__: name, ...labels } = metric;
  const names = Object.keys(labels).sort();
  if (names.length === 0) return <span className="mono">{name ?? "{}"}</span>;
  return (
    <span className="mono series">
      {name}
      <span className="muted">{"{"}</span>
      {names.map((label, index) => (
        <span key={label}>
          {index > 0 && <span className="muted">, </span>}
          <span className="series-label">{label}</span>
          <span className="muted">=</span>
          <span className="series-value">"{labels[label]}"</span>
        </span>
      ))}
      <span className="muted">{"}"}</span>
    </span>
  );
}

/** Shows the values of one instant, the largest first. */
export function ResultTable({ result }: { result: QueryResult }) {
  const zone = useZone();
  const [most, setMost] = useState(PART);
  const rows = rowsOf(result);
  if (rows.length === 0) return <Empty icon="search" title="No series matches">The expression is valid and has no value at this instant.</Empty>;
  const sorted = result.resultType === "vector" ? rows.toSorted((left, right) => (readSample(right.text) || 0) - (readSample(left.text) || 0)) : rows;
  const first = sorted[0];
  return (
    <>
      <p className="graph-at muted number">{first && formatStamp(first.at * 1000, zone, serverNow())}</p>
      <div className="table-wrap">
        <table className="table results">
          <caption className="unseen">Result of the query</caption>
          <thead>
            <tr>
              <th scope="col">Series</th>
              <th scope="col" className="table-number">
                Value
              </th>
              <th scope="col">
                <span className="unseen">Copy</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {sorted.slice(0, most).map((row) => {
              const value = readSample(row.text);
              return (
                <tr key={`${seriesName(row.metric)} ${row.at}`}>
                  <td>
                    <Series metric={row.metric} />
                  </td>
                  <td className="table-number number" title={row.text}>
                    {Number.isNaN(value) ? row.text : formatNumber(value)}
                  </td>
                  <td className="table-action">
                    <CopyButton text={seriesName(row.metric)} label={`Copy selector ${seriesName(row.metric)}`} />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {sorted.length > most && (
        <p className="card-foot">
          <Button onClick={() => setMost(most + 1000)}>
            Show more of {sorted.length} rows
          </Button>
        </p>
      )}
    </>
  );
}
