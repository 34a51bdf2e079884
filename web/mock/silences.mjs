// Silences: their times, what they mute, and what the configuration allows.
import { matches } from "./matchers.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const BASE = "/api/tocsin/v1/silences";
const WEEK = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/** What the section `silences` of a configuration would say. */
const POLICY = { longest: 7 * DAY, longestRecurring: 90 * DAY, remind: 15 * MINUTE, never: { name: "alertname", value: "Watchdog", isRegex: false, isEqual: true } };

const iso = (at) => new Date(at).toISOString();
const clocks = new Map();

/** Returns the minute of the day and the day of the week on the clock of a zone. */
function wall(at, zone) {
  if (!clocks.has(zone)) clocks.set(zone, new Intl.DateTimeFormat("en-US", { timeZone: zone, hourCycle: "h23", weekday: "long", hour: "2-digit", minute: "2-digit" }));
  const parts = Object.fromEntries(clocks.get(zone).formatToParts(at).map((part) => [part.type, part.value]));
  return { day: WEEK.indexOf(parts.weekday.toLowerCase()), minute: Number(parts.hour) * 60 + Number(parts.minute) };
}

const minutes = (text) => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));
const hasDay = (times, day) => times.weekdays.length === 0 || times.weekdays.some((text) => {
  const [first, last = first] = text.split(":").map((name) => WEEK.indexOf(name));
  return day >= first && day <= last;
});

function isItsTime(silence, at) {
  return silence.times.length === 0 || silence.times.some((times) => {
    const { day, minute } = wall(at, times.location ?? "UTC");
    if (times.times.length === 0) return hasDay(times, day);
    return times.times.some(({ start_time, end_time }) => {
      const [from, to] = [minutes(start_time), minutes(end_time)];
      const over = to < from;
      return (hasDay(times, day) && minute >= from && (over || minute < to)) || (over && minute < to && hasDay(times, (day + 6) % 7));
    });
  });
}

export function silenceState(silence, now) {
  if (Date.parse(silence.endsAt) <= now) return "expired";
  return Date.parse(silence.startsAt) > now || !isItsTime(silence, now) ? "pending" : "active";
}

function nextTurn(silence, now) {
  const [start, end] = [Date.parse(silence.startsAt), Date.parse(silence.endsAt)];
  if (end <= now) return null;
  if (silence.times.length === 0) return iso(start > now ? start : end);
  const from = Math.max(start, now);
  const within = isItsTime(silence, from);
  if (within && start > now) return iso(start);
  for (let at = from - (from % (5 * MINUTE)) + 5 * MINUTE; at < Math.min(end, from + 15 * DAY); at += 5 * MINUTE) {
    if (isItsTime(silence, at) !== within) return iso(at);
  }
  return within ? iso(end) : null;
}

const spared = (alert) => matches(POLICY.never, alert.labels);
const meant = (silence, alert) => silence.matchers.every((matcher) => matches(matcher, alert.labels));

/** Returns whether a silence mutes an alert now. */
export function mutes(silence, alert, now) {
  return silenceState(silence, now) === "active" && !spared(alert) && meant(silence, alert);
}

function firing(world) {
  return [...world.alerts.values()].filter((each) => each.state === "firing");
}

/** Ends the silences that waited for alerts of which none fires any more. */
export function endWaiting(world) {
  for (const silence of world.silences.values()) {
    if (!silence.untilResolved || silenceState(silence, world.now) !== "active" || firing(world).some((alert) => meant(silence, alert))) continue;
    world.endSilence(silence.id, null, "resolved");
  }
}

