import { hash, randomFrom } from "./random.mjs";
import { endWaiting, firstSilences, mutes, silenceState } from "./silences.mjs";
import { Proof } from "./proof.mjs";
import { Runs } from "./runs.mjs";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const SERVICES = ["checkout", "payments", "search", "catalog", "identity", "ledger", "edge", "ingest", "mailer", "reports"];
const TEAMS = { checkout: "shop", payments: "money", search: "shop", catalog: "shop", identity: "platform", ledger: "money", edge: "platform", ingest: "data", mailer: "platform", reports: "data" };

const RULES = [
  ["HighErrorRate", "critical", "5xx share of {service} is {value} for 5 min", 'sum by (service) (rate(http_requests_total{code=~"5.."}[5m])) / sum by (service) (rate(http_requests_total[5m])) > 0.05', 120],
  ["LatencyBudgetBurn", "critical", "{service} burns its latency budget 14 times too fast", "slo:burn_rate:5m > 14.4 and slo:burn_rate:1h > 14.4", 120],
  ["InstanceDown", "critical", "{instance} has not answered for 3 min", "up == 0", 180],
  ["QueueBacklog", "warning", "{service} queue holds {value} messages", "queue_depth > 10000", 600],
  ["DiskWillFill", "warning", "Disk of {instance} is full within 4 h", "predict_linear(node_filesystem_avail_bytes[1h], 4 * 3600) < 0", 900],
  ["CertificateExpiresSoon", "warning", "Certificate of {service} ends in 9 days", "probe_ssl_earliest_cert_expiry - time() < 864000", 3600],
  ["PodRestarts", "warning", "{instance} restarted {value} times in 15 min", "increase(kube_pod_container_status_restarts_total[15m]) > 3", 0],
  ["ReplicationLag", "warning", "Replica {instance} is {value} s behind", "pg_replication_lag_seconds > 30", 300],
  ["BatchLate", "info", "Nightly batch of {service} is late", "time() - batch_last_success_timestamp_seconds > 90000", 600],
  ["Watchdog", "other", "Always firing: proves that the path works", "vector(1)", 0],
];

const FAULTS = [
  { name: "errors", title: "Answer with errors", description: "One request in three is answered with status 500." },
  { name: "slow", title: "Answer slowly", description: "Adds 1.5 s to each answer." },
  { name: "down", title: "Refuse scrapes", description: "The metrics endpoint closes the connection." },
];

const iso = (at) => new Date(at).toISOString();

/** Holds everything the mock server answers with, and moves it with time. */
/** One target stands at its limit, the others of its service have one too. */
function limited(service, index) {
  if (service !== "checkout") return { series_limit: null, series_held: null, series_refused: 0, series_refusal: "" };
  const refused = index === 1 ? 1840 : 0;
  return { series_limit: 5000, series_held: refused ? 5000 : 2210 + index, series_refused: refused, series_refusal: refused ? "the target has 5000 series, its limit" : "" };
}

export class World {
  constructor({ seed = 7, extra = 0, demo = true, now = Date.now() } = {}) {
    this.random = randomFrom(seed);
    this.demo = demo;
    this.now = now;
    this.started = now;
    this.alerts = new Map();
    this.pages = new Map();
    this.deliveries = [];
    this.silences = new Map();
    this.inbox = [];
    this.audit = [];
    this.users = [
      { name: "ada", role: "sre-lead", password: "ada", created_at: iso(now - 90 * 24 * HOUR), disabled: false },
      { name: "grace", role: "responder", password: "grace", created_at: iso(now - 60 * 24 * HOUR), disabled: false },
      { name: "edsger", role: "viewer", password: "edsger", created_at: iso(now - 30 * 24 * HOUR), disabled: true },
    ];
    this.tokens = [{ id: "t1", name: "ci", role: "operator", created_at: iso(now - 20 * 24 * HOUR), created_by: "ada", revoked_at: null }];
    this.faults = FAULTS.map((fault) => ({ ...fault, active: false }));
    this.counter = 0;
    this.changed = new Set();
    this.fill(extra);
    this.acts = new Runs(now, (topic, id) => this.touch(topic, id), seed);
    this.proof = new Proof(now, (topic, id) => this.touch(topic, id), this.acts);
    this.changed.clear();
  }

