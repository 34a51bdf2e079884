import { hash } from "./random.mjs";
import { SERVICES } from "./world.mjs";

const METRICS = {
  up: ["gauge", "Whether the last scrape succeeded."],
  http_requests_total: ["counter", "Requests answered, by code."],
  http_request_duration_seconds_bucket: ["histogram", "Time to answer."],
  process_resident_memory_bytes: ["gauge", "Resident memory."],
  process_cpu_seconds_total: ["counter", "CPU time spent."],
  queue_depth: ["gauge", "Messages waiting."],
  pg_replication_lag_seconds: ["gauge", "How far the replica is behind."],
  node_filesystem_avail_bytes: ["gauge", "Bytes free for users."],
};

/** Returns where a query is broken in a way the mock understands, or null. */
export function fault(query) {
  const at = (start, end, text) => ({ position: { start, end }, error: `1:${start + 1}: parse error: ${text}` });
  if (query.trim() === "") return at(0, 0, "no expression found in input");
  const open = [];
  for (let index = 0; index < query.length; index += 1) {
    const char = query[index];
    if (char === '"') {
      const close = query.indexOf('"', index + 1);
      if (close < 0) return at(index, query.length, "unterminated quoted string");
      index = close;
    } else if ("([{".includes(char)) open.push(index);
    else if (")]}".includes(char) && open.pop() === undefined) return at(index, index + 1, `unexpected right parenthesis '${char}'`);
  }
  if (open.length > 0) return at(open[0], open[0] + 1, "unclosed left parenthesis");
  const tail = /[+\-*/]\s*$/.exec(query);
  if (tail) return at(tail.index, tail.index + 1, "unexpected end of input");
  return null;
}

function seriesOf(query) {
  const metric = Object.keys(METRICS).find((name) => query.includes(name)) ?? "";
  const by = /by\s*\(([^)]*)\)/.exec(query)?.[1].split(",").map((each) => each.trim()).filter(Boolean);
  if (/^[\d\s.+\-*/]+$/.test(query) || query.includes("vector(")) return [{}];
  if (metric === "" && !query.includes(":")) return [];
  const plain = /^[a-z_:]+(\{.*\})?$/i.test(query.trim());
  return SERVICES.flatMap((service) =>
    (by ? [0] : [0, 1, 2]).map((index) => {
      const all = { instance: `${service}-${index}:9100`, job: `svc-${service}`, service };
      const metricLabels = by ? Object.fromEntries(by.filter((each) => each in all).map((each) => [each, all[each]])) : all;
      return plain ? { __name__: metric, ...metricLabels } : metricLabels;
    }),
  ).filter((labels) => {
    const wanted = /service="([^"]+)"/.exec(query)?.[1];
    return !wanted || labels.service === wanted || labels.service === undefined;
  });
}

function valueAt(query, labels, at) {
  if (query.trim() === "up" || query.startsWith("up{")) return labels.service === "search" && labels.instance?.includes("-1:") ? 0 : 1;
  const salt = hash(JSON.stringify(labels) + query);
  const base = 40 + (salt % 60);
  const wave = Math.sin(at / (900 + (salt % 700))) * 12 + Math.sin(at / 137 + salt) * 4;
  const bump = labels.service === "checkout" ? 45 / (1 + Math.exp(-(at - (Date.now() / 1000 - 1100)) / 120)) : 0;
  return Math.max(0, base + wave + bump);
}

/** Answers the part of Prometheus' query API that the page uses, with made-up numbers. */
export function answer(path, parameters, now) {
  const query = parameters.get("query") ?? "";
  if (path === "/query" || path === "/query_range") {
    const broken = fault(query);
    if (broken) return [400, { status: "error", errorType: "bad_data", ...broken }];
    const series = seriesOf(query).slice(0, 60);
    if (path === "/query") {
      const at = Number(parameters.get("time") ?? now / 1000);
      if (/^[\d\s.+\-*/]+$/.test(query)) return [200, { status: "success", data: { resultType: "scalar", result: [at, "2"] } }];
      return [200, { status: "success", data: { resultType: "vector", result: series.map((metric) => ({ metric, value: [at, String(valueAt(query, metric, at))] })) } }];
    }
    const [start, end, step] = ["start", "end", "step"].map((name) => Number(parameters.get(name)));
    const result = series.map((metric) => {
      const values = [];
      for (let at = start; at <= end && values.length < 11_000; at += step) {
        const gone = metric.service === "ledger" && at > end - (end - start) * 0.4 && at < end - (end - start) * 0.3;
        if (!gone) values.push([at, String(valueAt(query, metric, at))]);
      }
      return { metric, values };
    });
    return [200, { status: "success", data: { resultType: "matrix", result }, infos: query.includes("rate(queue_depth") ? ["metric might not be a counter"] : undefined }];
  }
  if (path === "/labels") return [200, { status: "success", data: ["__name__", "alertname", "cluster", "env", "instance", "job", "service", "severity", "team"] }];
  const values = /^\/label\/([^/]+)\/values$/.exec(path);
  if (values) {
    const byName = { __name__: Object.keys(METRICS), service: SERVICES, job: SERVICES.map((each) => `svc-${each}`), severity: ["critical", "info", "warning"], env: ["prod"], cluster: ["fra-1"], team: ["data", "money", "platform", "shop"] };
    return [200, { status: "success", data: byName[values[1]] ?? [] }];
  }
  if (path === "/series") return [200, { status: "success", data: Object.keys(METRICS).flatMap((name) => SERVICES.map((service) => ({ __name__: name, service, job: `svc-${service}`, instance: `${service}-0:9100` }))) }];
  if (path === "/metadata") return [200, { status: "success", data: Object.fromEntries(Object.entries(METRICS).map(([name, [type, help]]) => [name, [{ type, help, unit: "" }]])) }];
  return [404, { status: "error", errorType: "not_found", error: "no such path" }];
}
