import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { logOut } from "../api/actions.ts";
import { overviewQuery, sessionQuery } from "../api/queries.ts";
import { IconButton } from "../ui/button.tsx";
import { Icon, Mark, type IconName } from "../ui/icons.tsx";
import { ActionMenu, type MenuEntry } from "../ui/overlays.tsx";
import { Toasts } from "../ui/toasts.tsx";
import { ALERT_PLACES, EXPLORE_PLACES, type Place } from "./head.tsx";
import { LiveState, SkewNotice } from "./live-state.tsx";
import { useIsLead, useMayAudit, useSession } from "./session.ts";
import { changeSettings, useTheme } from "./settings.ts";
import { ShortcutHelp } from "./shortcut-help.tsx";
import { useShellShortcuts } from "./shortcuts.ts";
import { Palette } from "./palette.tsx";
import "../styles/shell.css";

const ICONS: Record<string, IconName> = {
  "/alerts/silences": "bellOff",
  "/alerts/notifications": "send",
  "/alerts/rules": "rules",
  "/alerts/inbox": "inbox",
  "/explore/targets": "target",
};

function RailLink({ to, icon, label, count, alarming }: { to: Place["to"] | "/"; icon: IconName; label: string; count?: number; alarming?: boolean }) {
  return (
    <Link to={to} className="rail-link" title={label} activeOptions={{ exact: true, includeSearch: false }} activeProps={{ "aria-current": "page" }}>
      <Icon name={icon} />
      <span className="rail-text">{label}</span>
      {count !== undefined && count > 0 && (
        <span className="rail-count number" data-alarming={alarming || undefined}>
          {count}
          <span className="unseen"> firing</span>
        </span>
      )}
    </Link>
  );
}

function Rail() {
  const overview = useQuery(overviewQuery).data;
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
        <RailLink to="/explore" icon="explore" label="Explore" />
        <RailLink to="/explore/targets" icon="target" label={EXPLORE_PLACES[1]?.label ?? "Targets"} />
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
  const places = [
    { to: "/", label: "Overview", icon: "overview", on: path === "/" },
    { to: "/alerts", label: "Alerts", icon: "bell", on: path.startsWith("/alerts") },
    { to: "/explore", label: "Explore", icon: "explore", on: path.startsWith("/explore") },
    { to: "/settings", label: "Settings", icon: "settings", on: path.startsWith("/settings") },
  ] as const;
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
          </span>
          {place.label}
        </Link>
      ))}
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
  useShellShortcuts({ help: () => setHelp(true), palette: () => setPalette(true) });

  useEffect(() => {
    // A reader of the screen hears the new place; the first one is announced by the browser.
    if (!first.current) main.current?.focus();
    first.current = false;
    scroll.current?.scrollTo(0, 0);
  }, [path]);

  useEffect(() => {
    const open = () => setHelp(true);
    window.addEventListener("tocsin:help", open);
    return () => window.removeEventListener("tocsin:help", open);
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
        <div className="main-scroll" ref={scroll}>
          <SkewNotice />
          <Outlet />
        </div>
        {/* Outside of what scrolls, which would cut a menu that reaches over the rail. */}
        <div id="overlays" />
        <ShortcutHelp open={help} onClose={() => setHelp(false)} />
        <Palette open={palette} onClose={() => setPalette(false)} />
        <Toasts />
      </main>
      <BottomBar />
    </div>
  );
}
