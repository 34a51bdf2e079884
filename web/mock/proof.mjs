// What proves that the platforms are well: objectives, drills with their reports, and journeys. All of it is made up.
import { DOCUMENTS } from "./documents.mjs";
import { hash, randomFrom } from "./random.mjs";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const iso = (at) => (at === null ? null : new Date(at).toISOString());

// [service, name, title, target, remaining share, burn 1 h, burn 6 h, what is special]
const OBJECTIVES = [
  ["checkout", "availability", "Orders are answered without an error", 0.999, -0.12, 18.2, 9.1, { firing: true, total: 41_220_118 }],
  ["checkout", "latency", "Orders are answered within 400 ms", 0.99, 0.38, 6.4, 2.7, { pending: true, total: 41_220_118 }],
  ["payments", "availability", "Payments are answered without an error", 0.9995, 0.61, 0.4, 0.7, { total: 8_204_551 }],
  ["search", "availability", "Searches are answered without an error", 0.995, 0.83, 0.2, 0.3, { total: 122_804_331 }],
  ["search", "freshness", "The index is younger than 5 min", 0.98, 0.17, 0.9, 1.1, { slices: true, total: 43_200, kind: "calendar" }],
  ["identity", "log-in", "Log-in succeeds", 0.9999, 0.44, 1.2, 0.8, { total: 3_110_408 }],
  ["ledger", "durability", "Postings are written to two places", 0.99999, 1, 0, 0, { low: true, total: 2_214 }],
  ["reports", "nightly", "The nightly report is there by 06:00", 0.95, 0.7, null, null, { catching: true, slices: true, total: 18 }],
  ["edge", "tls", "Handshakes succeed", 0.999, 0.9, 0.1, 0.1, { error: "the query of total reads more than 50 000 series; narrow it with a matcher", total: 0 }],
];

const PAIRS = [
  ["page, quick", "critical", 300, 3600, 14.4],
  ["page, slow", "critical", 1800, 21_600, 6],
  ["ticket", "warning", 7200, 86_400, 3],
  ["ticket, slow", "warning", 21_600, 259_200, 1],
];

function objective(row, now) {
  const [service, name, title, target, left, hour, six, more] = row;
  const days = more.kind === "calendar" ? 30 : 28;
  const from = more.kind === "calendar" ? Date.parse(`${iso(now).slice(0, 7)}-01T00:00:00Z`) : now - days * DAY;
  const until = more.kind === "calendar" ? from + days * DAY : now;
  const allowed = (1 - target) * more.total;
  const spent = allowed * (1 - left);
  const sli = more.error || more.total === 0 ? null : 1 - spent / Math.max(1, more.total);
  const burning = more.firing ? "firing" : "inactive";
  return {
    id: `${service}-${name}`, slo: `${service}-${name}`, name, service, title, target,
    window: { text: more.kind === "calendar" ? "calendar month, Europe/Paris" : `${days} days, rolling`, kind: more.kind ?? "rolling", from: iso(from), until: iso(until) },
    method: more.slices ? "timeslices" : "occurrences", unit: more.slices ? "slices" : "events", good: Math.round(more.total - spent), total: more.total, sli,
    budget: { allowed, spent, remaining_share: left, exhausted_at_forecast: left > 0 && hour > 1 ? iso(now + (left / hour) * days * DAY) : null },
    burn: [[300, hour === null ? null : hour * 1.2], [1800, hour], [3600, hour], [7200, six], [21_600, six], [86_400, six === null ? null : six * 0.6], [259_200, six === null ? null : six * 0.4]].map(([window_seconds, rate]) => ({ window_seconds, rate })),
    alerts: PAIRS.map(([pair, severity, short, long, factor], index) => ({
      name: pair, severity, state: index === 0 ? burning : index === 1 && more.firing ? "firing" : more.pending && index === 1 ? "pending" : "inactive", short_seconds: short, long_seconds: long, factor,
      short_rate: hour === null ? null : hour * [1.2, 1, 0.5, 0.4][index], long_rate: six === null ? null : [hour, six, six * 0.6, six * 0.4][index],
    })),
    counted_until: iso(more.catching ? now - 9 * HOUR : now - 15 * SECOND), catching_up: Boolean(more.catching), low_traffic: Boolean(more.low), error: more.error ?? null, file: `rules/slo/${service}.yml`,
  };
}