  id(prefix) {
    this.counter += 1;
    return `${prefix}${String(this.counter).padStart(6, "0")}`;
  }

  pick(list) {
    return list[Math.floor(this.random() * list.length)];
  }

  fill(extra) {
    const plan = [
      ["HighErrorRate", "checkout", 14], ["HighErrorRate", "payments", 9], ["LatencyBudgetBurn", "checkout", 12],
      ["InstanceDown", "search", 41], ["QueueBacklog", "ingest", 63], ["QueueBacklog", "mailer", 22],
      ["DiskWillFill", "ledger", 180], ["CertificateExpiresSoon", "edge", 1500], ["PodRestarts", "catalog", 7],
      ["PodRestarts", "catalog", 6], ["PodRestarts", "catalog", 4], ["ReplicationLag", "ledger", 33],
      ["BatchLate", "reports", 240], ["ReplicationLag", "identity", 18], ["Watchdog", "edge", 9000],
      ["QueueBacklog", "reports", 2], ["DiskWillFill", "ingest", 3], ["PodRestarts", "search", 1],
    ];
    plan.forEach(([rule, service, minutes], index) => this.raise(rule, service, minutes * MINUTE, index % 4));
    for (let index = 0; index < extra; index += 1) {
      this.raise(this.pick(RULES.slice(2, 8))[0], this.pick(SERVICES), this.random() * 40 * HOUR, index);
    }
    for (const [rule, service] of [["HighErrorRate", "search"], ["QueueBacklog", "edge"], ["InstanceDown", "reports"]]) {
      this.resolve(this.raise(rule, service, 5 * HOUR, 2), this.now - 4 * HOUR);
    }
    for (const alert of this.alerts.values()) {
      if (alert.name === "QueueBacklog" && alert.labels.service === "reports") Object.assign(alert, { state: "pending", fired_at: null });
      if (alert.name === "DiskWillFill" && alert.labels.service === "ingest") Object.assign(alert, { state: "pending", fired_at: null });
    }
    for (const silence of firstSilences(this.now)) this.addSilence(silence);
    for (const page of this.pages.values()) {
      if (page.title.includes("InstanceDown") && page.state === "triggered") this.acknowledge(page.id, "grace", this.now - 22 * MINUTE);
      if (page.title.includes("ReplicationLag") && page.state === "triggered") this.acknowledge(page.id, "ada", this.now - 9 * MINUTE);
    }
    const users = ["ada", "grace"];
    for (let index = 0; index < 40; index += 1) {
      this.audit.push({ at: iso(this.now - index * 37 * MINUTE), who: users[index % 2], action: this.pick(["page.acknowledge", "silence.create", "silence.expire", "session.create", "token.create"]), subject: this.pick(["page p000004", "silence s000031", "session", "token ci"]), outcome: index % 9 === 4 ? "refused" : "done", detail: index % 9 === 4 ? "wrong password" : "" });
    }
    this.changed.clear();
  }

