// Runs that move: each takes the steps of its document one after the other, and waits where a person must act.
import { DOCUMENTS, sourceOf } from "./documents.mjs";
import { hash, randomFrom } from "./random.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const iso = (at) => (at === null ? null : new Date(at).toISOString());
const ENDED = ["refused", "succeeded", "failed", "undone", "undo_failed"];
const RISING = ["viewer", "responder", "operator", "sre-lead"];
const reaches = (role, least) => RISING.includes(role) && RISING.indexOf(role) >= RISING.indexOf(least);
const hashOf = (text) => Array.from({ length: 8 }, (_, index) => hash(`${text}${index}`).toString(16).padStart(8, "0")).join("");

const ANSWERS = {
  "metric.check": '{"value": 18204}', "metric.wait": '{"value": 1, "held_seconds": 15}', "proc.signal": '{"pid": 48213, "signal": "TERM", "state": "gone"}', "pg.promote": '{"promoted": true, "took_ms": 2140}',
  "http.request": '{"status": 200, "body": {"minReplicas": 24}}', "sql.query": '{"rows": [["shop-standby", true], ["shop-primary", false]]}', "net.proxy": '{"affected": 214, "active": true}', "page.send": '{"page": "p000004"}',
};

export class Runs {
  constructor(now, touch, seed) {
    this.now = now;
    this.touch = touch;
    this.random = randomFrom(seed + 11);
    this.runs = [];
    this.count = 400;
    this.switches = { global: null, platforms: ["shop", "dinner", "cloudnative", "strangeprompt"].map((name) => ({ name, on: false, by: null, at: null, why: null })) };
    this.freezes = [
      { id: "f1", scope: "dinner", reason: "Weekend of the food fair: no change without the guest desk", starts: iso(now - 20 * HOUR), ends: iso(now + 44 * HOUR), by: "ada" },
      { id: "f2", scope: "*", reason: "End of the year", starts: iso(now + 30 * DAY), ends: iso(now + 44 * DAY), by: "grace" },
    ];
    this.seed();
  }

  document(id) {
    return DOCUMENTS.find((each) => each.id === id);
  }

  seed() {
    const past = ["demo-restart-worker", "dn-scale-out", "demo-slow-database", "dn-scale-out", "cn-disaster-recovery", "cn-pod-loss", "demo-promote-database"];
    for (let index = 0; index < 26; index += 1) {
      const id = past[index % past.length];
      const state = index === 3 ? "refused" : index === 5 ? "undone" : index === 9 ? "failed" : index === 16 ? "undo_failed" : index === 12 ? "refused" : "succeeded";
      this.finished(id, this.now - (index + 1) * 7.3 * HOUR, state, index);
    }
    const waiting = this.start(this.document("cn-disaster-recovery"), { from: "eu-1", to: "eu-2" }, "grace", { at: this.now - 4 * MINUTE, trigger: { kind: "alert", ref: null, text: "CnLoginJourneyFails fires for cn-login" } });
    waiting.approvals.push({ who: "edsger", role: "sre-lead", verdict: "approve", at: iso(this.now - 2 * MINUTE), step: "" });
    this.say(waiting, "approved", "Approved", { by: "edsger", at: this.now - 2 * MINUTE });

    const task = this.start(this.document("demo-promote-database"), { from: "shop-primary", to: "shop-standby" }, "grace", { at: this.now - 6 * MINUTE, approved: "grace", trigger: { kind: "alert", ref: null, text: "ReplicationLag fires for service ledger" } });
    this.play(task, 2, this.now - 6 * MINUTE, 70_000);
    const doubt = this.start({ ...this.document("dn-tell-customers"), approvals: 0 }, { town: "lyon" }, "grace", { at: this.now - 11 * MINUTE });
    this.play(doubt, 1, this.now - 11 * MINUTE, 40_000);
    Object.assign(doubt, { state: "needs_human", reason: "Tocsin was restarted while send was under way; nobody knows whether the messages left" });
    doubt.steps[1].state = "unknown";
    doubt.steps[1].phase_rows.push(this.attempt(doubt, 1, "do", 1, "unknown", this.now - 10 * MINUTE, this.now - 9 * MINUTE, "the process ended before the answer was stored"));
    this.say(doubt, "interrupted", "The process ended in the middle", { at: this.now - 9 * MINUTE });
    this.say(doubt, "needs_human", "send is never repeated: a person decides", { step: "send", at: this.now - 9 * MINUTE });

    const experiment = this.start(this.document("sp-auth-db-latency"), {}, "schedule", { at: this.now - 3 * MINUTE, trigger: { kind: "schedule", ref: null, text: "Wednesdays at 10:00 in Europe/Paris" } });
    this.play(experiment, 1, this.now - 3 * MINUTE, 20_000);
    experiment.plan[1].takes = 20 * MINUTE;
    const lock = this.start(this.document("dn-scale-out"), { replicas: "48", namespace: "booking" }, "trigger", { at: this.now - 50_000, trigger: { kind: "alert", ref: null, text: "DnBacklogHigh fires for platform dinner" } });
    Object.assign(lock, { state: "waiting", waiting: "lock", started_at: null, reason: "dinner/booking-api is held by a run of dn-deployment" });
    lock.held = true;
  }

