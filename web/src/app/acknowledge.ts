import { useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { acknowledge, unacknowledge } from "../api/actions.ts";
import { ApiError, wordsOf } from "../api/client.ts";
import { plural } from "../lib/units.ts";
import { toast } from "../ui/toasts.tsx";

type Progress = "sending" | "late";

/** After this long without an answer the reader is told that nothing is acknowledged yet. */
const LATE = 3000;
const ATTEMPTS = 5;

const progress = new Map<string, Progress>();
const listeners = new Set<() => void>();
let version = 0;

function note(page: string, at: Progress | null): void {
  if (at) progress.set(page, at);
  else progress.delete(page);
  version += 1;
  for (const listener of listeners) listener();
}

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function persist<T>(act: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await act();
    } catch (error) {
      const passing = error instanceof ApiError && (error.status === 0 || error.status >= 500);
      if (!passing || attempt >= ATTEMPTS) throw error;
      await pause(500 * 2 ** attempt);
    }
  }
}

async function acknowledgeOne(page: string): Promise<"done" | { first: string }> {
  note(page, "sending");
  const late = setTimeout(() => note(page, "late"), LATE);
  try {
    await persist(() => acknowledge(page));
    return "done";
  } catch (error) {
    if (error instanceof ApiError && error.status === 409) {
      const first = error.extra.acknowledged_by;
      return { first: typeof first === "string" ? first : "Somebody else" };
    }
    throw error;
  } finally {
    clearTimeout(late);
    note(page, null);
  }
}

function refresh(client: QueryClient): Promise<unknown> {
  return Promise.all(["alerts", "alert", "overview", "pages", "page"].map((name) => client.invalidateQueries({ queryKey: [name] })));
}

/** Acknowledges pages and says how it went, with an undo; nothing is shown as acknowledged before the server said so. */
async function run(client: QueryClient, pages: readonly string[], what: string): Promise<void> {
  const outcomes = await Promise.allSettled(pages.map(acknowledgeOne));
  const done = pages.filter((_, index) => {
    const outcome = outcomes[index];
    return outcome?.status === "fulfilled" && outcome.value === "done";
  });
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") toast(`Not acked: ${wordsOf(outcome.reason).title}`, { tone: "critical" });
    else if (outcome.value !== "done") toast(`${outcome.value.first} was first and has it`, { tone: "info" });
  }
  await refresh(client);
  if (done.length === 0) return;
  toast(done.length === 1 ? `Acked ${what}` : `Acked ${plural(done.length, "page")}`, {
    undo: () => {
      Promise.allSettled(done.map((page) => persist(() => unacknowledge(page)))).then(
        () => refresh(client),
        () => refresh(client),
      );
    },
  });
}

export interface Acknowledging {
  start: (pages: readonly string[], what: string) => void;
  /** Returns how far the acknowledgement of a page is, or null when none is under way. */
  progressOf: (page: string) => Progress | null;
}

export function useAcknowledge(): Acknowledging {
  const client = useQueryClient();
  useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => version,
  );
  return {
    start: (pages, what) => {
      const fresh = pages.filter((page) => !progress.has(page));
      if (fresh.length > 0) void run(client, fresh, what);
    },
    progressOf: (page) => progress.get(page) ?? null,
  };
}
