import type { DocumentKind } from "../api/runs.ts";
import type { AlertView, DeliveryState, WhyStage } from "../api/types.ts";
import { SERIES_LISTS, type SeriesList } from "./cardinality.ts";
import { formatShort, parseMatcher, type Matcher } from "./matchers.ts";
import { parseDuration, parseInstant } from "./time.ts";

export type RawSearch = Record<string, string | string[]>;

/** Returns the parameters of a URL; a name given more than once becomes a list. */
export function parseSearch(text: string): RawSearch {
  const found: RawSearch = {};
  for (const [name, value] of new URLSearchParams(text)) {
    const known = found[name];
    found[name] = known === undefined ? value : [...(Array.isArray(known) ? known : [known]), value];
  }
  return found;
}

/** Returns the query part of a URL, with its question mark; nothing is written for what is not set. */
export function stringifySearch(search: Record<string, unknown>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(search)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (typeof each === "string" || typeof each === "number" || typeof each === "boolean") {
        parameters.append(name, String(each));
      }
    }
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

function many(raw: unknown): string[] {
  const list = Array.isArray(raw) ? raw : raw === undefined ? [] : [raw];
  return list.filter((each): each is string => typeof each === "string").slice(0, 50);
}

function one(raw: unknown): string | undefined {
  return many(raw)[0];
}

function oneOf<T extends string>(raw: unknown, known: readonly T[]): T | undefined {
  const text = one(raw);
  return known.find((each) => each === text);
}

function filled<T extends object>(search: T): T {
  return Object.fromEntries(
    Object.entries(search).filter(([, value]) => value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0)),
  ) as T;
}

export const ALERT_VIEWS = ["firing", "pending", "acknowledged", "silenced", "inhibited", "resolved"] as const satisfies readonly AlertView[];
export const DELIVERY_STATES = ["pending", "delivered", "rejected", "expired"] as const satisfies readonly DeliveryState[];

export interface AlertsSearch {
  /** Matchers in their short form. */
  filter?: string[];
  state?: AlertView[];
  q?: string;
  group?: string;
  /** Fingerprint of the alert shown beside the list. */
  alert?: string;
  /** Id of a page, as notifications link to it: its first alert is shown. */
  page?: string;
  /** Present when the silence form is open: the matchers it starts with, or one empty text. */
  silence?: string[];
}

const ID = /^[0-9a-zA-Z_-]{1,64}$/;

const matcherTexts = (raw: unknown) =>
  many(raw)
    .map(parseMatcher)
    .filter((each): each is Matcher => each !== null)
    .map(formatShort);

function silenceSearch(raw: unknown): string[] | undefined {
  if (raw === undefined) return undefined;
  const texts = matcherTexts(raw);
  return texts.length > 0 ? texts : [""];
}

/** Returns what the URL of the alerts list says; what cannot be read is left out. */
export function readAlertsSearch(raw: Record<string, unknown>): AlertsSearch {
  const alert = one(raw.alert);
  const page = one(raw.page);
  const group = one(raw.group);
  return filled({
    filter: matcherTexts(raw.filter),
    state: ALERT_VIEWS.filter((each) => many(raw.state).includes(each)),
    q: one(raw.q),
    group: group && /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(group) ? group : undefined,
    alert: alert && ID.test(alert) ? alert : undefined,
    page: page && !alert && ID.test(page) ? page : undefined,
    silence: silenceSearch(raw.silence),
  });
}

export interface SilencesSearch {
  show?: "all";
  q?: string;
  silence?: string[];
  /** Id of the silence that is being changed. */
  change?: string;
}

export function readSilencesSearch(raw: Record<string, unknown>): SilencesSearch {
  const change = one(raw.change);
  return filled({ show: oneOf(raw.show, ["all"] as const), q: one(raw.q), silence: silenceSearch(raw.silence), change: change && ID.test(change) ? change : undefined });
}

export interface NotificationsSearch {
  state?: DeliveryState;
  channel?: string;
  before?: string;
  delivery?: string;
}

export function readNotificationsSearch(raw: Record<string, unknown>): NotificationsSearch {
  return filled({
    state: oneOf(raw.state, DELIVERY_STATES),
    channel: one(raw.channel),
    before: one(raw.before),
    delivery: one(raw.delivery),
  });
}

/** In the order of the way from a sample to a person. */
export const WHY_STAGES = ["rule", "routing", "group", "silence", "inhibition", "interval", "delivery", "person", "service"] as const satisfies readonly WhyStage[];

export interface WhySearch {
  /** A name, a fingerprint or matchers, as it was typed. */
  alert?: string;
  /** The instant that is asked about; left out, it is now. */
  at?: string;
  /** The stages that the timelines show; left out, all of them. */
  stage?: WhyStage[];
}

export function readWhySearch(raw: Record<string, unknown>): WhySearch {
  const at = one(raw.at);
  return filled({
    alert: one(raw.alert)?.trim().slice(0, 2000),
    at: parseInstant(at) === null ? undefined : at,
    stage: WHY_STAGES.filter((each) => many(raw.stage).includes(each)),
  });
}

