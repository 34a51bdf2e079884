import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { logOut } from "../api/actions.ts";
import { overviewQuery, sessionQuery } from "../api/queries.ts";
import { openRunsQuery } from "../api/runs.ts";
import { callOf } from "../lib/runs.ts";
import { IconButton } from "../ui/button.tsx";
import { Icon, Mark, type IconName } from "../ui/icons.tsx";
import { useEver } from "../ui/late.ts";
import { ActionMenu, type MenuEntry } from "../ui/menu.tsx";
import { Toasts } from "../ui/toasts.tsx";
import { ALERT_PLACES, EXPLORE_PLACES, type Place } from "./head.tsx";
import { LiveState, SkewNotice } from "./live-state.tsx";
import { useIsLead, useMayAudit, useSession } from "./session.ts";
import { changeSettings, useTheme } from "./settings.ts";
import { useShellShortcuts } from "./shortcuts.ts";
import { StopBanner } from "./stop-banner.tsx";
import "../styles/shell.css";

// What opens over the page comes when it is first asked for, or when nothing else is to do.
const overlays = {
  palette: () => import("./palette.tsx"),
  help: () => import("./shortcut-help.tsx"),
  stop: () => import("../pages/runs/kill-switch.tsx"),
};
const Palette = lazy(() => overlays.palette().then((module) => ({ default: module.Palette })));
const ShortcutHelp = lazy(() => overlays.help().then((module) => ({ default: module.ShortcutHelp })));
const KillSwitchDialog = lazy(() => overlays.stop().then((module) => ({ default: module.KillSwitchDialog })));
const IDLE_BEFORE_FETCH = 3000;

const ICONS: Record<string, IconName> = {
  "/alerts/silences": "bellOff",
  "/alerts/notifications": "send",
  "/alerts/why": "doubt",
  "/alerts/rules": "rules",
  "/alerts/inbox": "inbox",
  "/explore/targets": "target",
};

interface RailLinkProps {
  to: Place["to"] | "/";
  icon: IconName;
  label: string;
  count?: number;
  /** What is counted, to follow the number. */
  counted?: string;
  alarming?: boolean;
  /** The places below this one count as this one. */
  deep?: boolean;
}

function RailLink({ to, icon, label, count, counted = "firing", alarming, deep = false }: RailLinkProps) {
  return (
    <Link to={to} className="rail-link" title={label} activeOptions={{ exact: !deep, includeSearch: false }} activeProps={{ "aria-current": "page" }}>
      <Icon name={icon} />
      <span className="rail-text">{label}</span>
      {count !== undefined && count > 0 && (
        <span className="rail-count number" data-alarming={alarming || undefined}>
          {count}
          <span className="unseen"> {counted}</span>
        </span>
      )}
    </Link>
  );
}

/** How many runs do not go on before a person acts. */
function useCalls(): number {
  return useQuery(openRunsQuery).data?.runs.filter((run) => callOf(run) !== null).length ?? 0;
}

function Rail() {
  const overview = useQuery(overviewQuery).data;
  const calls = useCalls();
  const firing = overview ? overview.firing.critical + overview.firing.warning : 0;
  return (
    <aside className="rail" aria-label="Places">
      <Link to="/" className="brand" aria-label="Tocsin, go to the overview">
        <Mark />
        <span className="rail-text">Tocsin</span>
      </Link>
      <nav className="rail-nav" aria-label="Main">
        <RailLink to="/" icon="overview" label="Overview" />
        {ALERT_PLACES.map((place) =>
          place.to === "/alerts" ? (
            <RailLink key={place.to} to={place.to} icon="bell" label={place.label} count={firing} alarming={(overview?.firing.critical ?? 0) > 0} />
          ) : (
            <RailLink key={place.to} to={place.to} icon={ICONS[place.to] ?? "bell"} label={place.label} />
          ),
        )}
        <span className="rail-gap" />
        <RailLink to="/objectives" icon="gauge" label="Objectives" deep />
        <RailLink to="/runs" icon="steps" label="Runs" deep count={calls} counted="waiting for a person" />
        <RailLink to="/drills" icon="lifebuoy" label="Drills" deep />
        <span className="rail-gap" />
        <RailLink to="/explore" icon="explore" label="Explore" />
        <RailLink to="/explore/targets" icon="target" label={EXPLORE_PLACES[1]?.label ?? "Targets"} />
        <RailLink to="/explore/series" icon="growth" label={EXPLORE_PLACES[2]?.label ?? "Series"} />
      </nav>
      <div className="rail-foot">
        <LiveState />
        <UserMenu place="top-start" />
      </div>
    </aside>
  );
}

