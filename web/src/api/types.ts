// The shapes of the HTTP contract, as the server sends them. Times are RFC 3339 with Z.

export type Severity = "critical" | "warning" | "info" | "other";
export type AlertState = "pending" | "firing" | "resolved";
/** What the list can be narrowed to: the alert's own state, or what was done about it. */
export type AlertView = "firing" | "pending" | "acknowledged" | "silenced" | "inhibited" | "resolved";
export type PageState = "triggered" | "acknowledged" | "resolved";
export type DeliveryState = "pending" | "delivered" | "rejected" | "expired";
export type Role = "viewer" | "responder" | "operator" | "sre-lead" | "author" | "auditor" | "writer";
export type Labels = Record<string, string>;

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  [extra: string]: unknown;
}

export interface Session {
  authenticated: boolean;
  user?: { name: string; role: Role };
  csrf?: string;
  auth: "password" | "off";
  demo: boolean;
  version: string;
  external_url?: string;
  server_time: string;
}

export interface PageRef {
  id: string;
  state: PageState;
  acknowledged_by: string | null;
  acknowledged_at: string | null;
}

export interface Alert {
  fingerprint: string;
  name: string;
  severity: Severity;
  state: AlertState;
  labels: Labels;
  annotations: Labels;
  value: string | null;
  active_at: string;
  fired_at: string | null;
  resolved_at: string | null;
  unseen: { why: "scrape_failed" | "no_data" | "target_gone"; since: string } | null;
  silenced_by: string[];
  inhibited_by: string[];
  muted_by: string[];
  receivers: string[];
  page: PageRef | null;
  rule: { group: string; file: string; expr: string; for_seconds: number } | null;
  generator_url: string;
  /** It has begun again and again, so its end is put off. */
  flapping: boolean;
}

export interface AlertDetail extends Alert {
  deliveries: Delivery[];
  history: { at: string; state: AlertState }[];
}

export type AlertCounts = Record<AlertView, number>;

export interface AlertList {
  server_time: string;
  total: number;
  counts: AlertCounts;
  alerts: Alert[];
}

export interface Page {
  id: string;
  state: PageState;
  title: string;
  severity: Severity;
  receiver: string;
  group_labels: Labels;
  alerts: string[];
  firing_count: number;
  opened_at: string;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  resolved_at: string | null;
  users: string[];
  version: number;
}

export interface PageDetail extends Page {
  timeline: { at: string; kind: string; text: string; by: string | null }[];
  alert_details: Alert[];
  deliveries: Delivery[];
}

export interface Attempt {
  at: string;
  outcome: "delivered" | "retry" | "rejected";
  detail: string;
  duration_ms: number;
}

export interface Delivery {
  id: number;
  key: string;
  page_id: string | null;
  receiver: string;
  channel: string;
  action: "trigger" | "acknowledge" | "resolve" | "notify";
  title: string;
  state: DeliveryState;
  created_at: string;
  finished_at: string | null;
  next_attempt_at: string | null;
  expires_at: string;
  attempts: Attempt[];
}

export interface DeliveryList {
  deliveries: Delivery[];
  next: number | null;
  counts: Record<DeliveryState, number>;
}

export interface FiringBucket {
  at: string;
  critical: number;
  warning: number;
  other: number;
}

export interface Overview {
  server_time: string;
  firing: Record<Severity, number>;
  acknowledged: number;
  pending: number;
  pages_open: number;
  targets: { up: number; down: number; unknown: number };
  silences_active: number;
  deliveries: { pending: number; failing: number; failed_24h: number };
  rules: { groups: number; rules: number; failing: number; last_evaluation_at: string | null };
  storage: { series: number; samples_total: number; samples_per_second: number; chunk_bytes: number };
  needs_you: Page[];
  services: { name: string; severity: Severity; firing: number; acknowledged: number }[];
  firing_24h: FiringBucket[];
}

export interface InboxMessage {
  id: string;
  at: string;
  receiver: string;
  title: string;
  body: string;
  status: "firing" | "resolved";
  page_id: string | null;
}

export interface SilenceMatcher {
  name: string;
  value: string;
  isRegex: boolean;
  isEqual: boolean;
}

