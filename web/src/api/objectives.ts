import { queryOptions } from "@tanstack/react-query";
import { get } from "./client.ts";

export interface BurnAlert {
  name: string;
  severity: string;
  state: "inactive" | "pending" | "firing";
  short_seconds: number;
  long_seconds: number;
  factor: number;
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
  window: { text: string; kind: "rolling" | "calendar"; from: string; until: string };
  method: "occurrences" | "timeslices";
  unit: "events" | "slices";
  good: number;
  total: number;
  sli: number | null;
  budget: { allowed: number; spent: number; remaining_share: number; exhausted_at_forecast: string | null };
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
  burn_down: [number, number][];
  errors: [number, number][];
  definition_text: string;
}

/** As many points as a plot across a wide screen can show. */
const POINTS = 200;

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
