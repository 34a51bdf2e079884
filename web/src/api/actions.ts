import { patch, post, remove } from "./client.ts";
import type { DemoService, Page, Role, Session, Token, User } from "./types.ts";

export const logIn = (name: string, password: string) => post<Session>("/session", { name, password });
export const changePassword = (current: string, fresh: string) => post<Session>("/session/password", { current, new: fresh });
export const logOut = () => remove("/session");

export const acknowledge = (page: string) => post<Page>(`/pages/${encodeURIComponent(page)}/acknowledge`, {});
export const unacknowledge = (page: string) => post<Page>(`/pages/${encodeURIComponent(page)}/unacknowledge`, {});

export const setFault = (name: string, active: boolean) =>
  post<{ services: DemoService[] }>(`/demo/faults/${encodeURIComponent(name)}`, { active });

export const createUser = (user: { name: string; password: string; role: Role }) => post<User>("/users", user);
export const changeUser = (name: string, change: { role?: Role; disabled?: boolean; password?: string }) =>
  patch<User>(`/users/${encodeURIComponent(name)}`, change);
export const createToken = (token: { name: string; role: Role; expires_in_days?: number }) => post<Token & { token: string }>("/tokens", token);
export const deleteToken = (id: string) => remove(`/tokens/${encodeURIComponent(id)}`);