/** Silences to begin with, one of each kind. */
export function firstSilences(now) {
  const is = (name, value) => ({ name, value, isRegex: false, isEqual: true });
  const from = (ago) => iso(now - ago);
  return [
    { matchers: [is("alertname", "CertificateExpiresSoon")], startsAt: from(3 * HOUR), endsAt: iso(now + 21 * HOUR), createdBy: "renewal-bot", owner: "grace", comment: "Renewal is planned for tomorrow, change 4711" },
    { matchers: [{ name: "service", value: "reports|mailer", isRegex: true, isEqual: true }, { name: "severity", value: "critical", isRegex: false, isEqual: false }], startsAt: from(30 * MINUTE), endsAt: iso(now + 12.5 * MINUTE), createdBy: "ada", owner: "ada", comment: "Batch window is moved" },
    { matchers: [is("service", "ledger"), is("cluster", "fra-1")], startsAt: from(50 * MINUTE), endsAt: iso(now + 4 * HOUR), createdBy: "ada", owner: "ada", comment: "Replica is being rebuilt, INC-318", untilResolved: true },
    { matchers: [is("job", "nightly-backup")], startsAt: from(40 * DAY), endsAt: iso(now + 60 * DAY), createdBy: "grace", owner: "grace", comment: "The database is slow while it is backed up", times: [{ times: [{ start_time: "02:00", end_time: "04:00" }], weekdays: ["saturday", "sunday"], location: "Europe/Berlin" }] },
    { matchers: [is("instance", "edge-2:9100")], startsAt: iso(now + 6 * HOUR), endsAt: iso(now + 8 * HOUR), createdBy: "grace", owner: "grace", comment: "Kernel update of edge-2" },
    { matchers: [is("service", "search")], startsAt: from(30 * HOUR), endsAt: from(26 * HOUR), createdBy: "ada", owner: "ada", comment: "Index was rebuilt", ended: { why: "person", by: "ada", instead_of: from(20 * HOUR) } },
    { matchers: [is("alertname", "QueueBacklog")], startsAt: from(52 * HOUR), endsAt: from(49 * HOUR), createdBy: "grace", owner: "grace", comment: "Consumers are being replaced", untilResolved: true, ended: { why: "resolved", by: null, instead_of: from(28 * HOUR) } },
    { matchers: [is("service", "edge")], startsAt: from(60 * HOUR), endsAt: from(59 * HOUR), createdBy: "ada", owner: "ada", comment: "Load test", ended: { why: "replaced", by: "grace", instead_of: from(50 * HOUR) } },
  ];
}

function view(world, silence) {
  const { id, matchers, startsAt, endsAt, updatedAt, createdBy, owner, comment, untilResolved, times, ended } = silence;
  const muted = firing(world).filter((alert) => mutes(silence, alert, world.now));
  return { id, state: silenceState(silence, world.now), matchers, starts_at: startsAt, ends_at: endsAt, updated_at: updatedAt, created_by: createdBy, owner, comment, until_resolved: untilResolved, times, next_turn_at: nextTurn(silence, world.now), ended, firing: muted.length, critical: muted.filter((each) => each.severity === "critical").length };
}

function list(world) {
  const rank = { active: 0, pending: 1, expired: 2 };
  const key = (each) => [rank[each.state], each.state === "active" ? each.ends_at : each.state === "pending" ? (each.next_turn_at ?? "") : iso(2 ** 42 - Date.parse(each.ends_at))].join(" ");
  return { server_time: iso(world.now), silences: [...world.silences.values()].map((each) => view(world, each)).sort((left, right) => key(left).localeCompare(key(right))), remind_seconds: POLICY.remind / 1000 };
}

function faultsOf(world, wish) {
  if (!wish.ends_at) return [];
  const lasts = Date.parse(wish.ends_at) - Math.max(world.now, Date.parse(wish.starts_at ?? 0));
  const [longest, name] = wish.times?.length > 0 ? [POLICY.longestRecurring, "longest_recurring"] : [POLICY.longest, "longest"];
  return lasts > longest ? [`it lasts ${Math.floor(lasts / DAY)}d${Math.floor((lasts % DAY) / HOUR)}h, and silences.${name} allows ${longest / DAY}d: let it end earlier`] : [];
}

function preview(world, wish) {
  const live = firing(world);
  const all = live.filter((alert) => meant(wish, alert));
  const hit = all.filter((alert) => !spared(alert));
  const critical = hit.filter((each) => each.severity === "critical");
  const allCritical = live.filter((each) => each.severity === "critical");
  return {
    total: hit.length, critical: critical.length, alerts: hit.slice(0, 50).map((each) => world.show(each)),
    covers_every_critical: allCritical.length > 0 && critical.length === allCritical.length,
    no_equality: !wish.matchers.some((each) => each.isEqual && !each.isRegex && each.value !== ""),
    spared: all.length - hit.length, faults: faultsOf(world, wish),
  };
}