export interface RulesSearch {
  q?: string;
  show?: "failing" | "firing";
}

export function readRulesSearch(raw: Record<string, unknown>): RulesSearch {
  return filled({ q: one(raw.q), show: oneOf(raw.show, ["failing", "firing"] as const) });
}

export interface TargetsSearch {
  q?: string;
  show?: "down" | "limited";
}

export function readTargetsSearch(raw: Record<string, unknown>): TargetsSearch {
  return filled({ q: one(raw.q), show: oneOf(raw.show, ["down", "limited"] as const) });
}

export interface SeriesSearch {
  /** Which list; "metrics" when left out. */
  by?: SeriesList;
  /** Left out, the largest stand first. */
  sort?: "new";
  /** The metric that is taken apart. */
  metric?: string;
  q?: string;
}

export function readSeriesSearch(raw: Record<string, unknown>): SeriesSearch {
  return filled({ by: oneOf(raw.by, SERIES_LISTS), sort: oneOf(raw.sort, ["new"] as const), metric: one(raw.metric), q: one(raw.q) });
}

export interface ExploreSearch {
  expr?: string;
  /** PromQL duration, "1h" when left out. */
  range?: string;
  /** Instant of the right edge; left out, the range follows the clock. */
  end?: string;
  /** PromQL duration; left out, the step follows from the range. */
  step?: string;
  tab?: "table";
}

export function readExploreSearch(raw: Record<string, unknown>): ExploreSearch {
  const range = one(raw.range);
  const step = one(raw.step);
  const end = one(raw.end);
  return filled({
    expr: one(raw.expr)?.slice(0, 20_000),
    range: range && parseDuration(range) ? range : undefined,
    end: parseInstant(end) === null ? undefined : end,
    step: step && parseDuration(step) ? step : undefined,
    tab: oneOf(raw.tab, ["table"] as const),
  });
}

export const RUN_STATES = ["open", "ended", "refused"] as const;
export const DOCUMENT_KINDS = ["runbook", "experiment", "drill"] as const satisfies readonly DocumentKind[];

export interface RunsSearch {
  state?: (typeof RUN_STATES)[number];
  kind?: DocumentKind;
  platform?: string;
  doc?: string;
  before?: string;
}

function named(raw: unknown): string | undefined {
  const text = one(raw);
  return text && text.length <= 200 ? text : undefined;
}

export function readRunsSearch(raw: Record<string, unknown>): RunsSearch {
  return filled({ state: oneOf(raw.state, RUN_STATES), kind: oneOf(raw.kind, DOCUMENT_KINDS), platform: named(raw.platform), doc: named(raw.doc), before: named(raw.before) });
}

export interface DocumentsSearch {
  q?: string;
  kind?: DocumentKind;
  platform?: string;
}

export function readDocumentsSearch(raw: Record<string, unknown>): DocumentsSearch {
  return filled({ q: one(raw.q), kind: oneOf(raw.kind, DOCUMENT_KINDS), platform: named(raw.platform) });
}

export interface DocumentSearch {
  /** Present when the form to start a run is open. */
  start?: "run";
  /** What the form starts with, as name=value. */
  set?: string[];
}

export function readDocumentSearch(raw: Record<string, unknown>): DocumentSearch {
  const start = oneOf(raw.start, ["run"] as const);
  return filled({ start, set: start ? many(raw.set).filter((each) => each.includes("=")) : [] });
}

/** Returns values as the address writes them, and back. */
export function writeValues(values: Record<string, string>): string[] {
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}

export function readValues(texts: readonly string[] | undefined): Record<string, string> {
  return Object.fromEntries((texts ?? []).map((each) => [each.slice(0, each.indexOf("=")), each.slice(each.indexOf("=") + 1)]));
}

export interface ObjectivesSearch {
  q?: string;
  show?: "trouble";
}

export function readObjectivesSearch(raw: Record<string, unknown>): ObjectivesSearch {
  return filled({ q: one(raw.q), show: oneOf(raw.show, ["trouble"] as const) });
}

export interface ObjectiveSearch {
  /** How much of the window the plot shows; left out, all of it. */
  range?: string;
}

export function readObjectiveSearch(raw: Record<string, unknown>): ObjectiveSearch {
  const range = one(raw.range);
  return filled({ range: range && parseDuration(range) ? range : undefined });
}

export interface DrillsSearch {
  /** The drill whose trend is unfolded. */
  open?: string;
}

export function readDrillsSearch(raw: Record<string, unknown>): DrillsSearch {
  return filled({ open: named(raw.open) });
}

const NICE_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400];

/** Returns the step in seconds that gives a plot of `points` points at most, rounded up to a pleasant one. */
export function stepFor(rangeMilliseconds: number, points = 250): number {
  const exact = rangeMilliseconds / 1000 / points;
  return NICE_STEPS.find((step) => step >= exact) ?? Math.ceil(exact / 86_400) * 86_400;
}