  say(run, kind, text, { step = null, by = null, at = this.now } = {}) {
    run.log.push({ at: iso(at), kind, text, step, by });
  }

  attempt(run, index, phase, attempt, state, started, ended, error = null) {
    const { kind, id } = run.document.steps[index] ?? { kind: "metric.wait", id: "verify" };
    return {
      phase, attempt, state, started_at: iso(started), ended_at: iso(ended), due_at: null,
      request_text: `${kind}\n${JSON.stringify({ step: id, ...run.params }, null, 2)}`,
      response_text: state === "succeeded" ? (ANSWERS[kind] ?? '{"ok": true}') : state === "failed" ? '{"status": 503, "body": "upstream unavailable"}' : "", error,
    };
  }

  start(document, params, starter, { at = this.now, dry = false, approved = null, trigger = { kind: "manual", ref: null, text: `by hand, by ${starter}` }, reason = "" } = {}) {
    this.count += 1;
    const run = {
      id: `r${String(this.count).padStart(6, "0")}`, kind: document.kind, doc_id: document.id, title: document.title, platform: document.platform, state: "running", waiting: null, verdict: null, reason, mode: trigger.kind === "manual" ? "manual" : "approve", dry_run: dry,
      starter, trigger, params, targets: document.class === "read" ? [] : [`${document.platform}-${document.steps[0]?.kind.startsWith("proc") ? "worker" : "db"}`], created_at: iso(at), started_at: null, ended_at: null, refused_by: null, parent: null,
      document, needed: approved ? 0 : document.approvals, approvals: [], log: [], undos: [], samples: [], index: 0, plan: document.steps.map((each, position) => ({ takes: /human|approval/.test(each.kind) ? null : 3500 + (hash(each.id + position) % 3000) })),
      steps: document.steps.map((each) => ({ id: each.id, kind: each.kind, effect: each.effect, state: "pending", phase_rows: [] })), stepAt: at, verifyAt: null,
    };
    this.runs.unshift(run);
    this.say(run, "requested", trigger.kind === "manual" ? "Asked for by hand" : `Asked for: ${trigger.text}`, { by: starter, at });
    this.say(run, "guards", "Every guard has passed", { at: at + 40 });
    if (document.kind === "experiment") run.samples = document.experiment.hypothesis.map((probe) => ({ probe, points: [] }));
    if (dry) {
      Object.assign(run, { state: "succeeded", started_at: iso(at), ended_at: iso(at + 60), reason: "Dry run: the guards have passed, nothing was done" });
      this.say(run, "ended", "Dry run ends here", { at: at + 60 });
    } else if (run.needed > 0) {
      Object.assign(run, { state: "waiting", waiting: "approval", reason: `Waits for ${run.needed} approval${run.needed > 1 ? "s" : ""}` });
      this.say(run, "waiting", run.reason, { at: at + 60 });
    } else run.started_at = iso(at + 100);
    if (approved) {
      run.approvals.push({ who: "ada", role: "sre-lead", verdict: "approve", at: iso(at + 20_000), step: "" });
      this.say(run, "approved", "Approved", { by: "ada", at: at + 20_000 });
    }
    this.touch("runs", run.id);
    return run;
  }

