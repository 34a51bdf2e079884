import { useSyncExternalStore } from "react";
import { readStream } from "./live.ts";

// One timer for the page: ages change together, and a hundred rows cost one wake-up.
const TICK = 5000;
const listeners = new Set<() => void>();
let beat = Date.now();
let timer: ReturnType<typeof setInterval> | null = null;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  timer ??= setInterval(() => {
    beat = Date.now();
    for (const each of listeners) each();
  }, TICK);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0 && timer !== null) {
      clearInterval(timer);
      timer = null;
    }
  };
}

/** Returns the server's time as well as the page knows it, now. */
export function serverNow(): number {
  return Date.now() + readStream().skew;
}

/** Returns the server's time, renewed every five seconds. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => beat) + readStream().skew;
}
