import type { Alert } from "../api/types.ts";

export interface Settled {
  shown: readonly Alert[];
  /** How many alerts are known and wait, so that nothing moves under the reader's finger. */
  waiting: number;
}

/**
 * Returns what a list should show while the reader's hand is on it.
 * The rows of `held` keep their places and take their newest state; rows that came since wait, rows that went stay.
 */
export function settle(held: readonly Alert[] | null, newest: readonly Alert[]): Settled {
  if (held === null) return { shown: newest, waiting: 0 };
  const byId = new Map(newest.map((alert) => [alert.fingerprint, alert]));
  const known = new Set(held.map((alert) => alert.fingerprint));
  return {
    shown: held.map((alert) => byId.get(alert.fingerprint) ?? alert),
    waiting: newest.filter((alert) => !known.has(alert.fingerprint)).length,
  };
}