  /** Lets the first steps of a run be over, `each` milliseconds apart. */
  play(run, steps, from, each) {
    for (let index = 0; index < steps; index += 1) {
      const begun = from + 30_000 + index * each;
      if (index === 0 && run.doc_id === "demo-promote-database") {
        run.steps[0].phase_rows.push(this.attempt(run, 0, "do", 1, "failed", begun, begun + 4000, "the process did not end within 4 s"));
        this.say(run, "attempt", "fence failed: the process did not end within 4 s; once more in 2 s", { step: "fence", at: begun + 4000 });
      }
      const attempt = run.steps[index].phase_rows.length + 1;
      run.steps[index].phase_rows.push(this.attempt(run, index, "do", attempt, "succeeded", begun + (attempt - 1) * 6000, begun + each * 0.6));
      run.steps[index].state = "succeeded";
      this.say(run, "step", `${run.steps[index].id} succeeded`, { step: run.steps[index].id, at: begun + each * 0.6 });
      if (run.document.steps[index].undo) run.undos.push({ id: `u${run.id}${index}`, step: run.steps[index].id, state: "armed", deadline: run.document.steps[index].fault ? iso(this.now + 9 * MINUTE) : null, verified_at: null });
    }
    run.index = steps;
    run.stepAt = from + 30_000 + steps * each;
    run.started_at ??= iso(from);
  }

  finished(id, at, state, index) {
    const document = this.document(id);
    const params = id === "dn-scale-out" ? { replicas: String(24 + index), namespace: "booking" } : id === "demo-restart-worker" ? { worker: "shop-worker", grace: "10s" } : {};
    const run = this.start({ ...document, approvals: 0 }, params, index % 3 === 0 ? "trigger" : "grace", { at, ...(index % 3 === 0 ? { trigger: { kind: "alert", ref: null, text: document.triggers[0].text.replace("when ", "") } } : {}) });
    run.document = document;
    if (state === "refused") {
      Object.assign(run, { state, refused_by: index === 3 ? "freeze" : "rate", reason: index === 3 ? "The platform is frozen until 23 Nov 08:00 UTC: weekend of the food fair" : "1 run in the last 1 h, and at most 1 is allowed", ended_at: iso(at + 30), started_at: null });
      run.log = [run.log[0], { at: iso(at + 30), kind: "refused", text: run.reason, step: null, by: null }];
      return run;
    }
    const good = state === "succeeded";
    const done = good ? document.steps.length : Math.max(1, document.steps.length - 2);
    this.play(run, done, at, 9000);
    if (!good) {
      const last = run.steps[done] ?? run.steps.at(-1);
      last.state = "failed";
      last.phase_rows = [1, 2, 3].map((attempt) => this.attempt(run, done, "do", attempt, "failed", at + 30_000 + done * 9000 + attempt * 9000, at + 36_000 + done * 9000 + attempt * 9000, "HTTP 503 from the other side: upstream unavailable"));
      for (const step of run.steps.slice(done + 1)) step.state = "skipped";
      run.undos = run.undos.map((each) => ({ ...each, state: state === "failed" ? "released" : state === "undone" ? "undone" : "failed", verified_at: state === "undone" ? iso(at + 3 * MINUTE) : null }));
    }
    const end = at + 30_000 + document.steps.length * 9000 + (index % 5) * 47_000;
    Object.assign(run, { state, ended_at: iso(end), reason: good ? "Verified" : state === "undone" ? "Step after step failed; what was done is undone" : state === "undo_failed" ? "An undo could not be verified: look at it by hand" : "A step failed three times" });
    if (document.kind === "experiment") {
      run.verdict = good ? "held" : "broken";
      for (const sample of run.samples) sample.points = Array.from({ length: 60 }, (_, point) => [at + point * 2000, 0.2 + 0.12 * Math.sin(point / 5) + (point > 22 && point < 44 ? 0.25 : 0), !(point > 30 && point < 36 && !good)]);
    }
    this.say(run, "ended", run.reason, { at: end });
    return run;
  }

  /** Moves every open run to `now`. */
  tick(now) {
    this.now = now;
    for (const run of this.runs.filter((each) => !ENDED.includes(each.state))) this.advance(run);
  }