function detailOf(row, now, points) {
  const shown = objective(row, now);
  const from = Date.parse(shown.window.from);
  const end = Math.min(now, Date.parse(shown.window.until));
  const left = shown.budget.remaining_share;
  const random = randomFrom(hash(shown.id));
  const weights = Array.from({ length: points }, (_, index) => (random() < 0.06 ? random() * 6 : 0.15) + (row[5] > 5 && index > points * 0.97 ? 14 : 0));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  let gone = 0;
  const burn_down = weights.map((weight, index) => {
    gone += weight;
    return [Math.round(from + ((end - from) * (index + 1)) / points), 1 - (1 - left) * (gone / sum)];
  });
  const errors = weights.map((weight, index) => [Math.round(from + ((end - from) * (index + 1)) / points), Math.round((weight / sum) * shown.budget.spent)]);
  const ratio = row[7].slices ? `    timeslice: 1m\n` : "";
  const definition_text = `apiVersion: openslo/v1\nkind: SLO\nmetadata:\n  name: ${shown.slo}\nspec:\n  service: ${shown.service}\n  objectives:\n    - target: ${shown.target}\n${ratio}  indicator:\n    spec:\n      ratioMetric:\n        good:  sum(rate(http_requests_total{service="${shown.service}",code!~"5.."}[1m]))\n        total: sum(rate(http_requests_total{service="${shown.service}"}[1m]))\n`;
  return { ...shown, burn_down: shown.error ? [] : burn_down, errors: shown.error ? [] : errors, definition_text };
}

const PHASES = ["detect", "page", "ack", "data", "traffic", "capacity", "verify"];

// [document, days between, [verdict, missed, scale of the times, rpo]]
const DRILLS = [
  ["demo-lose-primary", 30, 1_209_600, [["met", [], 0.92, 1.4], ["met", [], 0.8, 0.9], ["missed", ["rto", "data"], 1.3, 2.2], ["met", [], 0.9, 1.1], ["met", [], 0.97, 3.2], ["missed", ["rpo"], 0.98, 7.4], ["aborted", [], null, null], ["met", [], 0.88, 2]]],
  ["demo-lose-queue", 14, 1_209_600, [["missed", ["rto", "ack"], 1.24, 12], ["met", [], 0.94, 8], ["met", [], 0.71, 9]]],
  ["dn-dr-failover", 95, 7_776_000, [["met", [], 0.96, 22], ["missed", ["rto"], 1.1, 41], ["met", [], 0.99, 18]]],
  ["cn-region-blackhole", 80, 7_776_000, [["tabletop", [], null, null]]],
];

const SHARES = { detect: 0.1, page: 0.04, ack: 0.16, data: 0.28, traffic: 0.12, capacity: 0.18, verify: 0.12 };

export class Proof {
  constructor(now, touch, runs) {
    this.now = now;
    this.touch = touch;
    this.runs = runs;
    this.results = new Map();
    this.seedDrills();
    this.journeyList = [
      ["shop-order", "shop", 5, ["browse", "order", "receipt"]],
      ["shop-browse", "shop", 15, ["front", "search"]],
      ["cn-login", "cloudnative", 10, ["form", "log-in", "profile"]],
    ].map(([name, platform, every, steps]) => {
      const recent = Array.from({ length: 120 }, (_, index) => this.tried(name, now - (120 - index) * every * SECOND));
      return { name, platform, interval_seconds: every, recent, stepNames: steps };
    });
  }

  tried(name, at) {
    const bad = name === "cn-login" ? at > this.now - 50 * SECOND : name === "shop-order" && at % (11 * MINUTE) < 9 * SECOND;
    return { began: iso(at), ok: !bad };
  }

