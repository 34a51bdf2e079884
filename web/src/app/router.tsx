import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import {
  parseSearch,
  readDocumentSearch,
  readDocumentsSearch,
  readDrillsSearch,
  readObjectiveSearch,
  readObjectivesSearch,
  readRunsSearch,
  readAlertsSearch,
  readExploreSearch,
  readNotificationsSearch,
  readRulesSearch,
  readSeriesSearch,
  readSilencesSearch,
  readTargetsSearch,
  readWhySearch,
  stringifySearch,
} from "../lib/search.ts";
import { PREFIX } from "../lib/prefix.ts";
import { AlertsScreen } from "../pages/alerts/screen.tsx";
import { OverviewScreen } from "../pages/overview/screen.tsx";
import { Broken, NotFound } from "./fallbacks.tsx";
import { Shell } from "./shell.tsx";

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound, errorComponent: Broken });
const at = <const Path extends string>(path: Path) => ({ getParentRoute: () => root, path });

const overview = createRoute({ ...at("/"), component: OverviewScreen });
const alerts = createRoute({ ...at("/alerts"), validateSearch: readAlertsSearch, component: AlertsScreen });
const silences = createRoute({
  ...at("/alerts/silences"),
  validateSearch: readSilencesSearch,
  component: lazyRouteComponent(() => import("../pages/silences/screen.tsx"), "SilencesScreen"),
});
const notifications = createRoute({
  ...at("/alerts/notifications"),
  validateSearch: readNotificationsSearch,
  component: lazyRouteComponent(() => import("../pages/notifications/screen.tsx"), "NotificationsScreen"),
});
const rules = createRoute({
  ...at("/alerts/rules"),
  validateSearch: readRulesSearch,
  component: lazyRouteComponent(() => import("../pages/rules/screen.tsx"), "RulesScreen"),
});
const why = createRoute({
  ...at("/alerts/why"),
  validateSearch: readWhySearch,
  component: lazyRouteComponent(() => import("../pages/why/screen.tsx"), "WhyScreen"),
});
const inbox = createRoute({ ...at("/alerts/inbox"), component: lazyRouteComponent(() => import("../pages/inbox/screen.tsx"), "InboxScreen") });
const explore = createRoute({
  ...at("/explore"),
  validateSearch: readExploreSearch,
  component: lazyRouteComponent(() => import("../pages/explore/screen.tsx"), "ExploreScreen"),
});
const targets = createRoute({
  ...at("/explore/targets"),
  validateSearch: readTargetsSearch,
  component: lazyRouteComponent(() => import("../pages/targets/screen.tsx"), "TargetsScreen"),
});
const series = createRoute({
  ...at("/explore/series"),
  validateSearch: readSeriesSearch,
  component: lazyRouteComponent(() => import("../pages/series/screen.tsx"), "SeriesScreen"),
});
const objectives = createRoute({
  ...at("/objectives"),
  validateSearch: readObjectivesSearch,
  component: lazyRouteComponent(() => import("../pages/objectives/screen.tsx"), "ObjectivesScreen"),
});
const objective = createRoute({
  ...at("/objectives/$id"),
  validateSearch: readObjectiveSearch,
  component: lazyRouteComponent(() => import("../pages/objectives/detail.tsx"), "ObjectiveScreen"),
});
const runs = createRoute({
  ...at("/runs"),
  validateSearch: readRunsSearch,
  component: lazyRouteComponent(() => import("../pages/runs/screen.tsx"), "RunsScreen"),
});
const run = createRoute({ ...at("/runs/$id"), component: lazyRouteComponent(() => import("../pages/runs/detail.tsx"), "RunScreen") });
const documents = createRoute({
  ...at("/runs/documents"),
  validateSearch: readDocumentsSearch,
  component: lazyRouteComponent(() => import("../pages/documents/screen.tsx"), "DocumentsScreen"),
});
const document = createRoute({
  ...at("/runs/documents/$id"),
  validateSearch: readDocumentSearch,
  component: lazyRouteComponent(() => import("../pages/documents/detail.tsx"), "DocumentScreen"),
});
const safety = createRoute({ ...at("/runs/safety"), component: lazyRouteComponent(() => import("../pages/runs/safety.tsx"), "SafetyScreen") });
const drills = createRoute({
  ...at("/drills"),
  validateSearch: readDrillsSearch,
  component: lazyRouteComponent(() => import("../pages/drills/screen.tsx"), "DrillsScreen"),
});
const report = createRoute({ ...at("/drills/$id"), component: lazyRouteComponent(() => import("../pages/drills/report.tsx"), "ReportScreen") });
const settings = createRoute({ ...at("/settings"), component: lazyRouteComponent(() => import("../pages/settings/preferences.tsx"), "PreferencesScreen") });
const users = createRoute({ ...at("/settings/users"), component: lazyRouteComponent(() => import("../pages/settings/users.tsx"), "UsersScreen") });
const tokens = createRoute({ ...at("/settings/tokens"), component: lazyRouteComponent(() => import("../pages/settings/tokens.tsx"), "TokensScreen") });
const audit = createRoute({ ...at("/settings/audit"), component: lazyRouteComponent(() => import("../pages/settings/audit.tsx"), "AuditScreen") });

export const router = createRouter({
  routeTree: root.addChildren([overview, alerts, silences, notifications, why, rules, inbox, objectives, objective, runs, run, documents, document, safety, drills, report, explore, targets, series, settings, users, tokens, audit]),
  basepath: PREFIX === "" ? "/" : PREFIX,
  parseSearch,
  stringifySearch,
  defaultPreload: "intent",
  scrollRestoration: false,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