export type Health = "up" | "down" | "unknown";

export interface Target {
  url: string;
  health: Health;
  labels: Labels;
  discovered_labels: Labels;
  last_scrape_at: string | null;
  last_duration_seconds: number;
  last_error: string;
  samples: number;
  interval_seconds: number;
  timeout_seconds: number;
  /** Series that it may hold; null for no limit of its own. */
  series_limit: number | null;
  series_held: number | null;
  /** Samples of the last scrape without a series, because a new one was refused. */
  series_refused: number;
  series_refusal: string;
}

export interface Job {
  name: string;
  up: number;
  total: number;
  targets: Target[];
  dropped: number;
}

export interface TargetList {
  server_time: string;
  jobs: Job[];
}

/** The part of the way from a sample to a person that decided. */
export type WhyStage = "rule" | "routing" | "group" | "silence" | "inhibition" | "interval" | "delivery" | "person" | "service";

export interface WhyVerdict {
  /** Null: the alert got to no receiver. */
  receiver: string | null;
  told: boolean;
  stage: WhyStage;
  why: string;
  /** What would have had to be different. */
  otherwise: string | null;
}

export interface WhyLine {
  at: string;
  /** When the same was decided last. */
  until: string;
  times: number;
  stage: WhyStage;
  text: string;
  /** What belongs below it. */
  more: string[];
}

export interface WhyAccount {
  fingerprint: string;
  labels: Labels;
  verdicts: WhyVerdict[];
  /** In order of time; the oldest are left out where there are more than 500. */
  timeline: WhyLine[];
}

/** A comparison of a rule's condition, and what stood on its sides. */
export interface WhyMargin {
  comparison: string;
  right: string | null;
  /** Of the left side the values that are nearest to holding. */
  left: { labels: Labels; value: string }[];
  series: number;
  holds: number;
}

export interface WhyRule {
  file: string;
  group: string;
  name: string;
  expr: string;
  for_seconds: number;
  error: string | null;
  fault: string | null;
  margins: WhyMargin[];
}

export interface Why {
  at: string;
  from: string;
  to: string;
  alerts: WhyAccount[];
  /** How many more alerts are meant. */
  more: number;
  rules: WhyRule[];
  /** Which way an alert with the labels that were asked for would have taken; empty where an alert is known. */
  way: string[];
}

/** A rule of Prometheus' GET /api/v1/rules. */
export interface Rule {
  type: "alerting" | "recording";
  name: string;
  query: string;
  duration?: number;
  labels?: Labels;
  annotations?: Labels;
  health: string;
  lastError?: string;
  state?: "firing" | "pending" | "inactive" | "unknown";
  alerts?: unknown[];
  evaluationTime?: number;
  lastEvaluation?: string;
}

export interface RuleGroup {
  name: string;
  file: string;
  interval: number;
  evaluationTime?: number;
  lastEvaluation?: string;
  rules: Rule[];
}

export type PrometheusAnswer<T> =
  | { status: "success"; data: T; warnings?: string[]; infos?: string[] }
  | { status: "error"; errorType: string; error: string; position?: { start: number; end: number } };

export type SamplePair = [number, string];

export type QueryResult =
  | { resultType: "vector"; result: { metric: Labels; value?: SamplePair; histogram?: unknown }[] }
  | { resultType: "matrix"; result: { metric: Labels; values?: SamplePair[]; histograms?: unknown }[] }
  | { resultType: "scalar" | "string"; result: SamplePair };

export interface DemoService {
  name: string;
  url: string;
  faults: { name: string; title: string; description: string; active: boolean }[];
}

export interface User {
  name: string;
  role: Role;
  created_at: string;
  disabled: boolean;
}

export interface Token {
  id: string;
  name: string;
  role: Role;
  created_at?: string;
  created_by?: string;
  revoked_at?: string | null;
  expires_at?: string | null;
}

export interface AuditEntry {
  at: string;
  who: string;
  action: string;
  subject: string;
  outcome: string;
  detail: string;
}

export type Topic = "alerts" | "pages" | "deliveries" | "targets" | "silences" | "rules" | "inbox" | "demo" | "runs" | "objectives" | "journeys";