  raise(rule, service, age, index) {
    const [name, severity, summary, expression, hold] = RULES.find((each) => each[0] === rule);
    const instance = `${service}-${index}:9100`;
    const value = { HighErrorRate: "0.1273", QueueBacklog: "18204", PodRestarts: "5", ReplicationLag: "48.2", InstanceDown: "0", LatencyBudgetBurn: "15.8" }[rule] ?? "1";
    const labels = { alertname: name, cluster: "fra-1", env: "prod", instance, job: service === "edge" ? "node" : `svc-${service}`, service, severity, team: TEAMS[service] };
    const fingerprint = (hash(JSON.stringify(labels) + rule) * 4096 + index).toString(16).padStart(16, "0");
    if (this.alerts.has(fingerprint)) return this.alerts.get(fingerprint);
    const start = this.now - age;
    const alert = {
      fingerprint, name, severity, state: "firing", labels,
      annotations: { summary: summary.replace("{service}", service).replace("{instance}", instance).replace("{value}", value), description: `Seen from ${labels.cluster}. Look at the last release of ${service} first: most causes were there.`, runbook_url: `https://runbooks.example.com/${name}` },
      value, active_at: iso(start - hold * 1000), fired_at: iso(start), resolved_at: null,
      silenced_by: [], inhibited_by: [], muted_by: [], unseen: null, flapping: name === "PodRestarts" && service === "catalog" && index === 0, receivers: [severity === "critical" ? "on-call" : "team-mail"], page: null,
      rule: { group: service, file: `rules/${service}.yaml`, expr: expression, for_seconds: hold }, generator_url: `/explore?expr=${encodeURIComponent(expression)}`,
      history: [{ at: iso(start), state: "firing" }, { at: iso(start - hold * 1000), state: "pending" }],
    };
    this.alerts.set(fingerprint, alert);
    if (name !== "Watchdog" && severity !== "info") this.page(alert, start);
    this.applySilences(alert);
    this.touch("alerts", fingerprint);
    return alert;
  }

  page(alert, at) {
    const key = `${alert.name}/${alert.labels.service}`;
    let page = [...this.pages.values()].find((each) => each.key === key && each.state !== "resolved");
    if (!page) {
      page = { id: this.id("p"), key, state: "triggered", title: `${alert.name} ${alert.labels.service}`, severity: alert.severity, receiver: alert.receivers[0], group_labels: { alertname: alert.name, service: alert.labels.service }, alerts: [], firing_count: 0, opened_at: iso(at), acknowledged_at: null, acknowledged_by: null, resolved_at: null, users: alert.severity === "critical" ? ["ada"] : [], version: 1, timeline: [{ at: iso(at), kind: "triggered", text: "Page opened", by: null }] };
      this.pages.set(page.id, page);
      this.deliver(page, "trigger", at + 2_000);
    }
    page.alerts.push(alert.fingerprint);
    page.firing_count += 1;
    alert.pageId = page.id;
    this.touch("pages", page.id);
  }

  deliver(page, action, at) {
    const channels = page.severity === "critical" ? ["pagerduty", "inbox"] : ["email", "slack"];
    for (const channel of channels) {
      const number = this.deliveries.length;
      const trouble = number % 11 === 7 ? "rejected" : number % 13 === 5 ? "pending" : "delivered";
      const attempts = trouble === "pending"
        ? [0, 1, 2].map((step) => ({ at: iso(at + step * 20_000), outcome: "retry", detail: "HTTP 503 from the endpoint: upstream unavailable", duration_ms: 1200 + step * 90 }))
        : trouble === "rejected"
          ? [{ at: iso(at), outcome: "rejected", detail: "HTTP 400: routing key is unknown", duration_ms: 88 }]
          : [...(number % 7 === 3 ? [{ at: iso(at), outcome: "retry", detail: "connection timed out after 10 s", duration_ms: 10_000 }] : []), { at: iso(at + 300), outcome: "delivered", detail: "HTTP 202", duration_ms: 140 + (number % 9) * 31 }];
      this.deliveries.unshift({ id: number + 1, key: `${page.id}/${action}/${channel}`, page_id: page.id, receiver: page.receiver, channel, action, title: page.title, state: trouble, created_at: iso(at), finished_at: trouble === "pending" ? null : iso(at + 500), next_attempt_at: trouble === "pending" ? iso(this.now + 40_000) : null, expires_at: iso(at + HOUR), attempts });
      if (channel === "inbox") {
        this.inbox.unshift({ id: this.id("m"), at: iso(at), receiver: page.receiver, title: `[${action === "resolve" ? "RESOLVED" : "FIRING:" + Math.max(1, page.firing_count)}] ${page.title}`, body: `${page.title}\nSeverity: ${page.severity}\nService: ${page.group_labels.service}\n\nLook at the last release first.`, status: action === "resolve" ? "resolved" : "firing", page_id: page.id });
        this.touch("inbox");
      }
    }
    this.deliveries.sort((left, right) => right.created_at.localeCompare(left.created_at));
    this.touch("deliveries");
  }

