import { useNavigate } from "@tanstack/react-router";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { changeSettings, useSettings } from "./settings.ts";
import { toast, undoLast } from "../ui/toasts.tsx";

export type Keys = Record<string, (event: KeyboardEvent) => void>;

const CHORD_TIME = 1200;

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}

function isPanelOpen(): boolean {
  return document.querySelector("[role=dialog], [role=menu]") !== null;
}

/** Runs an action for a single key, unless the reader types, a panel is open, or single keys are off. */
export function useKeys(keys: Keys): void {
  const { keys: on } = useSettings();
  const latest = useRef(keys);
  useEffect(() => {
    latest.current = keys;
  });
  useEffect(() => {
    if (!on) return undefined;
    const press = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || isPanelOpen()) return;
      const act = latest.current[event.key];
      if (!act) return;
      event.preventDefault();
      act(event);
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [on]);
}

/** The shortcuts that work on every screen. */
export function useShellShortcuts({ help, palette, stop }: { help: () => void; palette: () => void; stop: () => void }): void {
  const navigate = useNavigate();
  const client = useQueryClient();
  const { zone } = useSettings();
  const chord = useRef(0);

  const chorded = (go: () => void, otherwise?: () => void) => () => {
    if (Date.now() - chord.current < CHORD_TIME) {
      chord.current = 0;
      go();
    } else otherwise?.();
  };

  useKeys({
    "?": help,
    g: () => {
      chord.current = Date.now();
    },
    o: chorded(() => void navigate({ to: "/" })),
    e: chorded(() => void navigate({ to: "/explore" })),
    n: chorded(() => void navigate({ to: "/alerts/notifications" })),
    w: chorded(() => void navigate({ to: "/alerts/why" })),
    r: chorded(() => void navigate({ to: "/alerts/rules" })),
    p: chorded(() => void navigate({ to: "/settings" })),
    t: chorded(
      () => void navigate({ to: "/explore/targets" }),
      () => {
        const next = zone === "UTC" ? "browser" : "UTC";
        changeSettings({ zone: next });
        toast(next === "UTC" ? "Times are in UTC" : "Times are in this browser's zone", { tone: "info" });
      },
    ),
    // Two letters mean one thing after g and another alone; the screens announce the second themselves.
    a: chorded(
      () => void navigate({ to: "/alerts" }),
      () => window.dispatchEvent(new Event("tocsin:ack")),
    ),
    s: chorded(
      () => void navigate({ to: "/alerts/silences" }),
      () => window.dispatchEvent(new Event("tocsin:silence")),
    ),
    b: chorded(() => void navigate({ to: "/objectives" })),
    d: chorded(() => void navigate({ to: "/drills" })),
    u: chorded(
      () => void navigate({ to: "/runs" }),
      () => void undoLast(),
    ),
    K: stop,
    ".": () => void client.invalidateQueries(),
  });

  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        palette();
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [palette]);
}

/** Runs an action of the screen that a shared key asks for: "ack" or "silence". */
export function useAsked(name: "ack" | "silence", act: () => void): void {
  const latest = useRef(act);
  useEffect(() => {
    latest.current = act;
  });
  useEffect(() => {
    const run = () => latest.current();
    window.addEventListener(`tocsin:${name}`, run);
    return () => window.removeEventListener(`tocsin:${name}`, run);
  }, [name]);
}