  advance(run) {
    if (run.samples.length > 0 && run.state === "running" && this.now - (run.sampledAt ?? 0) > 2000) {
      run.sampledAt = this.now;
      run.samples.forEach((sample, index) => {
        if (sample.points.length === 0) for (let back = 70; back > 0; back -= 1) sample.points.push([this.now - back * 2000, (index === 0 ? 0.07 : 0.002) * (1 + 0.2 * Math.sin(back / 6)) + (back < 45 && index === 0 ? 0.03 : 0), true]);
        const value = (index === 0 ? 0.1 : 0.002) * (1 + 0.15 * Math.sin(this.now / 9000));
        sample.points = [...sample.points.slice(-200), [this.now, value, value < 0.12]];
      });
      this.touch("runs", run.id);
    }
    if (run.state === "cancelling" && this.now - run.stepAt > 1500) return this.unwind(run);
    if (run.state === "undoing" && this.now - run.stepAt > 1500) {
      for (const undo of run.undos) Object.assign(undo, { state: "undone", verified_at: iso(this.now) });
      for (const step of run.steps) if (run.undos.some((undo) => undo.step === step.id)) step.state = "undone";
      return this.end(run, "undone", run.undos.length > 0 ? "Cancelled; what was done is undone" : "Cancelled before anything had to be undone");
    }
    if (run.state === "verifying" && this.now - run.stepAt > 4000) return this.end(run, "succeeded", run.document.verify.length > 0 ? "Verified" : "Every step is done");
    if (run.state !== "running") return undefined;
    const step = run.steps[run.index];
    if (!step) {
      Object.assign(run, { state: "verifying", stepAt: this.now });
      this.say(run, "verifying", run.document.verify[0] ?? "Nothing is to be verified");
      return this.touch("runs", run.id);
    }
    if (step.state === "pending") {
      Object.assign(step, { state: "running" });
      run.stepAt = this.now;
      run.started_at ??= iso(this.now);
      step.phase_rows.push({ ...this.attempt(run, run.index, "do", 1, "issued", this.now, null), response_text: "" });
      this.say(run, "step", `${step.id} begins`, { step: step.id });
      return this.touch("runs", run.id);
    }
    const { takes } = run.plan[run.index];
    if (step.state === "running" && takes !== null && this.now - run.stepAt > takes) this.complete(run, step);
    return undefined;
  }

  complete(run, step) {
    const row = step.phase_rows.at(-1);
    Object.assign(row, { state: "succeeded", ended_at: iso(this.now), response_text: ANSWERS[step.kind] ?? '{"ok": true}' });
    step.state = "succeeded";
    if (run.document.steps[run.index].undo) run.undos.push({ id: `u${run.id}${run.index}`, step: step.id, state: "armed", deadline: null, verified_at: null });
    this.say(run, "step", `${step.id} succeeded`, { step: step.id });
    run.index += 1;
    // Where the way goes on well, the steps that tell of a failure have nothing to do.
    while (run.steps[run.index] && run.steps[run.index].id.startsWith("tell")) {
      run.steps[run.index].state = "skipped";
      run.index += 1;
    }
    this.touch("runs", run.id);
  }

  unwind(run) {
    Object.assign(run, { state: "undoing", stepAt: this.now });
    for (const undo of run.undos) undo.state = "started";
    for (const step of run.steps.slice(run.index)) step.state = "skipped";
    this.say(run, "undoing", "Takes back what was done, last first");
    this.touch("runs", run.id);
  }

  end(run, state, reason) {
    Object.assign(run, { state, reason, waiting: null, ended_at: iso(this.now) });
    if (state === "succeeded") for (const undo of run.undos) undo.state = "released";
    if (run.kind === "experiment" && state === "succeeded") run.verdict = "held";
    if (run.kind === "drill" && state === "succeeded") run.verdict = "met";
    this.say(run, "ended", reason);
    this.touch("runs", run.id);
  }

