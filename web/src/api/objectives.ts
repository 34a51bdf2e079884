import { queryOptions } from "@tanstack/react-query";
import { get } from "./client.ts";

export interface BurnAlert {
  name: string;
  severity: string;
  state: "inactive" | "pending" | "firing";
  /** Null for an alert that looks at the whole window. */
  short_seconds: number | null;
  long_seconds: number | null;
  factor: number | null;
  short_rate: number | null;
  long_rate: number | null;
}

export interface Objective {
  id: string;
  slo: string;
  name: string;
  service: string;
  title: string;
  /** Share from 0 to 1. */
  target: number;
  window: { text: string; kind: "rolling" | "calendar"; from: string | null; until: string | null };
  method: "occurrences" | "timeslices";
  unit: string;
  good: number;
  total: number;
  sli: number | null;
  /** The share that is left is null when the budget is nothing at all and is overspent. */
  budget: { allowed: number; spent: number; remaining_share: number | null; exhausted_at_forecast: string | null };
  burn: { window_seconds: number; rate: number | null }[];
  alerts: BurnAlert[];
  counted_until: string | null;
  catching_up: boolean;
  low_traffic: boolean;
  error: string | null;
  file: string;
}

export interface ObjectiveDetail extends Objective {
  /** Instants in milliseconds of the Unix clock, and the share of the budget that was left. */
  burn_down: [number, number | null][];
  errors: [number, number][];
  definition_text: string;
}

/** As many points as a plot across a wide screen can show. */
const POINTS = 400;

export const objectivesQuery = queryOptions({
  queryKey: ["objectives"],
  queryFn: ({ signal }) => get<{ server_time: string; objectives: Objective[] }>("/objectives", {}, signal),
});

export function objectiveQuery(id: string) {
  return queryOptions({
    queryKey: ["objective", id],
    queryFn: ({ signal }) => get<ObjectiveDetail>(`/objectives/${encodeURIComponent(id)}`, { points: POINTS }, signal),
  });
}
