import { randomBytes } from "node:crypto";
import { actRoutes } from "./act-routes.mjs";
import { matches, parseMatcher } from "./matchers.mjs";
import { seriesRoutes } from "./series.mjs";
import { silenceRoutes } from "./silences.mjs";
import { whyAnswer } from "./why.mjs";
import { iso, MINUTE } from "./world.mjs";

const RANK = { critical: 0, warning: 1, info: 2, other: 3 };
const BASE = "/api/tocsin/v1";

const views = {
  firing: (alert) => alert.state === "firing",
  pending: (alert) => alert.state === "pending",
  resolved: (alert) => alert.state === "resolved",
  acknowledged: (alert) => alert.page?.state === "acknowledged" && alert.state !== "resolved",
  silenced: (alert) => alert.silenced_by.length > 0 && alert.state !== "resolved",
  inhibited: (alert) => alert.inhibited_by.length > 0 && alert.state !== "resolved",
};

function sessionAnswer({ session, auth, world }) {
  const shared = { auth, demo: world.demo, version: "0.1.0-mock", external_url: "http://127.0.0.1:9911", server_time: iso(Date.now()) };
  return session ? { authenticated: true, user: { name: session.name, role: session.role }, csrf: session.csrf, ...shared } : { authenticated: false, ...shared };
}

function overview(world) {
  const live = [...world.alerts.values()].map((each) => world.show(each)).filter((each) => each.state !== "resolved");
  const firing = live.filter((each) => each.state === "firing");
  const count = (list, test) => list.filter(test).length;
  const targets = world.targets().flatMap((job) => job.targets);
  const services = new Map();
  for (const alert of firing.filter((each) => each.silenced_by.length === 0 && each.severity !== "other")) {
    const row = services.get(alert.labels.service) ?? { name: alert.labels.service, severity: "other", firing: 0, acknowledged: 0 };
    row.firing += 1;
    if (views.acknowledged(alert)) row.acknowledged += 1;
    if (RANK[alert.severity] < RANK[row.severity]) row.severity = alert.severity;
    services.set(row.name, row);
  }
  const bucketStart = world.now - (world.now % (15 * MINUTE));
  return {
    server_time: iso(world.now),
    firing: Object.fromEntries(Object.keys(RANK).map((severity) => [severity, count(firing, (each) => each.severity === severity)])),
    acknowledged: count(firing, views.acknowledged), pending: count(live, views.pending),
    pages_open: count([...world.pages.values()], (each) => each.state !== "resolved"),
    targets: { up: count(targets, (each) => each.health === "up"), down: count(targets, (each) => each.health === "down"), unknown: count(targets, (each) => each.health === "unknown") },
    silences_active: count([...world.silences.values()], (each) => world.silenceState(each) === "active"),
    deliveries: { pending: count(world.deliveries, (each) => each.state === "pending"), failing: count(world.deliveries, (each) => each.state === "pending" && each.attempts.length > 1), failed_24h: count(world.deliveries, (each) => each.state === "rejected") },
    rules: { groups: 6, rules: 31, failing: 1, last_evaluation_at: iso(world.now - (world.now % 15_000)) },
    storage: { series: 48_213, samples_total: 81_240_512, samples_per_second: 3214.2, chunk_bytes: 73_400_320 },
    needs_you: [...world.pages.values()].filter((each) => each.state !== "resolved" && each.users.includes("ada")).map((each) => world.showPage(each)),
    services: [...services.values()].sort((left, right) => RANK[left.severity] - RANK[right.severity] || right.firing - left.firing),
    firing_24h: Array.from({ length: 96 }, (_, index) => {
      const at = bucketStart - (95 - index) * 15 * MINUTE;
      const storm = index > 34 && index < 42 ? 6 - Math.abs(38 - index) : 0;
      return { at: iso(at), critical: index > 93 ? 3 + (index - 93) : index > 90 ? 1 : Math.max(0, storm), warning: 4 + Math.round(3 * Math.sin(index / 9)) + (index > 88 ? 3 : 0), other: 2 };
    }),
  };
}