  vote(run, session, { verdict, subject_hash: subject, step }) {
    if (subject !== this.subject(run, step)) return { status: 409, title: "What is to be approved has changed", detail: "Look at it again before you approve." };
    run.approvals.push({ who: session.name, role: session.role, verdict, at: iso(this.now), step });
    this.say(run, verdict === "approve" ? "approved" : "denied", verdict === "approve" ? "Approved" : "Denied", { by: session.name, step: step || null });
    if (verdict === "deny") this.end(run, "failed", `Denied by ${session.name}`);
    else if (step !== "") this.complete(run, run.steps[run.index]);
    else if (run.approvals.filter((each) => each.step === "").length >= run.needed) Object.assign(run, { state: "running", waiting: null, started_at: iso(this.now), reason: "" });
    this.touch("runs", run.id);
    return null;
  }

  steer(run, session, how) {
    const open = !ENDED.includes(run.state);
    if (!open || (how === "resume") !== (run.state === "paused" && how === "resume")) return { status: 409, title: `A run that is ${run.state} cannot be ${how === "pause" ? "paused" : how === "resume" ? "resumed" : "cancelled"}`, detail: "" };
    if (how === "pause") Object.assign(run, { state: "paused", reason: `Paused by ${session.name}` });
    if (how === "resume") Object.assign(run, { state: "running", reason: "" });
    if (how === "cancel") {
      Object.assign(run, { state: run.started_at ? "cancelling" : "undoing", waiting: null, stepAt: this.now, reason: `Cancelled by ${session.name}` });
      for (const step of run.steps) if (step.state === "running") step.state = "skipped";
    }
    this.say(run, how, { pause: "Paused: no further step begins", resume: "Goes on", cancel: "Cancelled" }[how], { by: session.name });
    this.touch("runs", run.id);
    return null;
  }

  human(run, session, { step, done, evidence }) {
    const at = run.steps[run.index];
    if (at?.id !== step) return { status: 409, title: "The task is over", detail: "Somebody else was first." };
    this.say(run, "human", done ? "Done" : "Could not be done", { step, by: session.name });
    if (done) {
      this.complete(run, at);
      at.phase_rows.at(-1).response_text = JSON.stringify({ done, evidence });
    } else {
      at.state = "failed";
      this.end(run, "failed", `${session.name} could not do the task`);
    }
    return null;
  }

  settle(run, session, { step, verdict }) {
    const at = run.steps.find((each) => each.id === step);
    if (at?.state !== "unknown") return { status: 409, title: "The step is not in doubt", detail: "" };
    this.say(run, "settled", { done: "It happened", retry: "It is to be done again", undo: "The run is to be undone" }[verdict], { step, by: session.name });
    Object.assign(run, { state: verdict === "undo" ? "cancelling" : "running", stepAt: this.now, reason: "" });
    at.state = verdict === "done" ? "succeeded" : verdict === "retry" ? "pending" : "skipped";
    if (verdict === "done") run.index += 1;
    this.touch("runs", run.id);
    return null;
  }

  subject(run, step) {
    return hashOf(`${run.doc_id}${JSON.stringify(run.params)}${step}`);
  }

  needs(run, session) {
    const current = run.steps[run.index];
    const asks = run.waiting === "approval" ? "" : run.state === "running" && current?.kind === "approval" && current.state === "running" ? current.id : null;
    const voted = run.approvals.some((each) => each.who === session.name && each.step === (asks ?? ""));
    const why = !reaches(session.role, "operator") ? "An approval needs the role operator or sre-lead" : voted ? "You have voted already" : run.document.approvals > 1 && run.starter === session.name ? "You started the run: somebody else must approve it" : null;
    const human = run.state === "running" && current?.kind === "human.task" && current.state === "running" ? [{ step: current.id, attempt: 1, title: "Look at the shop", instructions: `${run.document.steps[run.index].text}\n\n1. Open the order list.\n2. Compare the newest order with the one in the queue.\n3. Write its number down as evidence.`, evidence: true, roles: ["operator", "sre-lead"], may_do: reaches(session.role, "operator") }] : [];
    return {
      approvals: asks === null ? null : { have: run.approvals.filter((each) => each.step === asks && each.verdict === "approve").length, count: asks === "" ? run.needed : 1, roles: ["operator", "sre-lead"], until: iso(Date.parse(run.created_at) + 10 * MINUTE), subject_hash: this.subject(run, asks), may_vote: why === null, why_not: why, step: asks },
      human, settle: run.state === "needs_human" ? run.steps.filter((each) => each.state === "unknown").map((each) => each.id) : [],
    };
  }

