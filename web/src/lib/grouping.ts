import type { Alert, Severity } from "../api/types.ts";

export const SEVERITIES = ["critical", "warning", "info", "other"] as const satisfies readonly Severity[];

export function severityRank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}

export interface AlertGroup {
  key: string;
  title: string;
  alerts: Alert[];
  worst: Severity;
  /** Ids of the pages in the group that nobody has acknowledged. */
  open: string[];
  /** Labels that all alerts of the group share, without those that the head already says. */
  common: [string, string][];
}

export type AlertRow = { kind: "group"; group: AlertGroup } | { kind: "alert"; alert: Alert; group: AlertGroup };

const QUIET_LABELS = new Set(["alertname", "severity"]);

function newestFirst(left: Alert, right: Alert): number {
  return (
    severityRank(left.severity) - severityRank(right.severity) ||
    stateRank(left) - stateRank(right) ||
    right.active_at.localeCompare(left.active_at) ||
    left.fingerprint.localeCompare(right.fingerprint)
  );
}

function stateRank(alert: Alert): number {
  if (alert.state === "resolved") return 3;
  return alert.state === "pending" ? 2 : isQuiet(alert) ? 1 : 0;
}

/** Returns whether the alert is kept from paging. */
export function isQuiet(alert: Alert): boolean {
  return alert.silenced_by.length > 0 || alert.inhibited_by.length > 0 || alert.muted_by.length > 0;
}

/** Returns whether somebody should still acknowledge the alert. */
export function canAcknowledge(alert: Alert): boolean {
  return alert.page?.state === "triggered";
}

/** Returns the groups with each alert replaced by its newest state; groups and rows keep their places. */
export function renewGroups(groups: readonly AlertGroup[], alerts: readonly Alert[]): AlertGroup[] {
  const newest = new Map(alerts.map((alert) => [alert.fingerprint, alert]));
  return groups.map((group) => {
    const renewed = group.alerts.map((alert) => newest.get(alert.fingerprint) ?? alert);
    return { ...group, alerts: renewed, open: openPages(renewed) };
  });
}

function openPages(alerts: readonly Alert[]): string[] {
  return [...new Set(alerts.flatMap((alert) => (alert.page?.state === "triggered" ? [alert.page.id] : [])))];
}

/** Returns the groups, worst first; `by` is a label, "severity", or "none" for one group of all. */
export function groupAlerts(alerts: readonly Alert[], by: string): AlertGroup[] {
  const found = new Map<string, Alert[]>();
  for (const alert of alerts) {
    const key = by === "none" ? "" : by === "severity" ? alert.severity : (alert.labels[by] ?? "");
    const list = found.get(key);
    if (list) list.push(alert);
    else found.set(key, [alert]);
  }
  const groups = [...found].map(([key, list]): AlertGroup => {
    const sorted = list.toSorted(newestFirst);
    return {
      key,
      title: by === "none" ? "All alerts" : key === "" ? `no ${by}` : key,
      alerts: sorted,
      worst: sorted.reduce<Severity>((worst, alert) => (severityRank(alert.severity) < severityRank(worst) ? alert.severity : worst), "other"),
      open: openPages(sorted),
      common: commonLabels(sorted, by),
    };
  });
  return groups.sort(
    (left, right) =>
      severityRank(left.worst) - severityRank(right.worst) ||
      right.open.length - left.open.length ||
      right.alerts.length - left.alerts.length ||
      left.key.localeCompare(right.key),
  );
}

function commonLabels(alerts: readonly Alert[], by: string): [string, string][] {
  const first = alerts[0];
  if (!first || alerts.length < 2) return [];
  return Object.entries(first.labels)
    .filter(([name, value]) => name !== by && !QUIET_LABELS.has(name) && alerts.every((alert) => alert.labels[name] === value))
    .sort(([left], [right]) => left.localeCompare(right));
}

/** Returns the rows of a flat list: each group's head, then its alerts unless it is folded. */
export function flattenGroups(groups: readonly AlertGroup[], folded: ReadonlySet<string>): AlertRow[] {
  return groups.flatMap((group): AlertRow[] => [
    { kind: "group", group },
    ...(folded.has(group.key) ? [] : group.alerts.map((alert): AlertRow => ({ kind: "alert", alert, group }))),
  ]);
}

const TELLING = ["instance", "pod", "node", "device", "namespace", "job", "cluster", "env", "team"];

/** Returns the labels that set an alert apart inside its group, at most `limit`, the most telling first. */
export function tellingLabels(alert: Alert, group: AlertGroup, by: string, limit = 2): [string, string][] {
  const shared = new Set(group.common.map(([name]) => name));
  const rank = (name: string) => (TELLING.includes(name) ? TELLING.indexOf(name) : TELLING.length);
  return Object.entries(alert.labels)
    .filter(([name]) => name !== by && !QUIET_LABELS.has(name) && !shared.has(name))
    .sort(([left], [right]) => rank(left) - rank(right) || left.localeCompare(right))
    .slice(0, limit);
}
