import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { alertsQuery, ALERT_LIMIT, pageQuery } from "../../api/queries.ts";
import type { Alert, AlertView } from "../../api/types.ts";
import { ALERT_PLACES, PageHead } from "../../app/head.tsx";
import { useAcknowledge } from "../../app/acknowledge.ts";
import { useWhyNotRespond } from "../../app/session.ts";
import { useAsked, useKeys } from "../../app/shortcuts.ts";
import { changeSettings, useSettings } from "../../app/settings.ts";
import { flattenGroups, groupAlerts, renewGroups } from "../../lib/grouping.ts";
import { settle } from "../../lib/hold.ts";
import { formatShort, matchersFromLabels, parseMatcher } from "../../lib/matchers.ts";
import { ALERT_VIEWS, type AlertsSearch } from "../../lib/search.ts";
import { plural } from "../../lib/units.ts";
import { Button, IconButton, Toggle } from "../../ui/button.tsx";
import { SelectField } from "../../ui/field.tsx";
import { Banner, Empty, Region, Skeleton } from "../../ui/states.tsx";
import { useEver } from "../../ui/late.ts";
import { toast } from "../../ui/toasts.tsx";
import { AlertDetailPanel } from "./detail.tsx";
import { FilterBox } from "./filter-box.tsx";
import { AlertListView } from "./list.tsx";
// The narrow layouts of the list change the detail too, so its sheet comes first.
import "../../styles/detail.css";
import "../../styles/alerts.css";

const SilencePanel = lazy(() => import("../silences/panel.tsx").then((module) => ({ default: module.SilencePanel })));

const GROUPINGS = [
  { value: "service", label: "By service" },
  { value: "severity", label: "By severity" },
  { value: "alertname", label: "By name" },
  { value: "team", label: "By team" },
  { value: "job", label: "By job" },
  { value: "cluster", label: "By cluster" },
  { value: "none", label: "Not grouped" },
];

const NO_ALERTS: readonly Alert[] = [];

const VIEW_TONES: Record<AlertView, string> = { firing: "critical", pending: "quiet", acknowledged: "acked", silenced: "quiet", inhibited: "quiet", resolved: "ok" };