  seedDrills() {
    for (const [id, every, , list] of DRILLS) {
      const document = DOCUMENTS.find((each) => each.id === id);
      const goal = document.objective;
      const results = list.map(([verdict, missed, scale, rpo], index) => {
        const at = this.now - (index * every + 6) * DAY - (id === "dn-dr-failover" ? 100 * DAY : 0);
        const run = this.runs.finished(id, at, "succeeded", index + 40);
        Object.assign(run, { verdict: missed.length > 0 ? `missed(${missed.join(", ")})` : verdict, starter: "grace", state: verdict === "aborted" ? "undone" : "succeeded", reason: verdict === "aborted" ? "A stop rule fired: an alert of the platform that the drill did not cause" : verdict === "tabletop" ? "Talked through; nothing was touched" : "Every check was made" });
        const random = randomFrom(hash(id + index));
        const phases = Object.fromEntries(PHASES.map((phase) => [phase, scale === null ? null : Math.round(goal.rto_seconds * scale * SHARES[phase] * (0.75 + random() * 0.5) * (missed.includes(phase) ? 2.1 : 1) * 10) / 10]));
        const rto = scale === null ? null : Math.round(goal.rto_seconds * scale);
        const sum = Object.values(phases).reduce((total, each) => total + (each ?? 0), 0);
        for (const phase of PHASES) if (phases[phase] !== null) phases[phase] = Math.round(((phases[phase] * rto) / sum) * 10) / 10;
        return { run: run.id, at: iso(at), verdict, missed, rto_seconds: rto, rpo_seconds: rpo, lost_writes: rpo === null ? null : missed.includes("rpo") ? 7 : 0, phases, objective: goal };
      });
      this.results.set(id, results);
    }
  }

  tick(now) {
    this.now = now;
    for (const journey of this.journeyList) {
      const last = Date.parse(journey.recent.at(-1).began);
      if (now - last < journey.interval_seconds * SECOND) continue;
      journey.recent = [...journey.recent.slice(-119), this.tried(journey.name, last + journey.interval_seconds * SECOND)];
      this.touch("journeys", journey.name);
    }
    if (now - (this.countedAt ?? 0) > 15_000) {
      this.countedAt = now;
      this.touch("objectives");
    }
  }

  objectives() {
    return OBJECTIVES.map((row) => objective(row, this.now));
  }

  objective(id, points) {
    const row = OBJECTIVES.find(([service, name]) => `${service}-${name}` === id);
    return row ? detailOf(row, this.now, points) : null;
  }

  journeys() {
    return this.journeyList.map(({ stepNames, ...journey }) => {
      const last = journey.recent.at(-1);
      return {
        ...journey,
        last: { began: last.began, ok: last.ok, duration_seconds: last.ok ? 0.084 + (hash(last.began) % 60) / 1000 : 3, reason: last.ok ? null : `${stepNames[1] ?? stepNames[0]}: no answer within 3 s` },
        steps: stepNames.map((name, index) => ({ name, ok: last.ok || index === 0, duration_seconds: last.ok || index === 0 ? 0.02 + (hash(name) % 40) / 1000 : 3, status: last.ok || index === 0 ? 200 : null })),
      };
    });
  }

  drills(session) {
    return DRILLS.map(([id, , every]) => {
      const results = this.results.get(id);
      const last = Date.parse(results[0].at);
      const document = DOCUMENTS.find((each) => each.id === id);
      return { document: this.runs.showDocument(document, session), cadence: { every_seconds: every, last_at: results[0].at, due_at: iso(last + every * SECOND), overdue: last + every * SECOND < this.now }, objective: document.objective, results };
    });
  }

  experiments(session) {
    const why = { held: "The hypothesis held throughout", broken: "p95 of orders was 612 ms while the fault acted", stopped: "Errors rose over 1 % for 15 s", invalid: "The fault was never proven in effect", refused: "Less than 50 % of the budget is left" };
    return DOCUMENTS.filter((each) => each.kind === "experiment").map((document, position) => ({
      document: this.runs.showDocument(document, session),
      results: this.runs.runs.filter((each) => each.doc_id === document.id && each.ended_at !== null).map((run, index) => {
        const verdict = run.state === "refused" ? "refused" : (index + position) % 7 === 5 ? "stopped" : (index + position) % 9 === 6 ? "invalid" : run.verdict;
        return { run: run.id, at: run.ended_at, verdict, why: why[verdict] };
      }),
    }));
  }

