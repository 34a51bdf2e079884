import { PREFIX } from "../lib/prefix.ts";
import type { Problem, PrometheusAnswer } from "./types.ts";

/** What went wrong between the page and the server; status 0 means that no answer came. */
export class ApiError extends Error {
  readonly status: number;
  readonly detail: string;
  readonly extra: Record<string, unknown>;

  constructor(status: number, title: string, detail = "", extra: Record<string, unknown> = {}) {
    super(title);
    this.name = "ApiError";
    this.status = status;
    this.detail = detail;
    this.extra = extra;
  }
}

/** An error of a PromQL query, with the place in UTF-8 bytes where the server knows it. */
export class QueryError extends ApiError {
  readonly position: { start: number; end: number } | null;

  constructor(status: number, text: string, position: { start: number; end: number } | null) {
    super(status, text);
    this.name = "QueryError";
    this.position = position;
  }
}

const BASE = "/api/tocsin/v1";
const PATIENCE = 30_000;

let csrf = "";
let onUnauthorised: () => void = () => {};

export function setCsrf(token: string): void {
  csrf = token;
}

/** Names what to do when the server no longer knows the session. */
export function whenUnauthorised(act: () => void): void {
  onUnauthorised = act;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

async function send(method: Method, path: string, body: unknown, signal: AbortSignal | undefined): Promise<Response> {
  const headers: Record<string, string> = { accept: "application/json" };
  if (body !== undefined) headers["content-type"] = "application/json";
  if (method !== "GET" && csrf !== "") headers["x-tocsin-csrf"] = csrf;
  const limit = AbortSignal.timeout(PATIENCE);
  try {
    return await fetch(PREFIX + path, {
      method,
      headers,
      credentials: "same-origin",
      body: body === undefined ? null : JSON.stringify(body),
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
    });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, limit.aborted ? "The server takes too long" : "The server does not answer");
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

async function failure(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null);
  if (typeof body === "string") return new ApiError(response.status, body);
  if (!isObject(body)) return new ApiError(response.status, `The server answered with status ${response.status}`);
  const { type: _type, title, status: _status, detail, ...extra } = body as Partial<Problem>;
  const said = [body.error, body.message].find((text): text is string => typeof text === "string");
  const words = title ?? said ?? `The server answered with status ${response.status}`;
  return new ApiError(response.status, words, detail ?? "", extra);
}

/** Returns the body of a successful answer. Errors: `ApiError`, with the words of the server's problem document. */
export async function request<T>(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const response = await send(method, path, body, signal);
  if (!response.ok) {
    if (response.status === 401 && !path.endsWith("/session")) onUnauthorised();
    throw await failure(response);
  }
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

type Parameters = Record<string, string | number | readonly string[] | undefined>;

function withParameters(path: string, parameters: Parameters): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined || value === "") continue;
    if (typeof value === "string" || typeof value === "number") query.append(name, String(value));
    else for (const each of value) query.append(name, each);
  }
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** Returns a resource of Tocsin's own API. */
export function get<T>(path: string, parameters: Parameters = {}, signal?: AbortSignal): Promise<T> {
  return request("GET", withParameters(`${BASE}${path}`, parameters), undefined, signal);
}

export function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return request("POST", `${BASE}${path}`, body, signal);
}

export function put<T>(path: string, body: unknown): Promise<T> {
  return request("PUT", `${BASE}${path}`, body);
}

export function patch<T>(path: string, body: unknown): Promise<T> {
  return request("PATCH", `${BASE}${path}`, body);
}

export function remove(path: string): Promise<void> {
  return request("DELETE", `${BASE}${path}`);
}

/** Returns the data of Prometheus' API with its warnings. Errors: `QueryError` when the query is refused. */
export async function prometheus<T>(path: string, parameters: Parameters, signal?: AbortSignal): Promise<{ data: T; notes: string[] }> {
  const response = await send("GET", withParameters(`/api/v1${path}`, parameters), undefined, signal);
  if (response.status === 401) onUnauthorised();
  const body: unknown = await response.json().catch(() => null);
  if (!isObject(body) || (body.status !== "success" && body.status !== "error")) {
    throw new ApiError(response.status, isObject(body) && typeof body.title === "string" ? body.title : `The server answered with status ${response.status}`);
  }
  const answer = body as PrometheusAnswer<T>;
  if (answer.status === "error") throw new QueryError(response.status, answer.error, answer.position ?? null);
  return { data: answer.data, notes: [...(answer.warnings ?? []), ...(answer.infos ?? [])] };
}

/** Returns the words for an error, for any reader. */
export function wordsOf(error: unknown): { title: string; detail: string } {
  if (error instanceof ApiError) return { title: error.message, detail: error.detail };
  return { title: error instanceof Error ? error.message : "Something failed", detail: "" };
}