function alertList(world, parameters) {
  const matchers = parameters.getAll("filter").map(parseMatcher);
  const text = (parameters.get("q") ?? "").toLowerCase();
  const wanted = parameters.getAll("state");
  const inFilter = [...world.alerts.values()].map((each) => world.show(each)).filter((alert) =>
    matchers.every((matcher) => matches(matcher, alert.labels)) && (text === "" || JSON.stringify([alert.labels, alert.annotations]).toLowerCase().includes(text)));
  const counts = Object.fromEntries(Object.entries(views).map(([name, test]) => [name, inFilter.filter(test).length]));
  const hit = inFilter.filter((alert) => wanted.length === 0 ? alert.state !== "resolved" : wanted.some((state) => views[state]?.(alert)));
  hit.sort((left, right) => RANK[left.severity] - RANK[right.severity] || right.active_at.localeCompare(left.active_at));
  const offset = Number(parameters.get("offset") ?? 0);
  return { server_time: iso(world.now), total: hit.length, counts, alerts: hit.slice(offset, offset + Number(parameters.get("limit") ?? 500)) };
}

/** Answers one request of the contract; returns whether it was one of ours. */
export function routes(context) {
  const { request, url, body, session, sessions, world, json, problem, auth, cookie } = context;
  const method = request.method;
  const path = url.pathname;
  const is = (wanted, at) => method === wanted && path === `${BASE}${at}`;
  const done = () => true;
  if (is("GET", "/session")) return done(json(200, sessionAnswer(context)));
  if (is("POST", "/session")) {
    const user = world.users.find((each) => each.name === body.name && each.password === body.password && !each.disabled);
    if (!user) return done(problem(401, "Name or password is wrong", "Check both and try again."));
    const id = randomBytes(16).toString("hex");
    const fresh = { name: user.name, role: user.role, csrf: randomBytes(8).toString("hex") };
    sessions.set(id, fresh);
    return done(json(200, sessionAnswer({ ...context, session: fresh }), { "set-cookie": `tocsin_session=${id}; Path=/; HttpOnly; SameSite=Strict` }));
  }
  if (!session) return false;
  const safe = method === "GET" || path.startsWith("/api/v1/");
  if (!safe && auth !== "off" && request.headers["x-tocsin-csrf"] !== session.csrf) return done(problem(403, "The request is not from this page", "The CSRF token is missing or old."));
  if (is("DELETE", "/session")) return done(sessions.delete(cookie), json(204));
  if (is("POST", "/session/password")) {
    const user = world.users.find((each) => each.name === session.name);
    if (user.password !== body.current) return done(problem(401, "The name or the password is wrong", "Check it and try again."));
    user.password = body.new;
    session.csrf = randomBytes(8).toString("hex");
    return done(json(200, sessionAnswer(context)));
  }
  if (is("GET", "/overview")) return done(json(200, overview(world)));
  if (is("GET", "/alerts")) return done(json(200, alertList(world, url.searchParams)));

  const alertPath = new RegExp(`^${BASE}/alerts/([0-9a-f]+)$`).exec(path);
  if (method === "GET" && alertPath) {
    const alert = world.alerts.get(alertPath[1]);
    if (!alert) return done(problem(404, "No such alert", "It may be older than what is kept."));
    return done(json(200, { ...world.show(alert), history: alert.history, deliveries: world.deliveries.filter((each) => each.page_id === alert.pageId) }));
  }
  if (is("GET", "/why")) {
    const answer = whyAnswer(world, url.searchParams);
    return done(answer ? json(200, answer) : problem(400, "Bad Request", "name an alert: its name, its fingerprint, or matchers such as {severity=\"page\"}"));
  }
  if (is("GET", "/pages")) return done(json(200, { pages: [...world.pages.values()].filter((each) => url.searchParams.get("state") === "all" || each.state !== "resolved").map((each) => world.showPage(each)) }));
  const pagePath = new RegExp(`^${BASE}/pages/(\\w+)(/acknowledge|/unacknowledge)?$`).exec(path);
  if (pagePath) {
    const page = world.pages.get(pagePath[1]);
    if (!page) return done(problem(404, "No such page", pagePath[1]));
    if (method === "GET" && !pagePath[2]) return done(json(200, { ...world.showPage(page), timeline: page.timeline, alert_details: page.alerts.map((each) => world.show(world.alerts.get(each))), deliveries: world.deliveries.filter((each) => each.page_id === page.id) }));
    if (method === "POST" && pagePath[2] === "/acknowledge") {
      if (page.state === "acknowledged" && page.acknowledged_by !== session.name) return done(problem(409, "Already acknowledged", `${page.acknowledged_by} was first.`, { acknowledged_by: page.acknowledged_by }));
      return done(json(200, world.showPage(page.state === "triggered" ? world.acknowledge(page.id, session.name) : page)));
    }
    if (method === "POST" && pagePath[2] === "/unacknowledge") return done(json(200, world.showPage(world.unacknowledge(page.id, session.name))));
  }
  if (is("GET", "/deliveries")) {
    const channel = url.searchParams.get("channel");
    const state = url.searchParams.get("state");
    const all = world.deliveries.filter((each) => !channel || each.channel === channel);
    const before = url.searchParams.get("before");
    const limit = Number(url.searchParams.get("limit") ?? 200);
    const hit = all.filter((each) => !state || each.state === state);
    const from = before ? hit.findIndex((each) => String(each.id) === before) + 1 : 0;
    const part = hit.slice(from, from + limit);
    const counts = Object.fromEntries(["pending", "delivered", "rejected", "expired"].map((name) => [name, all.filter((each) => each.state === name).length]));
    return done(json(200, { deliveries: part, next: from + limit < hit.length ? part.at(-1).id : null, counts }));
  }
  if (is("GET", "/inbox")) return done(json(200, { messages: world.inbox.slice(0, Number(url.searchParams.get("limit") ?? 100)) }));
  if (silenceRoutes(context)) return true;
  if (seriesRoutes(context)) return true;
  if (is("GET", "/targets")) return done(json(200, { server_time: iso(world.now), jobs: world.targets() }));
  if (method === "GET" && (path === `${BASE}/rules` || path === "/api/v1/rules")) return done(json(200, { status: "success", data: { groups: world.rules() } }));

  const demoAnswer = () => ({ services: [{ name: "catalog", url: "http://127.0.0.1:9801", faults: world.faults }] });
  if (is("GET", "/demo")) return done(json(200, demoAnswer()));
  const faultPath = new RegExp(`^${BASE}/demo/faults/(\\w+)$`).exec(path);
  if (method === "POST" && faultPath) return done(world.setFault(faultPath[1], body.active) ? json(200, demoAnswer()) : problem(404, "No such fault", faultPath[1]));

  const showUser = ({ password: _password, ...rest }) => rest;
  if (is("GET", "/users")) return done(json(200, { users: world.users.map(showUser) }));
  if (is("POST", "/users")) {
    if (world.users.some((each) => each.name === body.name)) return done(problem(409, "The name is taken", body.name));
    const user = { name: body.name, role: body.role, password: body.password, created_at: iso(world.now), disabled: false };
    world.users.push(user);
    return done(json(201, showUser(user)));
  }
  const userPath = new RegExp(`^${BASE}/users/([^/]+)$`).exec(path);
  if (method === "PATCH" && userPath) {
    const user = world.users.find((each) => each.name === decodeURIComponent(userPath[1]));
    if (!user) return done(problem(404, "No such user", userPath[1]));
    Object.assign(user, body);
    return done(json(200, showUser(user)));
  }
  if (is("GET", "/tokens")) return done(json(200, { tokens: world.tokens }));
  if (is("POST", "/tokens")) {
    const token = { id: world.id("t"), name: body.name, role: body.role, created_at: iso(world.now), created_by: session.name, revoked_at: null };
    world.tokens.push(token);
    return done(json(201, { ...token, token: `tocsin_${randomBytes(16).toString("hex")}` }));
  }
  const tokenPath = new RegExp(`^${BASE}/tokens/(\\w+)$`).exec(path);
  if (method === "DELETE" && tokenPath) {
    world.tokens = world.tokens.map((each) => (each.id === tokenPath[1] ? { ...each, revoked_at: new Date().toISOString() } : each));
    return done(json(204));
  }
  if (is("GET", "/audit")) return done(json(200, { entries: world.audit.slice(0, Number(url.searchParams.get("limit") ?? 100)) }));
  return actRoutes({ ...context, done });
}


