// Why somebody was told of an alert, made up from what the world knows of it.
import { matches, parseMatcher } from "./matchers.mjs";
import { iso, MINUTE } from "./world.mjs";

const DAY = 24 * 60 * MINUTE;
const MOST = 10;
const TEAMS = ["shop", "money", "platform", "data", "web"];

const clock = (at) => iso(at).slice(11, 19);

/** Returns the matchers of a question: a name, a fingerprint, or matchers behind a name. */
function asked(text) {
  const place = text.search(/[{]/);
  const name = (place < 0 ? (/[=~]/.test(text) ? "" : text) : text.slice(0, place)).trim();
  const inner = place < 0 ? (name ? "" : text) : text.slice(place + 1).replace(/\}\s*$/, "");
  const rest = inner.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/).filter((each) => each.trim() !== "").map(parseMatcher);
  if (rest.includes(null)) return null;
  return [...(name ? [{ name: "alertname", value: name, isRegex: false, isEqual: true }] : []), ...rest];
}

function way(labels) {
  const has = (name, value) => (labels[name] === value ? null : labels[name] ? `no, ${name} is "${labels[name]}"` : `no, there is no label ${name}`);
  const pages = has("severity", "critical");
  return [
    `route {} to team-mail: ${pages ? "takes it" : "passes it on"}`,
    `  route {severity="critical"} to on-call: ${pages ?? "takes it"}`,
    ...TEAMS.map((team) => `  route {severity="info",team="${team}"} to ${team}: ${pages ? (has("severity", "info") ?? has("team", team) ?? "takes it") : "not asked, one before it took the alert"}`),
  ];
}

function holder(world, alert) {
  const silence = world.silences.get(alert.silenced_by[0]);
  return silence && `the silence ${silence.id} of ${silence.createdBy} (${silence.comment}) until ${clock(Date.parse(silence.endsAt))}`;
}

function verdicts(world, alert) {
  const fired = Date.parse(alert.fired_at ?? alert.active_at);
  if (alert.state === "pending") {
    return [{ receiver: null, told: false, stage: "rule", why: `it was pending since ${clock(Date.parse(alert.active_at))}; its rule waits for ${alert.rule.for_seconds}s`, otherwise: `a \`for\` of at most ${Math.floor((world.now - fired) / 1000)}s` }];
  }
  const held = holder(world, alert);
  const sent = world.deliveries.filter((each) => each.page_id === alert.pageId && each.action === "trigger");
  return alert.receivers.map((receiver) => {
    if (held) return { receiver, told: false, stage: "silence", why: `held back since ${clock(fired + MINUTE / 2)} by ${held}`, otherwise: `without it ${receiver} would have been told at ${clock(fired + MINUTE / 2)}` };
    const arrived = sent.find((each) => each.state === "delivered");
    if (arrived) return { receiver, told: true, stage: "delivery", why: `told by ${arrived.channel} at ${clock(Date.parse(arrived.finished_at))}`, otherwise: null };
    const tried = sent[0];
    if (tried) return { receiver, told: false, stage: "delivery", why: `delivery ${tried.id} by ${tried.channel} has not arrived: ${tried.attempts.at(-1)?.detail}`, otherwise: `${tried.channel} taking it; it is ${tried.state} now` };
    return { receiver, told: false, stage: "group", why: "its group waits for others to join", otherwise: "a shorter group_wait" };
  });
}

function timeline(world, alert) {
  const start = Date.parse(alert.active_at);
  const line = (at, stage, text, more = [], times = 1, until = at) => ({ at: iso(at), until: iso(until), times, stage, text, more });
  const lines = [line(start, "rule", `pending: the condition of ${alert.rule.file}/${alert.rule.group} has begun to hold, value ${alert.value}; it fires after ${alert.rule.for_seconds}s`)];
  if (!alert.fired_at) return lines;
  const fired = Date.parse(alert.fired_at);
  const held = holder(world, alert);
  lines.push(line(fired, "rule", `fires: the condition of ${alert.rule.file}/${alert.rule.group} holds, value ${alert.value}`, way(alert.labels)));
  const group = `the group {}:{alertname="${alert.name}"} of ${alert.receivers[0]} was due`;
  lines.push(held ? line(fired + MINUTE / 2, "group", `${group}: held back by ${held}`, ["inbox: nothing to tell"], 12, Math.max(fired + MINUTE / 2, world.now)) : line(fired + MINUTE / 2, "group", `${group}: nothing holds the alert back`, ["inbox is told: first notification"]));
  for (const sent of world.deliveries.filter((each) => each.page_id === alert.pageId)) {
    sent.attempts.forEach((attempt, index) => lines.push(line(Date.parse(attempt.at), "delivery", `delivery ${sent.id} to ${sent.receiver} by ${sent.channel}: attempt ${index + 1} ${attempt.outcome}: ${attempt.detail}`)));
  }
  for (const entry of world.pages.get(alert.pageId)?.timeline ?? []) lines.push(line(Date.parse(entry.at), "person", `${entry.text}${entry.by ? ` by ${entry.by}` : ""}`));
  if (alert.resolved_at) lines.push(line(Date.parse(alert.resolved_at), "rule", `resolved: the condition holds no longer; it fired from ${clock(fired)}`));
  return lines.sort((left, right) => left.at.localeCompare(right.at));
}

function rules(world, names) {
  const seen = world.rules().flatMap((group) => group.rules.filter((rule) => rule.type === "alerting" && names.has(rule.name)).map((rule) => ({ group, rule })));
  return seen.slice(0, MOST).map(({ group, rule }) => {
    const [left, right] = rule.query.split(/ > (?=[0-9.]+$)/);
    const holds = rule.state === "inactive" ? 0 : 1;
    const readings = [0, 1, 2].map((index) => ({ labels: { instance: `${group.name}-${index}:9100`, service: group.name }, value: String(Number(right) * (holds && index === 0 ? 1.8 : 0.6 - index / 10)) }));
    const margins = right === undefined || rule.health === "err" ? [] : [{ comparison: `${left} > ${right}`, right, left: readings, series: 14, holds }];
    return { file: group.file, group: group.name, name: rule.name, expr: rule.query, for_seconds: rule.duration, error: rule.lastError || null, fault: rule.health === "err" ? rule.lastError : null, margins };
  });
}

/** Answers the question, or returns null where it cannot be read. */
export function whyAnswer(world, parameters) {
  const text = (parameters.get("alert") ?? "").trim();
  const matchers = /^[0-9a-f]{16}$/.test(text) ? [] : asked(text);
  if (text === "" || matchers === null) return null;
  const at = parameters.has("at") ? Date.parse(parameters.get("at")) : world.now;
  const meant = [...world.alerts.values()].filter((alert) => (matchers.length === 0 ? alert.fingerprint === text : matchers.every((matcher) => matches(matcher, alert.labels))));
  const labels = Object.fromEntries(matchers.filter((each) => each.isEqual && !each.isRegex).map((each) => [each.name, each.value]));
  const shown = meant.slice(0, MOST);
  return {
    at: iso(at), from: iso(at - DAY), to: iso(at + DAY / 24), more: meant.length - shown.length,
    alerts: shown.map((alert) => ({ fingerprint: alert.fingerprint, labels: alert.labels, verdicts: verdicts(world, alert), timeline: timeline(world, alert) })),
    rules: rules(world, new Set([labels.alertname, ...shown.map((alert) => alert.name)])),
    way: meant.length === 0 && Object.keys(labels).length > 0 ? way(labels) : [],
  };
}
