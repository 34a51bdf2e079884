// The documents of the made-up world: what may be run, and what it would do.

const step = (id, kind, text, more = {}) => ({ id, kind, effect: "idempotent", class: "safe", undo: false, fault: false, on_fail: "abort", timeout_seconds: 30, text, ...more });
const param = (name, type, more = {}) => ({ name, type, required: false, default: null, min: null, max: null, values: null, of: null, ...more });
const trigger = (kind, text, mode, more = {}) => ({ kind, text, mode, effective_mode: mode, next_due: null, ...more });

const base = (id, kind, platform, slug, title, more) => ({
  id, kind, platform, slug, title, owner: `team-${platform}`, class: "disruptive", review_by: "2027-01-31T00:00:00Z", stale: false, file: `runbooks/${platform}/${slug}.yml`,
  may_start: true, why_not: null, params: [], triggers: [trigger("manual", "by hand, by an operator", "suggest")], steps: [], verify: [], guards: [], objective: null, schedule_next: null, experiment: null, approvals: 0, ...more,
});

export const DOCUMENTS = [
  base("demo-restart-worker", "runbook", "shop", "incident", "Restart the worker that no longer takes messages", {
    class: "disruptive", file: "runbooks/demo/restart-worker.yml", approvals: 1,
    params: [param("grace", "duration", { default: "10s", min: "1s", max: "2m" }), param("worker", "enum", { required: true, values: ["shop-worker", "shop-load"] })],
    triggers: [trigger("alert", "when QueueBacklog fires for service ingest", "approve"), trigger("manual", "by hand, by an operator", "suggest")],
    steps: [
      step("depth_before", "metric.check", "Reads how many messages wait", { class: "read", timeout_seconds: 10 }),
      step("stop", "proc.signal", "Sends TERM to the process shop-worker; its supervisor starts it anew", { class: "disruptive" }),
      step("back", "metric.wait", "Waits until up{job=\"shop-worker\"} is 1 for 15 s", { class: "read", timeout_seconds: 120, on_fail: "goto:tell" }),
      step("tell", "page.send", "Pages on-call when the worker did not come back", { effect: "keyed", on_fail: "continue" }),
    ],
    verify: ["The alert that asked must not fire for 1 min, within 5 min"],
    guards: [{ name: "lock", text: "one run at a time on shop/worker" }, { name: "cooldown", text: "at most 2 in 1 h" }, { name: "approvals", text: "1 of operator or sre-lead, within 10 min" }],
  }),
  base("demo-promote-database", "runbook", "shop", "disaster-recovery", "Promote the standby of the shop's database", {
    class: "destructive", file: "runbooks/demo/promote-database.yml", approvals: 1,
    objective: { rpo_seconds: 5, rto_seconds: 120 },
    params: [param("from", "name", { of: "database", required: true, default: "shop-primary" }), param("to", "name", { of: "database", required: true, default: "shop-standby" })],
    triggers: [trigger("alert", "when ReplicationLag fires for service ledger", "approve"), trigger("alert", "when ShopOrderJourneyFails fires", "auto", { effective_mode: "approve" }), trigger("manual", "by hand, by an SRE lead", "suggest")],
    steps: [
      step("fence", "proc.signal", "Stops the old primary, so that it accepts no more writes", { class: "destructive", effect: "probe" }),
      step("promote", "pg.promote", "Promotes shop-standby and waits until it accepts writes", { class: "destructive", effect: "probe", timeout_seconds: 60 }),
      step("look", "human.task", "Look at the order list of the shop: is the newest order there?", { class: "read", timeout_seconds: 600, effect: "once" }),
      step("one_writer", "sql.query", "Asks both databases which of them accepts writes: exactly one may", { class: "read", timeout_seconds: 10 }),
    ],
    verify: ["The journey shop-order succeeds 10 times in a row, within 3 min"],
    guards: [{ name: "lock", text: "one run at a time on shop/database" }, { name: "approvals", text: "1 of sre-lead, within 10 min" }, { name: "freeze", text: "honoured" }],
  }),
  base("demo-slow-database", "experiment", "shop", "chaos", "Orders keep their pace when the database slows by 80 ms", {
    file: "runbooks/demo/slow-database.yml",
    triggers: [trigger("schedule", "Wednesdays at 10:00 in Europe/Paris", "approve", { next_due: "2026-11-25T09:00:00Z" }), trigger("manual", "by hand, by an operator", "suggest")],
    steps: [
      step("baseline", "wait", "Watches the hypothesis for 1 min before anything is broken", { class: "read", timeout_seconds: 60 }),
      step("slow", "net.proxy", "Adds 80 ms ± 20 ms to all answers through the proxy shop-db, for at most 6 min", { class: "disruptive", fault: true, undo: true, effect: "keyed" }),
      step("watch", "wait", "Watches the hypothesis for 2 min while the fault acts", { class: "read", timeout_seconds: 120 }),
      step("heal", "net.proxy", "Takes the latency away and proves that it is gone", { undo: false, effect: "keyed" }),
      step("after", "wait", "Watches the hypothesis for 1 min more", { class: "read", timeout_seconds: 60 }),
    ],
    verify: ["The hypothesis holds again within 5 min"],
    guards: [{ name: "budget", text: "at least 50 % of checkout-availability is left" }, { name: "open_page", text: "no page of the platform is open" }],
    experiment: { hypothesis: ["p95 of orders stays under 400 ms", "errors stay under 1 %"], environment: "staging" },
    schedule_next: "2026-11-25T09:00:00Z",
  }),
  base("demo-lose-primary", "drill", "shop", "drill", "Lose the shop's primary database", {
    class: "destructive", file: "runbooks/demo/lose-primary.yml", approvals: 1, objective: { rpo_seconds: 5, rto_seconds: 120 },
    triggers: [trigger("schedule", "every 30 days", "suggest", { next_due: "2026-12-04T09:00:00Z" }), trigger("manual", "by hand, by an SRE lead", "suggest")],
    steps: [
      step("canary", "canary.start", "Writes a numbered row every second, and notes which were acknowledged", { class: "safe", effect: "keyed", undo: true }),
      step("lose", "proc.signal", "Kills the process of shop-primary", { class: "destructive", fault: true, effect: "probe" }),
      step("noticed", "journey.wait", "Waits for the first failed attempt of shop-order", { class: "read", timeout_seconds: 60 }),
      step("paged", "page.check", "Waits until on-call has acknowledged the page", { class: "read", timeout_seconds: 300 }),
      step("recover", "runbook.call", "Runs demo-promote-database", { class: "destructive", effect: "keyed", timeout_seconds: 300 }),
      step("clean", "journey.wait", "Waits for 10 clean attempts of shop-order in a row", { class: "read", timeout_seconds: 300 }),
      step("count", "canary.read", "Counts the canary rows that survived", { class: "read" }),
    ],
    verify: ["Every acknowledged canary row is counted", "Exactly one database accepts writes"],
    guards: [{ name: "approvals", text: "1 of sre-lead, within 10 min" }, { name: "open_page", text: "no page of the platform is open" }],
    schedule_next: "2026-12-04T09:00:00Z",
  }),
  base("demo-lose-queue", "drill", "shop", "drill", "Lose the queue of the shop", {
    file: "runbooks/demo/lose-queue.yml", objective: { rpo_seconds: 60, rto_seconds: 180 },
    triggers: [trigger("manual", "by hand, by an operator", "suggest")],
    steps: [
      step("pause", "proc.signal", "Stops the process shop-queue with SIGSTOP, for at most 3 min", { class: "disruptive", fault: true, undo: true, effect: "probe" }),
      step("noticed", "journey.wait", "Waits for the first failed attempt of shop-order", { class: "read", timeout_seconds: 60 }),
      step("recover", "runbook.call", "Runs demo-restart-worker", { effect: "keyed", timeout_seconds: 300 }),
      step("clean", "journey.wait", "Waits for 10 clean attempts of shop-order in a row", { class: "read", timeout_seconds: 300 }),
    ],
    verify: ["The queue is empty again within 5 min"],
    guards: [{ name: "lock", text: "one run at a time on shop/queue" }],
  }),
  base("dn-scale-out", "runbook", "dinner", "scaling", "Raise capacity of the booking API", {
    class: "safe", approvals: 0,
    params: [param("replicas", "int", { required: true, min: 10, max: 100 }), param("share", "float", { default: 0.5, min: 0.1, max: 0.9 }), param("wait", "bool", { default: true }), param("namespace", "enum", { values: ["booking", "booking-eu"], default: "booking" })],
    triggers: [trigger("alert", "when DnBacklogHigh fires for platform dinner", "auto"), trigger("schedule", "Fridays at 18:00 in Europe/Paris", "auto", { next_due: "2026-11-27T17:00:00Z" })],
    steps: [
      step("snapshot", "http.request", "Reads the floor of replicas now", { class: "read" }),
      step("raise_floor", "http.request", "Sets the floor to the number asked for", { undo: true }),
      step("wait_ready", "metric.wait", "Waits until dn_ready_replicas has reached it for 30 s", { class: "read", timeout_seconds: 480, on_fail: "goto:tell_human" }),
      step("tell_human", "page.send", "Pages booking-primary: capacity did not arrive", { effect: "keyed", on_fail: "continue" }),
    ],
    verify: ["The alert that asked must not fire for 5 min, within 15 min", "dn:error_ratio:5m < 0.05 for 2 min, within 10 min"],
    guards: [{ name: "lock", text: "one run at a time on dinner/booking-api, queued" }, { name: "rate", text: "at most 4 a day, 1 in 1 h" }, { name: "blast", text: "1 target, at most 100 % more" }],
    schedule_next: "2026-11-27T17:00:00Z",
  }),
  base("dn-tell-customers", "runbook", "dinner", "incident", "Tell guests that bookings are late", {
    class: "destructive", approvals: 2, stale: true, review_by: "2026-10-31T00:00:00Z", may_start: false, why_not: "Your role sre-lead may not start it: it asks for service-owner",
    params: [param("town", "enum", { required: true, values: ["paris", "lyon", "lille"] })],
    steps: [step("read", "sql.query", "Counts the bookings of the next two hours", { class: "read" }), step("send", "http.request", "Sends one message to each guest", { class: "destructive", effect: "once", timeout_seconds: 120 })],
    verify: [], guards: [{ name: "approvals", text: "2 of service-owner, not the starter, within 10 min" }],
  }),
  base("dn-dr-failover", "drill", "dinner", "drill", "Lose the Paris region", {
    class: "destructive", approvals: 2, objective: { rpo_seconds: 60, rto_seconds: 900 }, may_start: false, why_not: "A freeze of the platform dinner is on until 23 Nov",
    steps: [step("announce", "human.task", "Tell the guest desk that the drill begins", { class: "read", effect: "once" }), step("block", "net.proxy", "Cuts every proxy of the region", { class: "destructive", fault: true, undo: true, effect: "keyed" }), step("recover", "runbook.call", "Runs dn-disaster-recovery", { effect: "keyed", timeout_seconds: 900 })],
    verify: ["The journey dn-book succeeds 10 times in a row"], guards: [{ name: "approvals", text: "2 of sre-lead, not the starter" }],
  }),
  base("cn-disaster-recovery", "runbook", "cloudnative", "disaster-recovery", "Move the platform to its second region", {
    class: "destructive", approvals: 2, objective: { rpo_seconds: 900, rto_seconds: 3600 },
    params: [param("from", "enum", { required: true, values: ["eu-1", "eu-2"] }), param("to", "enum", { required: true, values: ["eu-1", "eu-2"] })],
    steps: [
      step("fence", "http.request", "Takes write access from the old region", { class: "destructive", undo: true, effect: "keyed" }),
      step("promote", "pg.promote", "Promotes the database of the other region", { class: "destructive", effect: "probe", timeout_seconds: 600 }),
      step("sign_off", "approval", "A second lead agrees before traffic moves", { class: "read", timeout_seconds: 600 }),
      step("traffic", "http.request", "Points the public name to the other region", { class: "disruptive", undo: true, effect: "keyed" }),
      step("capacity", "metric.wait", "Waits for 90 % of the capacity", { class: "read", timeout_seconds: 900 }),
    ],
    verify: ["The journey cn-login succeeds 10 times in a row, within 10 min"],
    guards: [{ name: "approvals", text: "2 of sre-lead, not the starter, within 10 min" }, { name: "freeze", text: "overridden with approval" }],
  }),
  base("cn-pod-loss", "experiment", "cloudnative", "chaos", "One replica less goes unnoticed", {
    steps: [step("baseline", "wait", "Watches for 3 min", { class: "read" }), step("stop", "proc.signal", "Stops one process of cn-api for 2 min", { class: "disruptive", fault: true, undo: true, effect: "probe" }), step("after", "wait", "Watches for 5 min", { class: "read" })],
    verify: ["The hypothesis holds again within 5 min"], experiment: { hypothesis: ["no log-in fails"], environment: "staging" },
  }),
  base("cn-region-blackhole", "drill", "cloudnative", "drill", "Lose region eu-1", {
    class: "destructive", approvals: 2, objective: { rpo_seconds: 900, rto_seconds: 3600 },
    steps: [step("talk", "human.task", "Walk through the runbook with the team", { class: "read", effect: "once", timeout_seconds: 3600 })],
  }),
  base("sp-auth-db-latency", "experiment", "strangeprompt", "chaos", "Log-in stays under 120 ms when its database slows", {
    steps: [step("slow", "net.proxy", "Adds 80 ms to the proxy auth-db", { class: "disruptive", fault: true, undo: true, effect: "keyed" }), step("watch", "wait", "Watches for 5 min", { class: "read" })],
    experiment: { hypothesis: ["p95 of log-in stays under 120 ms", "errors stay under 1 %"], environment: "production" },
  }),
];

/** Returns a document as YAML, roughly as somebody would have written it. */
export function sourceOf(document) {
  const kind = document.kind[0].toUpperCase() + document.kind.slice(1);
  const steps = document.steps.map((each) => `    - id: ${each.id}\n      kind: ${each.kind}\n      effect: ${each.effect}\n      timeout: ${each.timeout_seconds}s\n`).join("");
  return `apiVersion: tocsin/v1\nkind: ${kind}\nmetadata:\n  id: ${document.id}\n  platform: ${document.platform}\n  slug: ${document.slug}\n  title: ${document.title}\n  owner: ${document.owner}\nspec:\n  class: ${document.class}\n  steps:\n${steps}`;
}
