import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { get } from "./client.ts";

/** What gives way for want of memory; each level holds for those before it too. */
export type MemoryLevel = "calm" | "flush" | "close" | "shed";

export interface Moment {
  at: string;
  created: number;
  removed: number;
  refused: number;
  series: number;
}

export interface MetricSeries {
  name: string;
  series: number;
  new_series: number;
  limit: number | null;
}

export interface LabelValues {
  name: string;
  values: number;
  new_values: number;
  series: number;
}

export interface PairSeries {
  name: string;
  value: string;
  series: number;
  new_series: number;
}

export interface JobSeries {
  job: string;
  series: number;
  new_series: number;
}

export interface TargetSeries {
  job: string;
  instance: string;
  series: number;
  new_series: number;
  limit: number | null;
  held: number | null;
  refused: number;
}

export type Limit = "target" | "metric" | "process" | "memory" | "labels" | "numbers";

export interface RefusedSamples {
  /** Empty, as the metric is, for all that are counted together. */
  job: string;
  metric: string;
  limit: Limit;
  samples: number;
  last_at: string;
}

export interface Cardinality {
  server_time: string;
  series: number;
  series_limit: number;
  new_series: number;
  counted_since: string | null;
  memory: { budget_bytes: number | null; used_bytes: number; counted_bytes: number; level: MemoryLevel };
  moments: Moment[];
  metrics: MetricSeries[];
  labels: LabelValues[];
  label_values: PairSeries[];
  jobs: JobSeries[];
  targets: TargetSeries[];
  refused: RefusedSamples[];
}

export interface MetricAnatomy {
  name: string;
  series: number;
  /** Of so many series the labels were looked at. */
  seen: number;
  limit: number | null;
  labels: { name: string; values: number; top: { value: string; series: number }[] }[];
}

export const cardinalityQuery = queryOptions({
  queryKey: ["cardinality"],
  queryFn: ({ signal }) => get<Cardinality>("/cardinality", { limit: 100 }, signal),
  // New series come with scrapes, which the stream does not announce.
  refetchInterval: 15_000,
});

export function anatomyQuery(metric: string) {
  return queryOptions({
    queryKey: ["cardinality", "metric", metric],
    queryFn: ({ signal }) => get<MetricAnatomy>(`/cardinality/metrics/${encodeURIComponent(metric)}`, {}, signal),
    placeholderData: keepPreviousData,
  });
}
