import type { QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { get } from "../api/client.ts";
import { STALE_BY } from "../api/queries.ts";
import { readMessage, reduceStream, START, type StreamEvent, type StreamState } from "../lib/stream.ts";
import type { Relay } from "./event-source.ts";
import { listen } from "./transport.ts";

const TICK = 1000;
const POLL = 10_000;
/** Changes are gathered this long before the page asks again, so that a storm is at most four paints a second. */
const GATHER = 250;

let state: StreamState = START;
const listeners = new Set<() => void>();

function step(event: StreamEvent): void {
  const next = reduceStream(state, event, Date.now());
  const seen = next.phase !== state.phase || next.version !== state.version || Math.abs(next.skew - state.skew) > 500;
  state = next;
  if (seen) for (const listener of listeners) listener();
}

export function readStream(): StreamState {
  return state;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Returns how the stream is doing. */
export function useStream(): StreamState {
  return useSyncExternalStore(subscribe, readStream);
}

/** Starts the stream and lets it mark what the page knows as stale; returns how to stop. */
export function startLive(client: QueryClient, whenRefused: () => void): () => void {
  const stale = new Set<string>();
  let timer: ReturnType<typeof setTimeout> | null = null;

  const flush = () => {
    timer = null;
    const names = new Set(stale);
    const busy = (name: string) => client.isFetching({ queryKey: [name] }) > 0;
    for (const name of names) {
      // A fetch under way may have read the old state: it ends first and then runs again.
      if (busy(name)) continue;
      stale.delete(name);
      void client.invalidateQueries({ queryKey: [name] });
    }
    if (stale.size > 0) timer ??= setTimeout(flush, GATHER);
  };
  const mark = (names: readonly string[]) => {
    for (const name of names) stale.add(name);
    timer ??= setTimeout(flush, GATHER);
  };
  const everything = () => mark(Object.values(STALE_BY).flat());

  const hear = (relay: Relay) => {
    if (relay.kind === "error") return step({ kind: "error" });
    if (relay.kind === "refused") return whenRefused();
    const wasLost = state.phase === "lost";
    if (relay.kind === "open") step({ kind: "open" });
    if (relay.kind === "event") {
      const message = readMessage(relay.event, relay.data);
      if (message?.event === "heartbeat") step({ kind: "heartbeat", serverTime: message.server_time, version: message.version });
      if (message?.event === "change") {
        step({ kind: "change" });
        mark(STALE_BY[message.topic]);
      }
      if (message?.event === "resync") {
        step({ kind: "resync" });
        everything();
      }
    }
    if (wasLost && state.phase === "live") everything();
  };

  const stop = listen(hear);
  const ticker = setInterval(() => step({ kind: "tick" }), TICK);
  // Without a stream the page asks by itself, and the answer says whether the server is there.
  const poll = () => {
    get("/session").then(
      () => step({ kind: "open" }),
      () => step({ kind: "error" }),
    );
    everything();
  };
  const poller = stop ? null : setInterval(poll, POLL);
  return () => {
    stop?.();
    clearInterval(ticker);
    if (poller !== null) clearInterval(poller);
    if (timer !== null) clearTimeout(timer);
    step({ kind: "error" });
  };
}
