import { createContext, useContext } from "react";
import type { Role, Session } from "../api/types.ts";

export type OpenSession = Session & { user: { name: string; role: Role } };

export const SessionContext = createContext<OpenSession | null>(null);

/** Returns the session of the reader. Panics outside the part of the page that needs one. */
export function useSession(): OpenSession {
  const session = useContext(SessionContext);
  if (!session) throw new Error("a part of the page that needs a session is shown without one");
  return session;
}

const RISING: readonly Role[] = ["viewer", "responder", "operator", "sre-lead"];

function reaches(role: Role, least: Role): boolean {
  return RISING.includes(role) && RISING.indexOf(role) >= RISING.indexOf(least);
}

/** Returns why the reader may not acknowledge and silence, or undefined when he may. */
export function useWhyNotRespond(): string | undefined {
  const { role } = useSession().user;
  return reaches(role, "responder") ? undefined : `The role ${role} only reads: acknowledging and silencing need the role responder`;
}

/** Returns why the reader may not do what needs at least a role, or undefined when he may. */
export function useWhyNot(least: Role, what: string): string | undefined {
  const { role } = useSession().user;
  return reaches(role, least) ? undefined : `${what} needs the role ${least}; yours is ${role}`;
}

/** Returns why the reader may not switch faults of the demo, or undefined when he may. */
export function useWhyNotOperate(): string | undefined {
  return useWhyNot("operator", "Breaking a service");
}

export function useIsLead(): boolean {
  return useSession().user.role === "sre-lead";
}

export function useMayAudit(): boolean {
  const { role } = useSession().user;
  return role === "sre-lead" || role === "auditor";
}

/** The service refuses shorter ones. */
export const SHORTEST_PASSWORD = 12;

export const ROLES: readonly { value: Role; label: string }[] = [
  { value: "viewer", label: "Viewer: reads" },
  { value: "responder", label: "Responder: acknowledges and silences" },
  { value: "operator", label: "Operator: runs things" },
  { value: "sre-lead", label: "SRE lead: users, tokens, reload" },
  { value: "author", label: "Author: writes rules" },
  { value: "auditor", label: "Auditor: reads the audit" },
  { value: "writer", label: "Writer: sends samples and alerts, reads nothing" },
];