  show(run, session) {
    const { document: _document, needed: _needed, approvals: _approvals, log: _log, undos: _undos, samples: _samples, index: _index, plan: _plan, steps, stepAt: _stepAt, verifyAt: _verifyAt, sampledAt: _sampledAt, held: _held, ...rest } = run;
    const done = steps.filter((each) => ["succeeded", "skipped", "undone"].includes(each.state)).length;
    return { ...rest, progress: { done, total: steps.length, current: ENDED.includes(run.state) ? null : (steps.find((each) => ["running", "unknown"].includes(each.state))?.id ?? null) }, needs: this.needs(run, session), may_cancel: reaches(session.role, "operator") && !ENDED.includes(run.state) };
  }

  detail(run, session) {
    return { ...this.show(run, session), document: this.showDocument(run.document, session), steps: run.steps, log: run.log, approvals: run.approvals, undos: run.undos, samples: run.samples, children: [] };
  }

  showDocument(document, session) {
    const { approvals: _approvals, ...rest } = document;
    const own = this.runs.filter((each) => each.doc_id === document.id);
    const last = own.find((each) => ENDED.includes(each.state) && each.state !== "refused");
    const month = own.filter((each) => this.now - Date.parse(each.created_at) < 30 * DAY);
    const count = (states) => month.filter((each) => states.includes(each.state)).length;
    const may = reaches(session.role, "operator");
    return {
      ...rest, hash: hashOf(document.id), may_start: document.may_start && may, why_not: document.why_not ?? (may ? null : `Starting needs the role operator; yours is ${session.role}`),
      last_run: last ? { id: last.id, state: last.state, verdict: last.verdict, ended_at: last.ended_at } : null,
      runs_30d: { succeeded: count(["succeeded"]), failed: count(["failed", "undone", "undo_failed"]), refused: count(["refused"]) },
    };
  }

  list(session, parameters) {
    const filter = (name, key = name) => (run) => !parameters.get(name) || run[key] === parameters.get(name);
    const states = { open: (run) => !ENDED.includes(run.state), ended: (run) => ENDED.includes(run.state) && run.state !== "refused", refused: (run) => run.state === "refused" };
    const hit = this.runs.filter(states[parameters.get("state")] ?? (() => true)).filter(filter("kind")).filter(filter("doc", "doc_id")).filter(filter("platform")).toSorted((left, right) => right.created_at.localeCompare(left.created_at));
    const limit = Number(parameters.get("limit") ?? 100);
    const from = parameters.get("before") ? hit.findIndex((each) => each.id === parameters.get("before")) + 1 : 0;
    const open = this.runs.filter((each) => !ENDED.includes(each.state)).map((each) => [each, this.needs(each, session)]);
    const person = open.filter(([run, needs]) => run.state === "needs_human" || needs.human.length > 0).length;
    const waiting = open.filter(([run]) => run.state === "waiting").length;
    return { runs: hit.slice(from, from + limit).map((each) => this.show(each, session)), next: from + limit < hit.length ? hit[from + limit - 1].id : null, open: { running: open.length - person - waiting, waiting, needs_human: person } };
  }

  suggestions(alert) {
    if (!alert) return [];
    return DOCUMENTS.filter((each) => each.triggers.some((trigger) => trigger.kind === "alert" && trigger.text.includes(alert.name) && (trigger.text.includes("platform") || trigger.text.includes(alert.labels.service)))).map((each) => ({
      doc_id: each.id, title: each.title, mode: each.triggers[0].effective_mode, why: `${alert.name} fires for service ${alert.labels.service}`, params: each.id === "demo-restart-worker" ? { worker: "shop-worker" } : {},
    }));
  }

  turn({ platform, on, why }, session) {
    const state = { on, by: session.name, at: iso(this.now), why: why || null };
    if (platform === null) this.switches.global = state;
    else Object.assign(this.switches.platforms.find((each) => each.name === platform) ?? {}, state);
    this.touch("runs");
    return this.switches;
  }
}

export { DOCUMENTS, sourceOf, reaches };
