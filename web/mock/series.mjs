// Who has the series: one metric of one target explodes, and is refused at its limit.
import { iso, MINUTE } from "./world.mjs";

const BASE = "/api/tocsin/v1";
const METRICS = [
  ["http_requests_total", 18_420, 9_130, 20_000],
  ["http_request_duration_seconds_bucket", 14_210, 240, null],
  ["container_memory_usage_bytes", 3_120, 88, null],
  ["go_memstats_alloc_bytes", 30, 0, null],
  ["process_open_fds", 30, 0, null],
  ["up", 30, 0, null],
  ["queue_depth", 24, 24, null],
];
const LABELS = [["request_id", 9_012, 9_012, 9_130], ["path", 412, 31, 32_600], ["le", 14, 0, 14_210], ["pod", 48, 3, 21_000], ["instance", 30, 0, 48_213], ["job", 10, 0, 48_213]];

function cardinality(world) {
  const jobs = world.targets();
  const targets = jobs.flatMap((job) => job.targets);
  const weight = (target) => (target.series_refused > 0 ? 11_320 : 900 + target.samples);
  const start = world.now - (world.now % (5 * MINUTE));
  const moments = Array.from({ length: 288 }, (_, index) => {
    const storm = index > 270 ? 320 + 40 * (index - 270) : 0;
    return { at: iso(start - (287 - index) * 5 * MINUTE), created: Math.round(14 + 10 * Math.sin(index / 20)) + storm, removed: 12, refused: index > 282 ? 9_200 : 0, series: 38_000 + storm * 8 };
  });
  return {
    server_time: iso(world.now), series: 48_213, series_limit: 5_000_000, new_series: 9_512, counted_since: moments[0].at,
    memory: { budget_bytes: 2 * 1024 ** 3, used_bytes: 1.71 * 1024 ** 3, counted_bytes: 1.1 * 1024 ** 3, level: "flush" },
    moments,
    metrics: METRICS.map(([name, series, fresh, limit]) => ({ name, series, new_series: fresh, limit })),
    labels: LABELS.map(([name, values, fresh, series]) => ({ name, values, new_values: fresh, series })),
    label_values: [["env", "prod", 48_213, 9_512], ["service", "checkout", 19_210, 9_180], ["path", "/api/v1/orders/{id}/items", 5_213, 40], ["le", "+Inf", 1_015, 17]].map(([name, value, series, fresh]) => ({ name, value, series, new_series: fresh })),
    jobs: jobs.map((job) => ({ job: job.name, series: job.targets.reduce((sum, target) => sum + weight(target), 0), new_series: job.name === "svc-checkout" ? 9_180 : 12 })).sort((left, right) => right.series - left.series),
    targets: targets.map((target) => ({ job: target.labels.job, instance: target.labels.instance, series: weight(target), new_series: target.series_refused > 0 ? 9_130 : 4, limit: target.series_limit, held: target.series_held, refused: target.series_refused })).sort((left, right) => right.series - left.series),
    refused: [{ job: "svc-checkout", metric: "http_requests_total", limit: "target", samples: 184_200, last_at: iso(world.now - 4_000) }, { job: "", metric: "", limit: "target", samples: 310, last_at: iso(world.now - 900_000) }],
  };
}

function metric(name) {
  const found = METRICS.find(([own]) => own === name);
  if (!found) return null;
  const [, series, , limit] = found;
  const top = (...values) => values.map(([value, count]) => ({ value, series: count }));
  const labels = [{ name: "request_id", values: Math.round(series * 0.49), top: top(["6f1c09a2", 2], ["7bd2e114", 2], ["a01c44d8", 1]) }, { name: "path", values: 41, top: top(["/api/v1/orders/{id}/items", 940], ["/health", 30]) }, { name: "instance", values: 3, top: top(["checkout-1:9100", Math.round(series * 0.6)], ["checkout-0:9100", Math.round(series * 0.2)]) }];
  return { name, series, seen: series, limit, labels: name === "up" ? labels.slice(2) : labels };
}

/** Answers what is asked about series; returns whether it was such a question. */
export function seriesRoutes({ request, url, world, json, problem }) {
  if (request.method !== "GET" || !url.pathname.startsWith(`${BASE}/cardinality`)) return false;
  if (url.pathname === `${BASE}/cardinality`) {
    json(200, cardinality(world));
    return true;
  }
  const name = decodeURIComponent(url.pathname.slice(`${BASE}/cardinality/metrics/`.length));
  const found = metric(name);
  if (found) json(200, found);
  else problem(404, "Not Found", `there is no series of a metric "${name}"`);
  return true;
}