  report(run, session) {
    const result = [...this.results.values()].flat().find((each) => each.run === run.id);
    const shown = this.runs.show(run, session);
    const start = Date.parse(run.created_at) + 60 * SECOND;
    if (!result) return this.experimentReport(run, shown, start);
    let at = start;
    const phases = PHASES.filter((phase) => result.phases[phase] !== null).map((phase) => {
      const seconds = result.phases[phase];
      const budget = Math.round(result.objective.rto_seconds * SHARES[phase] * 1.1);
      const from = at;
      at += seconds * SECOND;
      return { name: phase, from: iso(from), until: iso(at), seconds, budget_seconds: budget, ok: seconds <= budget };
    });
    const end = at;
    const line = (value) => Array.from({ length: 90 }, (_, index) => [start - 30 * SECOND + (index * (end - start + 90 * SECOND)) / 90, value((index / 90) * (end - start + 90 * SECOND) - 30 * SECOND)]);
    const down = (offset) => offset > 0 && offset < end - start - (result.phases.verify ?? 0) * SECOND;
    const missed = result.missed;
    return {
      run: shown, verdict: result.verdict, why: result.verdict === "met" ? "Every objective and every check was met" : result.verdict === "aborted" ? run.reason : result.verdict === "tabletop" ? run.reason : `Missed: ${missed.join(", ")}`,
      objective: result.objective,
      measured: { rto_seconds: result.rto_seconds, rpo_seconds: result.rpo_seconds, lost_writes: result.lost_writes, acknowledged: result.rto_seconds === null ? null : 214, surviving: result.rto_seconds === null ? null : 214 - (result.lost_writes ?? 0), clock_offset_ms: 2 },
      phases,
      checks: result.rto_seconds === null ? [] : [
        { id: "data", ok: !missed.includes("rpo"), text: missed.includes("rpo") ? "7 acknowledged writes are not on the new primary" : "Every acknowledged write survived" },
        { id: "one_writer", ok: true, text: "Only shop-standby accepts writes" }, { id: "cleanup", ok: true, text: "The canary table is gone" },
      ],
      page: result.rto_seconds === null ? null : { page: "p000004", person: "ada", receiver: "on-call", sent_at: iso(start + 12 * SECOND), delivered_at: iso(start + 13.4 * SECOND), acked_at: iso(start + 31 * SECOND), ok: !missed.includes("ack"), why: missed.includes("ack") ? "acknowledged after 68 s, at most 60 s are allowed" : "delivered after 1.4 s, acknowledged after 17.6 s" },
      timeline: [{ at: iso(start - 60 * SECOND), text: "The drill began: canary writes every second" }, { at: iso(start), text: "shop-primary was killed; first failed journey" }, ...phases.map((phase) => ({ at: phase.until, text: `${phase.name} over after ${phase.seconds} s` })), { at: iso(end + 4 * SECOND), text: "Canary counted and removed" }],
      plots: result.rto_seconds === null ? [] : [
        { title: "Journey shop-order", unit: "s", series: [{ name: "duration", points: line((offset) => (down(offset) ? null : 0.09 + 0.02 * Math.sin(offset / 4000))) }], marks: [{ at: iso(start), text: "primary lost" }, { at: iso(end), text: "clean again" }] },
        { title: "Orders accepted", unit: "per s", series: [{ name: "primary", points: line((offset) => (offset > 0 ? 0 : 12)) }, { name: "standby", points: line((offset) => (down(offset) ? 0 : offset > 0 ? 11 + Math.sin(offset / 3000) : 0)) }], marks: [{ at: iso(start), text: "primary lost" }] },
      ],
    };
  }

  experimentReport(run, shown, start) {
    return {
      run: shown, verdict: run.verdict ?? run.state, why: run.verdict === "held" ? "The hypothesis held throughout" : run.reason, objective: null, measured: { affected: 214 }, phases: [
        { name: "baseline", from: iso(start), until: iso(start + 40 * SECOND), seconds: 40, budget_seconds: null, ok: true }, { name: "fault", from: iso(start + 40 * SECOND), until: iso(start + 84 * SECOND), seconds: 44, budget_seconds: null, ok: true }, { name: "recovery", from: iso(start + 84 * SECOND), until: iso(start + 120 * SECOND), seconds: 36, budget_seconds: null, ok: run.verdict === "held" },
      ],
      checks: [{ id: "in_effect", ok: true, text: "The proxy delayed 214 answers" }], page: null, timeline: run.log.map(({ at, text }) => ({ at, text })),
      plots: run.samples.map((sample) => ({ title: sample.probe, unit: "", series: [{ name: sample.probe, points: sample.points.map(([at, value]) => [at, value]) }], marks: [] })),
    };
  }
}