  resolve(alert, at = this.now) {
    Object.assign(alert, { state: "resolved", resolved_at: iso(at) });
    alert.history.unshift({ at: iso(at), state: "resolved" });
    const page = this.pages.get(alert.pageId);
    if (page && page.state !== "resolved") {
      page.firing_count = Math.max(0, page.firing_count - 1);
      if (page.firing_count === 0) {
        Object.assign(page, { state: "resolved", resolved_at: iso(at), version: page.version + 1 });
        page.timeline.unshift({ at: iso(at), kind: "resolved", text: "All alerts are resolved", by: null });
        this.deliver(page, "resolve", at);
        this.touch("pages", page.id);
      }
    }
    this.touch("alerts", alert.fingerprint);
  }

  acknowledge(id, by, at = this.now) {
    const page = this.pages.get(id);
    Object.assign(page, { state: "acknowledged", acknowledged_by: by, acknowledged_at: iso(at), version: page.version + 1 });
    page.timeline.unshift({ at: iso(at), kind: "acknowledged", text: "Acknowledged", by });
    this.audit.unshift({ at: iso(at), who: by, action: "page.acknowledge", subject: `page ${id}`, outcome: "done", detail: page.title });
    this.touch("pages", id);
    this.touch("alerts");
    return page;
  }

  unacknowledge(id, by) {
    const page = this.pages.get(id);
    Object.assign(page, { state: "triggered", acknowledged_by: null, acknowledged_at: null, version: page.version + 1 });
    page.timeline.unshift({ at: iso(this.now), kind: "unacknowledged", text: "Acknowledgement taken back", by });
    this.touch("pages", id);
    this.touch("alerts");
    return page;
  }

  addSilence(request) {
    const silence = { id: this.id("s"), updatedAt: iso(this.now), untilResolved: false, times: [], ended: null, owner: null, ...request };
    this.silences.set(silence.id, silence);
    this.silencesChanged(silence.id);
    return silence;
  }

  changeSilence(silence, part) {
    Object.assign(silence, part, { updatedAt: iso(this.now) });
    this.silencesChanged(silence.id);
  }

  endSilence(id, by = null, why = "person") {
    const silence = this.silences.get(id);
    if (!silence) return false;
    this.changeSilence(silence, { ended: { why, by, instead_of: silence.endsAt }, endsAt: iso(this.now) });
    return true;
  }

  silencesChanged(id) {
    for (const alert of this.alerts.values()) this.applySilences(alert);
    this.touch("silences", id);
    this.touch("alerts");
  }

  silenceState(silence) {
    return silenceState(silence, this.now);
  }

  applySilences(alert) {
    alert.silenced_by = [...this.silences.values()].filter((silence) => mutes(silence, alert, this.now)).map((silence) => silence.id);
  }

  /** Moves the world to `now` and returns what changed, as topics for the stream. */
  tick(now) {
    this.now = now;
    for (const alert of this.alerts.values()) {
      if (alert.name === "QueueBacklog" && alert.state === "firing") alert.value = String(18_000 + Math.round(4000 * Math.sin(now / 60_000)));
    }
    endWaiting(this);
    const states = [...this.silences.values()].map((silence) => this.silenceState(silence)).join();
    if (states !== this.silenceStates) {
      this.silenceStates = states;
      for (const alert of this.alerts.values()) this.applySilences(alert);
      this.touch("silences");
      this.touch("alerts");
    }
    if (this.random() < 0.08) {
      const flapping = [...this.alerts.values()].find((each) => each.name === "PodRestarts" && each.labels.service === "catalog" && each.state === "firing" && each.labels.instance === "catalog-2:9100");
      if (flapping) this.resolve(flapping);
    }
    if (this.random() < 0.1) this.touch("targets");
    this.acts.tick(now);
    this.proof.tick(now);
    const changes = [...this.changed].map((each) => JSON.parse(each));
    this.changed.clear();
    return changes;
  }

  touch(topic, id) {
    this.changed.add(JSON.stringify(id ? { topic, id } : { topic }));
  }

