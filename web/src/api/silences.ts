import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { get, post, remove } from "./client.ts";
import type { Alert, SilenceMatcher } from "./types.ts";

/** A recurring time, as `time_intervals` of the configuration have it. An empty list asks nothing; all lists must agree. */
export interface Times {
  times: { start_time: string; end_time: string }[];
  weekdays: string[];
  days_of_month?: string[];
  months?: string[];
  years?: string[];
  /** Null: UTC. */
  location?: string | null;
}

export interface SilenceEnd {
  why: "person" | "replaced" | "resolved";
  by?: string | null;
  /** When it would have ended. */
  instead_of: string;
}

export interface Silence {
  id: string;
  /** Pending: it has not begun, or it is not one of its times. */
  state: "active" | "pending" | "expired";
  matchers: SilenceMatcher[];
  starts_at: string;
  ends_at: string;
  updated_at: string;
  /** Who it says has made it. */
  created_by: string;
  /** Who had signed in. */
  owner?: string | null;
  comment: string;
  until_resolved: boolean;
  times: Times[];
  /** When it begins to mute, or stops, whichever is next; null: not within two months. */
  next_turn_at?: string | null;
  ended?: SilenceEnd | null;
  /** How many alerts fire under it now. */
  firing: number;
  critical: number;
}

export interface SilenceList {
  server_time: string;
  silences: Silence[];
  /** Null: nobody is reminded of a silence that ends. */
  remind_seconds?: number | null;
}

export interface SilenceWish {
  /** The silence that is changed. */
  id?: string;
  /** `updated_at` of the silence that is changed, as the reader saw it. */
  seen_at?: string;
  matchers: SilenceMatcher[];
  /** Left out: now. */
  starts_at?: string;
  ends_at: string;
  comment: string;
  created_by?: string;
  until_resolved: boolean;
  times: Times[];
}

export interface PreviewWish {
  matchers: SilenceMatcher[];
  starts_at?: string;
  ends_at?: string;
  until_resolved: boolean;
  times: Times[];
}

export interface SilencePreview {
  total: number;
  critical: number;
  alerts: Alert[];
  covers_every_critical: boolean;
  no_equality: boolean;
  /** Alerts that match, but that the configuration lets no silence mute. */
  spared: number;
  /** What the configuration has against the silence; it would be refused. */
  faults: string[];
}

export interface HistoryWish {
  matchers: SilenceMatcher[];
  times: Times[];
}

export interface Begins {
  name: string;
  begins: number;
}

/** What the silence would have muted, had there been one. */
export interface SilenceHistory {
  from: string;
  /** False: there was too much to read it all, so it was looked for a shorter time. */
  complete: boolean;
  alerts: number;
  begins: number;
  notifications: number;
  pages: number;
  last_at?: string | null;
  /** The most frequent first, at most ten. */
  names: Begins[];
  services: Begins[];
}

export const silencesQuery = queryOptions({
  queryKey: ["silences"],
  queryFn: ({ signal }) => get<SilenceList>("/silences", {}, signal),
});

export function previewQuery(asked: PreviewWish) {
  return queryOptions({
    queryKey: ["alerts", "preview", asked],
    queryFn: ({ signal }) => post<SilencePreview>("/silences/preview", asked, signal),
    enabled: asked.matchers.length > 0,
    placeholderData: keepPreviousData,
    retry: false,
  });
}

export function historyQuery(asked: HistoryWish) {
  return queryOptions({
    queryKey: ["silence-history", asked],
    queryFn: ({ signal }) => post<SilenceHistory>("/silences/history", asked, signal),
    // Thirty days change little while a form is open, and the server reads much for the answer.
    staleTime: 300_000,
    retry: false,
  });
}

export const setSilence = (wish: SilenceWish) => post<{ id: string }>("/silences", wish);
export const endSilence = (id: string) => remove(`/silences/${encodeURIComponent(id)}`);
