import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, type ReactNode } from "react";
import { overviewQuery } from "../api/queries.ts";
import { PREFIX } from "../lib/prefix.ts";
import { useIsLead, useMayAudit } from "./session.ts";

export interface Place {
  to: "/alerts" | "/alerts/silences" | "/alerts/notifications" | "/alerts/why" | "/alerts/rules" | "/alerts/inbox" | "/objectives" | "/runs" | "/runs/documents" | "/runs/safety" | "/drills" | "/explore" | "/explore/targets" | "/explore/series" | "/settings" | "/settings/users" | "/settings/tokens" | "/settings/audit";
  label: string;
  /** What leads there in the palette, where that is more than its name. */
  question?: string;
}

export const ALERT_PLACES: Place[] = [
  { to: "/alerts", label: "Alerts" },
  { to: "/alerts/silences", label: "Silences" },
  { to: "/alerts/notifications", label: "Notifications" },
  { to: "/alerts/why", label: "Why", question: "Why was I (not) paged?" },
  { to: "/alerts/rules", label: "Rules" },
  { to: "/alerts/inbox", label: "Inbox" },
];

export const RUN_PLACES: Place[] = [
  { to: "/runs", label: "Runs" },
  { to: "/runs/documents", label: "Documents" },
  { to: "/runs/safety", label: "Stops and freezes" },
];

export const EXPLORE_PLACES: Place[] = [
  { to: "/explore", label: "Query" },
  { to: "/explore/targets", label: "Targets" },
  { to: "/explore/series", label: "Series" },
];

export function useSettingsPlaces(): Place[] {
  const lead = useIsLead();
  const audit = useMayAudit();
  return [
    { to: "/settings", label: "Preferences" },
    ...(lead ? ([{ to: "/settings/users", label: "Users" }, { to: "/settings/tokens", label: "Tokens" }] as const) : []),
    ...(audit ? ([{ to: "/settings/audit", label: "Audit" }] as const) : []),
  ];
}

interface HeadProps {
  title: string;
  note?: ReactNode;
  /** The places beside this one; drawn as tabs where the rail does not show them, or always. */
  places?: readonly Place[];
  always?: boolean;
  children?: ReactNode;
}

/** Draws the one h1 of a screen with the places beside it, and names the browser's tab. */
export function PageHead({ title, note, places, always = false, children }: HeadProps) {
  const overview = useQuery(overviewQuery).data;
  const firing = overview ? overview.firing.critical + overview.firing.warning : 0;
  const critical = (overview?.firing.critical ?? 0) > 0;

  useEffect(() => {
    document.title = `${firing > 0 ? `${firing} firing, ` : ""}${title}, Tocsin`;
    const icon = document.getElementById("favicon");
    icon?.setAttribute("href", `${PREFIX}/favicon${critical ? "-firing" : ""}.svg`);
  }, [title, firing, critical]);

  return (
    <header className="head">
      <div className="head-line">
        <h1>{title}</h1>
        {note && <span className="head-note">{note}</span>}
        {children && <div className="head-actions">{children}</div>}
      </div>
      {places && places.length > 1 && (
        <nav className="tabs" data-always={always || undefined} aria-label={`Parts of ${title}`}>
          {places.map((place) => (
            <Link key={place.to} to={place.to} className="tab" activeOptions={{ exact: true, includeSearch: false }} activeProps={{ "aria-current": "page" }}>
              {place.label}
            </Link>
          ))}
        </nav>
      )}
    </header>
  );
}
