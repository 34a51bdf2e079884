import { useNavigate } from "@tanstack/react-router";
import { useKeys } from "./shortcuts.ts";

/** Lets j and k move through the rows of a list, each of which is a link with the class. Enter opens it, as it does any link. */
export function useRowKeys(row: string): void {
  const move = (by: number) => {
    const rows = [...document.querySelectorAll<HTMLElement>(`main .${row}`)];
    const at = rows.findIndex((each) => each === document.activeElement);
    const next = rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, at + by))];
    next?.focus();
    next?.scrollIntoView({ block: "nearest" });
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
}

/** Lets Escape lead from one thing back to its list. */
export function useBackKey(to: "/objectives" | "/runs" | "/runs/documents" | "/drills"): void {
  const navigate = useNavigate();
  useKeys({ Escape: () => void navigate({ to }) });
}
