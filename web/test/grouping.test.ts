import { describe, expect, test } from "vitest";
import type { Alert, PageState, Severity } from "../src/api/types.ts";
import { flattenGroups, groupAlerts, renewGroups, tellingLabels } from "../src/lib/grouping.ts";
import { settle } from "../src/lib/hold.ts";
import { suggest } from "../src/lib/suggest.ts";

function alert(fingerprint: string, severity: Severity, labels: Record<string, string>, more: Partial<Alert> & { paged?: PageState } = {}): Alert {
  const { paged, ...rest } = more;
  return {
    fingerprint,
    name: labels.alertname ?? "Down",
    severity,
    state: "firing",
    labels: { alertname: "Down", severity, ...labels },
    annotations: {},
    value: null,
    active_at: "2026-11-21T03:00:00Z",
    fired_at: null,
    resolved_at: null,
    silenced_by: [],
    inhibited_by: [],
    unseen: null,
    flapping: false,
    muted_by: [],
    receivers: [],
    page: paged ? { id: `p-${fingerprint}`, state: paged, acknowledged_by: null, acknowledged_at: null } : null,
    rule: null,
    generator_url: "",
    ...rest,
  };
}

const ALERTS = [
  alert("a", "warning", { service: "web", instance: "1" }, { paged: "triggered" }),
  alert("b", "critical", { service: "db", instance: "2", env: "prod" }, { paged: "triggered" }),
  alert("c", "warning", { service: "db", instance: "3", env: "prod" }, { paged: "acknowledged" }),
  alert("d", "info", { instance: "4" }),
];

describe("groups", () => {
  test("come worst first, and know what waits in them", () => {
    const groups = groupAlerts(ALERTS, "service");
    expect(groups.map((group) => [group.title, group.worst, group.open])).toEqual([
      ["db", "critical", ["p-b"]],
      ["web", "warning", ["p-a"]],
      ["no service", "info", []],
    ]);
  });

  test("hold the labels that all their alerts share, once", () => {
    const [db] = groupAlerts(ALERTS, "service");
    expect(db?.common).toEqual([["env", "prod"]]);
    expect(db && tellingLabels(db.alerts[0]!, db, "service")).toEqual([["instance", "2"]]);
  });

  test("can be by severity, or one", () => {
    expect(groupAlerts(ALERTS, "severity").map((group) => group.title)).toEqual(["critical", "warning", "info"]);
    expect(groupAlerts(ALERTS, "none").map((group) => group.alerts.length)).toEqual([4]);
    expect(groupAlerts([], "service")).toEqual([]);
  });

  test("show what is loud before what is silenced", () => {
    const [group] = groupAlerts([alert("x", "critical", {}, { silenced_by: ["s"] }), alert("y", "critical", {})], "none");
    expect(group?.alerts.map((each) => each.fingerprint)).toEqual(["y", "x"]);
  });

  test("fold to their heads", () => {
    const rows = flattenGroups(groupAlerts(ALERTS, "service"), new Set(["db"]));
    expect(rows.map((row) => (row.kind === "group" ? row.group.title : row.alert.fingerprint))).toEqual(["db", "web", "a", "no service", "d"]);
  });

  test("take the newest state without moving", () => {
    const groups = groupAlerts(ALERTS, "service");
    const renewed = renewGroups(groups, [{ ...ALERTS[1]!, page: { id: "p-b", state: "acknowledged", acknowledged_by: "ada", acknowledged_at: null } }]);
    expect(renewed.map((group) => group.title)).toEqual(groups.map((group) => group.title));
    expect(renewed[0]?.open).toEqual([]);
  });
});

describe("a list under the reader's hand", () => {
  test("follows at once while nothing holds it", () => {
    expect(settle(null, ALERTS)).toEqual({ shown: ALERTS, waiting: 0 });
  });

  test("keeps rows that went and lets new ones wait", () => {
    const changed = { ...ALERTS[0]!, state: "resolved" as const };
    const { shown, waiting } = settle(ALERTS.slice(0, 2), [changed, ALERTS[2]!, ALERTS[3]!]);
    expect(shown).toEqual([changed, ALERTS[1]]);
    expect(waiting).toBe(2);
  });
});

describe("suggestions", () => {
  test("are names first, then values, the most frequent first", () => {
    expect(suggest("disk se", ALERTS)).toEqual(["severity=", "service="]);
    expect(suggest("service=", ALERTS)).toEqual(["service=db", "service=web"]);
    expect(suggest("service=w", ALERTS)).toEqual(["service=web"]);
    expect(suggest("nothing=", ALERTS)).toEqual([]);
  });
});