function history(world, wish) {
  const hit = [...world.alerts.values()].filter((alert) => meant(wish, alert) && !spared(alert));
  const counts = (name) => {
    const found = new Map();
    for (const alert of hit) found.set(name(alert), (found.get(name(alert)) ?? 0) + 1 + (Number.parseInt(alert.fingerprint.slice(-2), 16) % 23));
    return [...found].map(([name, begins]) => ({ name, begins })).sort((left, right) => right.begins - left.begins).slice(0, 10);
  };
  const begins = counts((alert) => alert.name).reduce((sum, each) => sum + each.begins, 0);
  return { from: iso(world.now - 30 * DAY), complete: true, alerts: hit.length, begins, notifications: Math.ceil(begins / 8), pages: Math.ceil(begins / 20), last_at: hit.length > 0 ? iso(world.now - 2 * HOUR) : null, names: counts((alert) => alert.name), services: counts((alert) => alert.labels.service) };
}

function set({ world, body, session, json, problem }) {
  if (!body.comment) return problem(400, "Bad Request", "comment: say why, for the next reader was not here");
  const known = body.id && world.silences.get(body.id);
  if (body.id && !known) return problem(404, "Not Found", "silence not found");
  if (known && body.seen_at && body.seen_at !== known.updatedAt) return problem(409, "Conflict", `the silence has changed since you saw it, at ${known.updatedAt}; look again`);
  if (!body.matchers?.length) return problem(400, "Bad Request", "invalid silence: at least one matcher required");
  const faults = faultsOf(world, body);
  if (faults.length > 0) return problem(400, "Bad Request", `this is not allowed here: ${faults.join("; ")}`);
  if (body.until_resolved && !firing(world).some((alert) => meant(body, alert))) return problem(400, "Bad Request", "no alert fires that the silence mutes, so it has nothing to wait for; let it end at a time");
  const fresh = { matchers: body.matchers, startsAt: body.starts_at ?? iso(world.now), endsAt: body.ends_at, createdBy: session.name, owner: known?.owner ?? session.name, comment: body.comment, untilResolved: body.until_resolved ?? false, times: body.times ?? [] };
  const sameMatchers = known && JSON.stringify(known.matchers) === JSON.stringify(body.matchers);
  if (sameMatchers && silenceState(known, world.now) !== "expired") {
    world.changeSilence(known, fresh);
    return json(200, { id: known.id });
  }
  if (known) world.endSilence(known.id, session.name, "replaced");
  return json(200, { id: world.addSilence(fresh).id });
}

/** Answers what is asked of silences, here and as Alertmanager does; returns whether it was. */
export function silenceRoutes(context) {
  const { request, url, body, session, world, json, problem } = context;
  const { method } = request;
  const path = url.pathname;
  const is = (wanted, at) => method === wanted && path === at;
  const one = /^\/api\/(?:tocsin\/v1\/silences|v2\/silence)\/(\w+)$/.exec(path);
  if (is("GET", BASE)) json(200, list(world));
  else if (is("POST", BASE)) set(context);
  else if (is("POST", `${BASE}/preview`)) json(200, preview(world, body));
  else if (is("POST", `${BASE}/history`)) json(200, history(world, body));
  else if (is("GET", "/api/v2/silences")) json(200, [...world.silences.values()].map((each) => ({ ...each, status: { state: silenceState(each, world.now) } })));
  else if (is("POST", "/api/v2/silences")) {
    if (!body.comment) problem(400, "A reason is required", "comment is empty");
    else {
      const { id: _id, ...fresh } = body;
      json(200, { silenceID: world.addSilence({ ...fresh, owner: session.name }).id });
    }
  } else if (method === "DELETE" && one) {
    if (!world.endSilence(one[1], session.name, "person")) problem(404, "Not Found", "silence not found");
    else if (path.startsWith("/api/v2")) json(200, {});
    else json(204);
  } else return false;
  return true;
}
