import type { Topic } from "../api/types.ts";
import { parseInstant } from "./time.ts";

/** How long the stream may be silent before its data counts as stale: two heartbeats. */
export const SILENCE_LIMIT = 10_000;
/** Readers are told when the clocks are further apart than this. */
export const SKEW_LIMIT = 30_000;

export interface StreamState {
  phase: "connecting" | "live" | "lost";
  /** When something was last heard, on this browser's clock. */
  heardAt: number | null;
  /** Server clock minus browser clock, in milliseconds. */
  skew: number;
  version: string | null;
}

export type StreamEvent =
  | { kind: "open" }
  | { kind: "heartbeat"; serverTime: string; version: string }
  | { kind: "change" }
  | { kind: "resync" }
  | { kind: "error" }
  | { kind: "tick" };

export const START: StreamState = { phase: "connecting", heardAt: null, skew: 0, version: null };

/** Returns the state of the stream after one event seen at `now`; the same object when nothing changed for a reader. */
export function reduceStream(state: StreamState, event: StreamEvent, now: number): StreamState {
  switch (event.kind) {
    case "open":
    case "change":
    case "resync":
      return { ...state, phase: "live", heardAt: now };
    case "heartbeat": {
      const server = parseInstant(event.serverTime);
      const skew = server === null ? state.skew : server - now;
      return { phase: "live", heardAt: now, skew, version: event.version };
    }
    case "error":
      return state.phase === "lost" ? state : { ...state, phase: "lost" };
    case "tick":
      if (state.phase === "live" && state.heardAt !== null && now - state.heardAt > SILENCE_LIMIT) {
        return { ...state, phase: "lost" };
      }
      return state;
  }
}

export type StreamMessage =
  | { event: "heartbeat"; server_time: string; version: string }
  | { event: "change"; topic: Topic; id: string | null }
  | { event: "resync" };

const TOPICS: readonly string[] = ["alerts", "pages", "deliveries", "targets", "silences", "rules", "inbox", "demo", "runs", "objectives", "journeys"];

function isTopic(text: unknown): text is Topic {
  return typeof text === "string" && TOPICS.includes(text);
}

/** Returns what an event of the stream says, or null when it is unknown or broken: a newer server may say more. */
export function readMessage(event: string, data: string): StreamMessage | null {
  let body: unknown;
  try {
    body = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof body !== "object" || body === null) return null;
  const fields = body as Record<string, unknown>;
  if (event === "resync") return { event };
  if (event === "heartbeat" && typeof fields.server_time === "string") {
    return { event, server_time: fields.server_time, version: String(fields.version ?? "") };
  }
  if (event === "change" && isTopic(fields.topic)) {
    return { event, topic: fields.topic, id: typeof fields.id === "string" ? fields.id : null };
  }
  return null;
}

/** Returns how long to wait before attempt number `attempt` (from 0): doubling, at most 15 s, spread by `random` in [0, 1). */
export function retryDelay(attempt: number, random: number): number {
  const ceiling = Math.min(15_000, 500 * 2 ** Math.min(attempt, 10));
  return Math.round(ceiling * (0.5 + random / 2));
}