function UserMenu({ place }: { place: "top-start" | "bottom-end" }) {
  const session = useSession();
  const navigate = useNavigate();
  const client = useQueryClient();
  const theme = useTheme();
  const lead = useIsLead();
  const mayAudit = useMayAudit();
  const leave = async () => {
    await logOut();
    client.clear();
    await client.invalidateQueries({ queryKey: sessionQuery.queryKey });
    window.location.reload();
  };
  const entries: MenuEntry[] = [
    { label: "Preferences", icon: "settings", onPick: () => void navigate({ to: "/settings" }) },
    ...(lead
      ? ([
          { label: "Users", icon: "users", onPick: () => void navigate({ to: "/settings/users" }) },
          { label: "Tokens", icon: "key", onPick: () => void navigate({ to: "/settings/tokens" }) },
        ] as const)
      : []),
    ...(mayAudit ? ([{ label: "Audit", icon: "audit", onPick: () => void navigate({ to: "/settings/audit" }) }] as const) : []),
    { label: theme === "dark" ? "Light theme" : "Dark theme", icon: "moon", apart: true, onPick: () => changeSettings({ theme: theme === "dark" ? "light" : "dark" }) },
    { label: "Kill switch", icon: "stop", apart: true, onPick: () => window.dispatchEvent(new Event("tocsin:stop")) },
    { label: "Keyboard shortcuts", icon: "keyboard", onPick: () => window.dispatchEvent(new Event("tocsin:help")) },
    ...(session.auth === "password" ? ([{ label: "Log out", icon: "logout", apart: true, onPick: () => void leave() }] as const) : []),
  ];
  const head = (
    <p className="menu-head">
      <strong>{session.user.name}</strong>
      <span>{session.user.role}</span>
    </p>
  );
  if (place === "bottom-end") {
    return <ActionMenu target={<IconButton icon="user" label={`Menu of ${session.user.name}`} />} entries={entries} head={head} />;
  }
  return (
    <ActionMenu
      place={place}
      entries={entries}
      target={
        <button type="button" className="user-button" title={`Menu of ${session.user.name}`}>
          <span className="user-face" aria-hidden="true">
            {session.user.name.slice(0, 1).toUpperCase()}
          </span>
          <span className="rail-text user-words">
            <span className="unseen">Menu of </span>
            <strong>{session.user.name}</strong> <small>{session.user.role}</small>
          </span>
        </button>
      }
    />
  );
}

function BottomBar() {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const overview = useQuery(overviewQuery).data;
  const firing = overview ? overview.firing.critical + overview.firing.warning : 0;
  const calls = useCalls();
  const navigate = useNavigate();
  const places = [
    { to: "/", label: "Overview", icon: "overview", on: path === "/" },
    { to: "/alerts", label: "Alerts", icon: "bell", on: path.startsWith("/alerts") },
    { to: "/objectives", label: "Objectives", icon: "gauge", on: path.startsWith("/objectives") },
    { to: "/runs", label: "Runs", icon: "steps", on: path.startsWith("/runs") },
  ] as const;
  const more: MenuEntry[] = [
    { label: "Drills", icon: "lifebuoy", onPick: () => void navigate({ to: "/drills" }) },
    { label: "Explore", icon: "explore", onPick: () => void navigate({ to: "/explore" }) },
    { label: "Settings", icon: "settings", onPick: () => void navigate({ to: "/settings" }) },
  ];
  const elsewhere = !places.some((place) => place.on);
  return (
    <nav className="bottom" aria-label="Main">
      {places.map((place) => (
        <Link key={place.to} to={place.to} className="bottom-link" aria-current={place.on ? "page" : undefined} activeProps={{}}>
          <span className="bottom-icon">
            <Icon name={place.icon} size={20} />
            {place.to === "/alerts" && firing > 0 && (
              <span className="rail-count number" data-alarming={(overview?.firing.critical ?? 0) > 0 || undefined}>
                {firing}
                <span className="unseen"> firing, </span>
              </span>
            )}
            {place.to === "/runs" && calls > 0 && (
              <span className="rail-count number">
                {calls}
                <span className="unseen"> waiting for a person, </span>
              </span>
            )}
          </span>
          {place.label}
        </Link>
      ))}
      <ActionMenu
        place="top-end"
        entries={more}
        target={
          <button type="button" className="bottom-link" data-on={elsewhere || undefined}>
            <Icon name="menu" size={20} />
            More
          </button>
        }
      />
    </nav>
  );
}

/** The frame around every screen. */
export function Shell() {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const main = useRef<HTMLElement>(null);
  const scroll = useRef<HTMLDivElement>(null);
  const first = useRef(true);
  const [help, setHelp] = useState(false);
  const [palette, setPalette] = useState(false);
  const [stop, setStop] = useState(false);
  const ever = { help: useEver(help), palette: useEver(palette), stop: useEver(stop) };
  useShellShortcuts({ help: () => setHelp(true), palette: () => setPalette(true), stop: () => setStop(true) });

  useEffect(() => {
    // A reader of the screen hears the new place; the first one is announced by the browser.
    if (!first.current) main.current?.focus();
    first.current = false;
    scroll.current?.scrollTo(0, 0);
  }, [path]);

  useEffect(() => {
    const openHelp = () => setHelp(true);
    const openStop = () => setStop(true);
    window.addEventListener("tocsin:help", openHelp);
    window.addEventListener("tocsin:stop", openStop);
    const fetching = setTimeout(() => void Promise.allSettled(Object.values(overlays).map((load) => load())), IDLE_BEFORE_FETCH);
    return () => {
      window.removeEventListener("tocsin:help", openHelp);
      window.removeEventListener("tocsin:stop", openStop);
      clearTimeout(fetching);
    };
  }, []);

  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to content
      </a>
      <Rail />
      <header className="top">
        <Link to="/" className="brand" aria-label="Tocsin, go to the overview">
          <Mark size={20} />
          <span>Tocsin</span>
        </Link>
        <LiveState />
        <UserMenu place="bottom-end" />
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <StopBanner />
        <div className="main-scroll" ref={scroll}>
          <SkewNotice />
          <Outlet />
        </div>
        {/* Outside of what scrolls, which would cut a menu that reaches over the rail. */}
        <div id="overlays" />
        <Suspense fallback={null}>
          {ever.help && <ShortcutHelp open={help} onClose={() => setHelp(false)} />}
          {ever.palette && <Palette open={palette} onClose={() => setPalette(false)} />}
          {ever.stop && <KillSwitchDialog open={stop} onClose={() => setStop(false)} />}
        </Suspense>
        <Toasts />
      </main>
      <BottomBar />
    </div>
  );
}