export function AlertsScreen() {
  const search = useSearch({ from: "/alerts" });
  const navigate = useNavigate({ from: "/alerts" });
  const settings = useSettings();
  const query = useQuery(alertsQuery(search));
  const by = search.group ?? "service";
  const alerts = query.data?.alerts ?? NO_ALERTS;
  const [held, setHeld] = useState<readonly Alert[] | null>(null);
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const { start } = useAcknowledge();
  const mayNot = useWhyNotRespond();
  const silencing = useEver(search.silence !== undefined);

  const filterKey = JSON.stringify([search.filter, search.state, search.q, by]);
  const [heldFor, setHeldFor] = useState(filterKey);
  // Another filter is another list: what was held belongs to the old one.
  if (heldFor !== filterKey) {
    setHeldFor(filterKey);
    setHeld(null);
  }

  const { shown, waiting } = useMemo(() => settle(held, alerts), [held, alerts]);
  const order = useMemo(() => groupAlerts(held ?? alerts, by), [held, alerts, by]);
  const rows = useMemo(() => flattenGroups(renewGroups(order, shown), folded), [order, shown, folded]);
  const listed = useMemo(() => rows.flatMap((row) => (row.kind === "alert" ? [row.alert] : [])), [rows]);

  const change = (part: Partial<AlertsSearch>, replace = true) => void navigate({ search: (now: AlertsSearch) => ({ ...now, ...part }), replace });
  const open = (fingerprint: string | undefined) => change({ alert: fingerprint }, search.alert !== undefined && fingerprint !== undefined);
  const close = () => change({ alert: undefined });
  usePageLink(search.page, (alert) => change({ page: undefined, alert }));
  const selected = shown.find((alert) => alert.fingerprint === search.alert);
  const silence = (alert: Alert) => change({ silence: matchersFromLabels(alert.labels).map(formatShort) }, false);
  const move = (by: number) => {
    const now = listed.findIndex((alert) => alert.fingerprint === search.alert);
    const next = listed[now < 0 ? (by > 0 ? 0 : listed.length - 1) : Math.max(0, Math.min(listed.length - 1, now + by))];
    if (next) open(next.fingerprint);
  };
  const pick = (name: string, value: string) => {
    const matcher = formatShort({ name, operator: "=", value });
    if (!search.filter?.includes(matcher)) change({ filter: [...(search.filter ?? []), matcher] }, false);
  };
  const toggleView = (view: AlertView, on: boolean) => {
    const now = search.state ?? [];
    change({ state: on ? [...now, view] : now.filter((each) => each !== view) });
  };

  useKeys({
    j: () => move(1),
    k: () => move(-1),
    Escape: () => {
      if (search.alert) close();
    },
    "/": () => document.getElementById("alert-filter")?.focus(),
  });
  useAsked("ack", () => {
    if (selected?.page?.state === "triggered" && !mayNot) start([selected.page.id], selected.name);
  });
  useAsked("silence", () => {
    if (selected && !mayNot) silence(selected);
  });

  const filtered = (search.filter?.length ?? 0) > 0 || (search.state?.length ?? 0) > 0 || search.q !== undefined;
  const clear = () => change({ filter: undefined, state: undefined, q: undefined });
  const counts = query.data?.counts;

  return (
    <div className="page page-fill alerts" data-open={search.alert !== undefined || undefined}>
      <div className="alerts-top">
        <PageHead title="Alerts" note={query.data && plural(query.data.total, "alert")} places={ALERT_PLACES}>
          <Button
            icon="bellOff"
            reason={mayNot}
            onClick={() => change({ silence: search.filter && search.filter.length > 0 ? search.filter : [""] }, false)}
          >
            Silence{search.filter && search.filter.length > 0 ? " what is shown" : ""}
          </Button>
        </PageHead>
        <div className="alerts-bar">
          <FilterBox
            filter={search.filter ?? []}
            text={search.q ?? ""}
            alerts={alerts}
            onChange={(filter, q) => change({ filter, q: q || undefined })}
          />
          <div className="alerts-options">
            <SelectField label="Grouping" hideLabel choices={withGrouping(by)} value={by} onPick={(value) => change({ group: value === "service" ? undefined : value })} />
            <IconButton
              icon="menu"
              label={settings.compact ? "Show two lines for each alert" : "Show one line for each alert"}
              aria-pressed={settings.compact}
              onClick={() => changeSettings({ compact: !settings.compact })}
            />
          </div>
        </div>
        <div className="toggles" role="group" aria-label="Show only">
          {ALERT_VIEWS.map((view) => (
            <Toggle key={view} on={search.state?.includes(view) ?? false} count={counts?.[view]} tone={VIEW_TONES[view]} onChange={(on) => toggleView(view, on)}>
              {view === "acknowledged" ? "Acked" : view[0]?.toUpperCase() + view.slice(1)}
            </Toggle>
          ))}
        </div>
      </div>
      <div className="alerts-body">
        <section className="alerts-list" aria-label="List of alerts">
          <Region query={query} what="the alerts" skeleton={<Skeleton rows={12} />}>
            {(data) =>
              rows.length === 0 ? (
                filtered ? (
                  <Empty icon="search" title="No alert matches this filter" action={<Button onClick={clear}>Clear filter</Button>} />
                ) : (
                  <Empty good title="Nothing is firing">
                    Every rule was evaluated and none holds.
                  </Empty>
                )
              ) : (
                <>
                  {data.total > data.alerts.length && (
                    <Banner tone="info">
                      Showing the worst {ALERT_LIMIT} of {data.total}. Filter to see the others.
                    </Banner>
                  )}
                  <AlertListView
                    key={filterKey}
                    rows={rows}
                    by={by}
                    folded={folded}
                    selected={search.alert}
                    compact={settings.compact}
                    waiting={waiting}
                    onHold={(on) => setHeld((now) => (on ? (now ?? alerts) : null))}
                    onRelease={() => setHeld(alerts)}
                    onOpen={open}
                    onFold={(key) => setFolded((now) => toggled(now, key))}
                  />
                </>
              )
            }
          </Region>
        </section>
        {search.alert && <AlertDetailPanel key={search.alert} fingerprint={search.alert} known={selected} onClose={close} onMove={move} onPick={pick} onSilence={silence} />}
      </div>
      {silencing && (
        <Suspense fallback={null}>
          <SilencePanel start={search.silence?.flatMap((text) => parseMatcher(text) ?? [])} onClose={() => change({ silence: undefined })} />
        </Suspense>
      )}
      <Announcer alerts={alerts} />
    </div>
  );
}

/** Follows a link that names a page to the first of its alerts. */
function usePageLink(id: string | undefined, open: (alert: string | undefined) => void): void {
  const page = useQuery({ ...pageQuery(id ?? ""), enabled: id !== undefined });
  const first = page.data?.alerts[0];
  const gone = page.isError;
  const latest = useRef(open);
  useEffect(() => {
    latest.current = open;
  });
  useEffect(() => {
    if (id === undefined || (first === undefined && !gone)) return;
    if (gone) toast("The page that this link names is not known any more", { tone: "info" });
    latest.current(first);
  }, [id, first, gone]);
}

function toggled(set: ReadonlySet<string>, key: string): ReadonlySet<string> {
  const next = new Set(set);
  if (!next.delete(key)) next.add(key);
  return next;
}

function withGrouping(by: string) {
  return GROUPINGS.some((each) => each.value === by) ? GROUPINGS : [...GROUPINGS, { value: by, label: `By ${by}` }];
}

/** Tells readers who do not see the list about new criticals, with a count and never more often than once in five seconds. */
function Announcer({ alerts }: { alerts: readonly Alert[] }) {
  const [words, setWords] = useState("");
  const critical = alerts.filter((alert) => alert.severity === "critical" && alert.state === "firing").length;
  const [told, setTold] = useState(critical);
  useEffect(() => {
    if (critical === told) return undefined;
    const timer = setTimeout(() => {
      if (critical > told) setWords(`${critical - told} new critical, ${critical} critical firing`);
      setTold(critical);
    }, 5000);
    return () => clearTimeout(timer);
  }, [critical, told]);
  return (
    <p className="unseen" role="status">
      {words}
    </p>
  );
}
