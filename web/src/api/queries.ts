import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { formatMatcher, parseMatcher } from "../lib/matchers.ts";
import type { AlertsSearch, NotificationsSearch } from "../lib/search.ts";
import { get, prometheus } from "./client.ts";
import type {
  AlertDetail,
  AlertList,
  AuditEntry,
  DeliveryList,
  DemoService,
  InboxMessage,
  Labels,
  Overview,
  Page,
  PageDetail,
  QueryResult,
  RuleGroup,
  Session,
  TargetList,
  Token,
  Topic,
  User,
  Why,
} from "./types.ts";

/** The first word of each query's key, by the topic of the stream that makes it stale. */
export const STALE_BY: Record<Topic, readonly string[]> = {
  alerts: ["alerts", "alert", "overview", "rules", "page"],
  pages: ["pages", "page", "alerts", "alert", "overview", "why"],
  deliveries: ["deliveries", "overview", "alert", "page"],
  targets: ["targets", "overview"],
  silences: ["silences", "alerts", "alert", "overview", "why"],
  rules: ["rules", "overview"],
  inbox: ["inbox"],
  demo: ["demo"],
  runs: ["runs", "run", "documents", "document", "suggestions", "kill-switch", "freezes", "drills", "experiments", "report"],
  objectives: ["objectives", "objective"],
  journeys: ["journeys"],
};

/** Most alerts that one list asks for; the server counts the rest. */
export const ALERT_LIMIT = 2000;

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => get<Session>("/session", {}, signal),
  staleTime: Infinity,
});

export const overviewQuery = queryOptions({
  queryKey: ["overview"],
  queryFn: ({ signal }) => get<Overview>("/overview", {}, signal),
});

export function alertsQuery(search: Pick<AlertsSearch, "filter" | "state" | "q">) {
  const filter = (search.filter ?? []).flatMap((text) => {
    const matcher = parseMatcher(text);
    return matcher ? [formatMatcher(matcher)] : [];
  });
  return queryOptions({
    queryKey: ["alerts", filter, search.state ?? [], search.q ?? ""],
    queryFn: ({ signal }) => get<AlertList>("/alerts", { filter, state: search.state ?? [], q: search.q, limit: ALERT_LIMIT }, signal),
    placeholderData: keepPreviousData,
  });
}

export function alertQuery(fingerprint: string) {
  return queryOptions({
    queryKey: ["alert", fingerprint],
    queryFn: ({ signal }) => get<AlertDetail>(`/alerts/${encodeURIComponent(fingerprint)}`, {}, signal),
  });
}

export const pagesQuery = queryOptions({
  queryKey: ["pages"],
  queryFn: ({ signal }) => get<{ pages: Page[] }>("/pages", { state: "open", limit: 200 }, signal),
});

export function pageQuery(id: string) {
  return queryOptions({
    queryKey: ["page", id],
    queryFn: ({ signal }) => get<PageDetail>(`/pages/${encodeURIComponent(id)}`, {}, signal),
  });
}

export function deliveriesQuery(search: NotificationsSearch) {
  return queryOptions({
    queryKey: ["deliveries", search.state ?? "", search.channel ?? "", search.before ?? ""],
    queryFn: ({ signal }) => get<DeliveryList>("/deliveries", { state: search.state, channel: search.channel, before: search.before, limit: 200 }, signal),
    placeholderData: keepPreviousData,
  });
}

export const inboxQuery = queryOptions({
  queryKey: ["inbox"],
  queryFn: ({ signal }) => get<{ messages: InboxMessage[] }>("/inbox", { limit: 100 }, signal),
});

export const targetsQuery = queryOptions({
  queryKey: ["targets"],
  queryFn: ({ signal }) => get<TargetList>("/targets", {}, signal),
  // Each scrape moves times and sizes, which the stream does not announce.
  refetchInterval: 15_000,
});

/** `at` is an instant; left out, it is now, and the answer moves on with the clock. */
export function whyQuery(alert: string, at?: string) {
  return queryOptions({
    queryKey: ["why", alert, at ?? ""],
    queryFn: ({ signal }) => get<Why>("/why", { alert, at }, signal),
    // Timers decide without an event, and the account costs the server more than a list.
    refetchInterval: at === undefined ? 15_000 : false,
  });
}

export const rulesQuery = queryOptions({
  queryKey: ["rules"],
  queryFn: async ({ signal }) => (await prometheus<{ groups: RuleGroup[] }>("/rules", {}, signal)).data,
  refetchInterval: 15_000,
});

export const demoQuery = queryOptions({
  queryKey: ["demo"],
  queryFn: ({ signal }) => get<{ services: DemoService[] }>("/demo", {}, signal),
});

export const usersQuery = queryOptions({
  queryKey: ["users"],
  queryFn: ({ signal }) => get<{ users: User[] }>("/users", {}, signal),
});

export const tokensQuery = queryOptions({
  queryKey: ["tokens"],
  queryFn: ({ signal }) => get<{ tokens: Token[] }>("/tokens", {}, signal),
  // What was revoked opens nothing any more; the audit tells of it.
  select: (answer) => ({ tokens: answer.tokens.filter((token) => !token.revoked_at) }),
});

export const auditQuery = queryOptions({
  queryKey: ["audit"],
  queryFn: ({ signal }) => get<{ entries: AuditEntry[] }>("/audit", { limit: 200 }, signal),
});

/** Times are whole seconds of the Unix clock. */
export interface RangeRequest {
  expr: string;
  start: number;
  end: number;
  step: number;
}

export interface QueryAnswer {
  result: QueryResult;
  notes: string[];
  /** How long the answer took, as the reader felt it, in milliseconds. */
  took: number;
}

async function timed(path: string, parameters: Record<string, string | number>, signal: AbortSignal): Promise<QueryAnswer> {
  const started = performance.now();
  const { data, notes } = await prometheus<QueryResult>(path, parameters, signal);
  return { result: data, notes, took: performance.now() - started };
}

export function rangeQuery(asked: RangeRequest) {
  return queryOptions({
    queryKey: ["range", asked],
    queryFn: ({ signal }) => timed("/query_range", { query: asked.expr, start: asked.start, end: asked.end, step: asked.step }, signal),
    retry: false,
    placeholderData: keepPreviousData,
  });
}

export function instantQuery(expr: string, time: number) {
  return queryOptions({
    queryKey: ["instant", expr, time],
    queryFn: ({ signal }) => timed("/query", { query: expr, time }, signal),
    retry: false,
    placeholderData: keepPreviousData,
  });
}

/** Returns the text of a metric with its labels as PromQL writes it. */
export function seriesName(metric: Labels): string {
  const { __name__: name = "", ...labels } = metric;
  const inner = Object.keys(labels)
    .sort()
    .map((label) => `${label}="${labels[label]}"`)
    .join(", ");
  return inner === "" ? name || "{}" : `${name}{${inner}}`;
}
