import type { AlertState } from "../api/types.ts";
import { HOUR, parseInstant } from "./time.ts";

const RANK: Record<AlertState, number> = { resolved: 0, pending: 1, firing: 2 };

/**
 * Returns the worst state in each of the 24 hours before `end`, oldest first.
 * Hours before the first known change are null; `changes` come newest first, as the server sends them.
 */
export function blocksOf(changes: readonly { at: string; state: AlertState }[], end: number): (AlertState | null)[] {
  const spans = changes.flatMap((change, index) => {
    const from = parseInstant(change.at);
    const newer = changes[index - 1];
    const to = newer ? parseInstant(newer.at) : Number.POSITIVE_INFINITY;
    return from === null || to === null ? [] : [{ from, to, state: change.state }];
  });
  return Array.from({ length: 24 }, (_, index) => {
    const from = end - (24 - index) * HOUR;
    return spans
      .filter((span) => span.from < from + HOUR && span.to > from)
      .reduce<AlertState | null>((worst, span) => (worst === null || RANK[span.state] > RANK[worst] ? span.state : worst), null);
  });
}
