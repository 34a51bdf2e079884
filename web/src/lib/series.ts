import type { Labels, SamplePair } from "../api/types.ts";

export interface Frame {
  /** Seconds of the Unix clock, one for each column. */
  times: number[];
  /** One row for each series; null where it has no sample. */
  rows: (number | null)[][];
}

/** Most columns that a frame may have, whatever the server was asked for. */
const MOST_COLUMNS = 20_000;

/** Returns samples laid on one axis of time, so that gaps stay gaps. Shape: from `start` to `end` in steps of `step` seconds. */
export function frameOf(series: readonly { values?: readonly SamplePair[] }[], start: number, end: number, step: number): Frame {
  const columns = Math.min(MOST_COLUMNS, Math.max(1, Math.floor((end - start) / step + 1e-9) + 1));
  const times = Array.from({ length: columns }, (_, index) => start + index * step);
  const rows = series.map(({ values = [] }) => {
    const row = Array.from<unknown, number | null>({ length: columns }, () => null);
    for (const [at, text] of values) {
      const column = Math.round((at - start) / step);
      const value = readSample(text);
      if (column >= 0 && column < columns && Number.isFinite(value)) row[column] = value;
    }
    return row;
  });
  return { times, rows };
}

/** Returns the number behind a sample's text, as Prometheus writes it. */
export function readSample(text: string): number {
  if (text === "+Inf" || text === "Inf") return Number.POSITIVE_INFINITY;
  if (text === "-Inf") return Number.NEGATIVE_INFINITY;
  return text.trim() === "" ? Number.NaN : Number(text);
}

/** Returns whether every label of `part` stands in `whole` with the same value; the metric's name does not count. */
export function isPartOf(part: Labels, whole: Labels): boolean {
  return Object.entries(part).every(([name, value]) => name === "__name__" || whole[name] === value);
}

/** Returns the last number of a row, or null when it has none. */
export function lastOf(row: readonly (number | null)[]): number | null {
  return row.findLast((value) => value !== null) ?? null;
}
