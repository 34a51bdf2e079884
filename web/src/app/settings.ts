import { useSyncExternalStore } from "react";
import { isZone, zoneOf } from "../lib/time.ts";

export type Theme = "system" | "dark" | "light";

export interface Settings {
  theme: Theme;
  /** "browser", "UTC" or an IANA name. */
  zone: string;
  /** Whether single letters act as shortcuts. */
  keys: boolean;
  compact: boolean;
}

const DEFAULTS: Settings = { theme: "system", zone: "browser", keys: true, compact: false };
const systemLight = matchMedia("(prefers-color-scheme: light)");
const listeners = new Set<() => void>();

function read(name: string): string | null {
  try {
    return localStorage.getItem(`tocsin.${name}`);
  } catch {
    return null;
  }
}

function write(name: string, value: string): void {
  try {
    localStorage.setItem(`tocsin.${name}`, value);
  } catch {
    // Storage can be forbidden; the choice then lasts as long as the page.
  }
}

function load(): Settings {
  const theme = read("theme");
  const zone = read("zone") ?? DEFAULTS.zone;
  return {
    theme: theme === "dark" || theme === "light" ? theme : "system",
    zone: zone === "browser" || isZone(zone) ? zone : DEFAULTS.zone,
    keys: read("keys") !== "off",
    compact: read("compact") === "on",
  };
}

let current = load();

export function themeShown(): "dark" | "light" {
  return current.theme === "system" ? (systemLight.matches ? "light" : "dark") : current.theme;
}

function applyTheme(): void {
  document.documentElement.dataset.theme = themeShown();
  document.documentElement.dataset.mantineColorScheme = themeShown();
}

function tell(): void {
  applyTheme();
  for (const listener of listeners) listener();
}

systemLight.addEventListener("change", tell);
window.addEventListener("storage", (event) => {
  if (!event.key?.startsWith("tocsin.")) return;
  current = load();
  tell();
});

export function changeSettings(change: Partial<Settings>): void {
  current = { ...current, ...change };
  write("theme", current.theme);
  write("zone", current.zone);
  write("keys", current.keys ? "on" : "off");
  write("compact", current.compact ? "on" : "off");
  tell();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useSettings(): Settings {
  return useSyncExternalStore(subscribe, () => current);
}

/** Returns the IANA name of the zone that the reader chose. */
export function useZone(): string {
  return zoneOf(useSettings().zone);
}

export function useTheme(): "dark" | "light" {
  return useSyncExternalStore(subscribe, themeShown);
}
