import { useSyncExternalStore } from "react";
import { Button, IconButton } from "./button.tsx";

interface Toast {
  id: number;
  words: string;
  tone: "ok" | "critical" | "info";
  undo: (() => void) | null;
}

/** How long an undo stays in reach. */
export const UNDO_TIME = 8000;
const MOST = 3;

let toasts: readonly Toast[] = [];
let next = 1;
const listeners = new Set<() => void>();

function put(list: readonly Toast[]): void {
  toasts = list;
  for (const listener of listeners) listener();
}

export function dismiss(id: number): void {
  put(toasts.filter((toast) => toast.id !== id));
}

/** Tells the reader what happened; errors stay until they are dismissed. */
export function toast(words: string, options: { tone?: Toast["tone"]; undo?: () => void } = {}): number {
  const id = next;
  next += 1;
  const tone = options.tone ?? "ok";
  put([...toasts.slice(-(MOST - 1)), { id, words, tone, undo: options.undo ?? null }]);
  if (tone !== "critical") setTimeout(() => dismiss(id), UNDO_TIME);
  return id;
}

/** Takes back the newest action that can be; returns whether there was one. */
export function undoLast(): boolean {
  const last = toasts.findLast((each) => each.undo !== null);
  if (!last?.undo) return false;
  dismiss(last.id);
  last.undo();
  return true;
}

export function Toasts() {
  const shown = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => toasts,
  );
  return (
    <div className="toasts" role="status" aria-live="polite">
      {shown.map((each) => (
        <div key={each.id} className="toast" data-tone={each.tone}>
          <span>{each.words}</span>
          {each.undo && (
            <Button
              look="ghost"
              icon="undo"
              onClick={() => {
                dismiss(each.id);
                each.undo?.();
              }}
            >
              Undo
            </Button>
          )}
          <IconButton icon="close" label="Dismiss" onClick={() => dismiss(each.id)} />
        </div>
      ))}
    </div>
  );
}
