import { queryOptions } from "@tanstack/react-query";
import { PREFIX } from "../lib/prefix.ts";
import { get } from "./client.ts";
import type { Run, RunDocument } from "./runs.ts";

export type DrillPhase = "detect" | "page" | "ack" | "data" | "traffic" | "capacity" | "verify";

export interface RecoveryObjective {
  rpo_seconds: number | null;
  rto_seconds: number | null;
}

export interface DrillResult {
  run: string;
  at: string;
  verdict: "met" | "missed" | "aborted" | "tabletop";
  missed: string[];
  rto_seconds: number | null;
  rpo_seconds: number | null;
  lost_writes: number | null;
  phases: Partial<Record<DrillPhase, number | null>>;
  objective: RecoveryObjective;
}

export interface Drill {
  document: RunDocument;
  cadence: { every_seconds: number | null; last_at: string | null; due_at: string | null; overdue: boolean };
  objective: RecoveryObjective | null;
  /** Newest first. */
  results: DrillResult[];
}

export interface ExperimentResult {
  run: string;
  at: string;
  verdict: "held" | "broken" | "stopped" | "invalid" | "refused";
  why: string;
}

export interface Experiment {
  document: RunDocument;
  results: ExperimentResult[];
}

export interface ReportPhase {
  name: string;
  from: string | null;
  until: string | null;
  seconds: number | null;
  budget_seconds: number | null;
  ok: boolean | null;
}

export interface ReportPlot {
  title: string;
  unit: string;
  series: { name: string; points: [number, number | null][] }[];
  marks: { at: string; text: string }[];
}

export interface Report {
  run: Run;
  verdict: string;
  why: string;
  objective: RecoveryObjective | null;
  measured: Record<string, number | string | boolean | null>;
  phases: ReportPhase[];
  checks: { id: string; ok: boolean; text: string }[];
  page: Record<string, unknown> | null;
  timeline: { at: string; text: string }[];
  plots: ReportPlot[];
}

export interface JourneyAttempt {
  began: string;
  ok: boolean;
}

export interface Journey {
  name: string;
  platform: string | null;
  interval_seconds: number;
  last: { began: string; ok: boolean; duration_seconds: number; reason: string | null; late?: boolean } | null;
  /** At most 120. */
  recent: JourneyAttempt[];
  steps: { name: string; ok: boolean; duration_seconds: number | null; status: number | null }[];
}

export const drillsQuery = queryOptions({
  queryKey: ["drills"],
  queryFn: ({ signal }) => get<{ drills: Drill[] }>("/drills", {}, signal),
});

export const experimentsQuery = queryOptions({
  queryKey: ["experiments"],
  queryFn: ({ signal }) => get<{ experiments: Experiment[] }>("/experiments", {}, signal),
});

/** Where the report of a run is served, as a page that stands alone or as data. */
export const reportAddress = (run: string, form: "html" | "json") => `${PREFIX}/api/tocsin/v1/runs/${encodeURIComponent(run)}/report${form === "html" ? ".html" : ""}`;

export function reportQuery(run: string) {
  return queryOptions({
    queryKey: ["report", run],
    queryFn: ({ signal }) => get<Report>(`/runs/${encodeURIComponent(run)}/report`, {}, signal),
  });
}

export const journeysQuery = queryOptions({
  queryKey: ["journeys"],
  queryFn: ({ signal }) => get<{ journeys: Journey[] }>("/journeys", {}, signal),
});