  setFault(name, active) {
    const fault = this.faults.find((each) => each.name === name);
    if (!fault) return false;
    fault.active = active;
    const rule = { errors: "HighErrorRate", slow: "LatencyBudgetBurn", down: "InstanceDown" }[name];
    if (active) this.raise(rule, "catalog", 0, 9 + (this.counter % 90));
    else for (const alert of this.alerts.values()) if (alert.name === rule && alert.labels.service === "catalog" && alert.state === "firing") this.resolve(alert);
    this.touch("demo");
    return true;
  }

  targets() {
    return SERVICES.map((service) => {
      const list = [0, 1, 2].map((index) => {
        const url = `http://10.2.${SERVICES.indexOf(service)}.${10 + index}:9100/metrics`;
        const down = (service === "search" && index === 1) || (service === "ledger" && index === 2);
        const unknown = service === "mailer" && index === 0;
        const age = (hash(url) % 14_000) + 500;
        return {
          url, health: unknown ? "unknown" : down ? "down" : "up",
          labels: { instance: `${service}-${index}:9100`, job: `svc-${service}`, cluster: "fra-1", env: "prod", service },
          discovered_labels: { __address__: url.slice(7, -8), __metrics_path__: "/metrics", __scheme__: "http", __scrape_interval__: "15s", __scrape_timeout__: "10s", __meta_file_path: `targets/${service}.json`, job: `svc-${service}` },
          last_scrape_at: unknown ? null : iso(this.now - age), last_duration_seconds: unknown ? 0 : down ? 10 : 0.004 + (hash(url) % 90) / 1000,
          last_error: down ? (index === 1 ? "context deadline exceeded: no answer within 10 s" : "connection refused by 10.2.5.12:9100") : "",
          samples: unknown || down ? 0 : 800 + (hash(url) % 1500), interval_seconds: 15, timeout_seconds: 10,
          ...limited(service, index),
        };
      });
      return { name: `svc-${service}`, up: list.filter((each) => each.health === "up").length, total: list.length, targets: list, dropped: service === "edge" ? 4 : 0 };
    });
  }

  rules() {
    return SERVICES.slice(0, 6).map((service, position) => ({
      name: service, file: `rules/${service}.yaml`, interval: 15, evaluationTime: 0.002 + position / 1000, lastEvaluation: iso(this.now - (this.now % 15_000)),
      rules: [
        { type: "recording", name: `service:request_rate:5m`, query: `sum by (service) (rate(http_requests_total{service="${service}"}[5m]))`, health: "ok", lastError: "", evaluationTime: 0.0008, lastEvaluation: iso(this.now - (this.now % 15_000)), labels: {} },
        ...RULES.slice(0, 9).filter((_, index) => (index + position) % 2 === 0).map(([name, severity, summary, query, hold], index) => {
          const active = [...this.alerts.values()].filter((each) => each.name === name && each.labels.service === service && each.state !== "resolved");
          const broken = service === "identity" && index === 1;
          return { type: "alerting", name, query, duration: hold, labels: { severity, team: TEAMS[service] }, annotations: { summary }, health: broken ? "err" : "ok", lastError: broken ? "many-to-many matching not allowed: found duplicate series for the match group {service=\"identity\"}" : "", state: active.some((each) => each.state === "firing") ? "firing" : active.length > 0 ? "pending" : "inactive", alerts: active.map((each) => ({ labels: each.labels, state: each.state, value: each.value, activeAt: each.active_at, annotations: each.annotations })), evaluationTime: 0.0011, lastEvaluation: iso(this.now - (this.now % 15_000)) };
        }),
      ],
    }));
  }

  pageRef(alert) {
    const page = this.pages.get(alert.pageId);
    return page ? { id: page.id, state: page.state, acknowledged_by: page.acknowledged_by, acknowledged_at: page.acknowledged_at } : null;
  }

  show(alert) {
    const { history: _history, pageId: _pageId, ...rest } = alert;
    return { ...rest, page: this.pageRef(alert) };
  }

  showPage(page) {
    const { key: _key, timeline: _timeline, ...rest } = page;
    return rest;
  }
}

export { SERVICES, iso, HOUR, MINUTE };
