import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createConnection, createServer } from "node:net";
import { chromium } from "playwright-core";

const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** Returns the server under test: the one that TOCSIN_URL names, or a fresh mock. */
export async function server(options = {}) {
  const url = process.env.TOCSIN_URL;
  const name = process.env.TOCSIN_USER ?? "ada";
  const password = process.env.TOCSIN_PASSWORD ?? "ada";
  if (url) return { url: url.replace(/\/$/, ""), name, password, mock: false, stop: async () => {} };
  const { start } = await import("../mock/server.mjs");
  const mock = await start(options);
  return { ...mock, name, password, mock: true };
}

/** Opens a browser with a profile of its own and watches it for what no page of ours may do. */
export async function browser({ width = 1440, height = 900, theme = "dark", zone = "Europe/Berlin", touch = false } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "tocsin-web-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: FLAGS,
    viewport: { width, height },
    colorScheme: theme,
    timezoneId: zone,
    hasTouch: touch,
    reducedMotion: "reduce",
    bypassCSP: false,
  });
  const faults = { reports: [], foreign: [], errors: [] };
  await context.exposeBinding("reportViolation", (_source, violation) => {
    // Replacing highlighted text makes the browser itself write a style into the editor's line.
    if (!violation.includes("cm-line")) faults.reports.push(violation);
  });
  await context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      const target = event.target instanceof Element ? `${event.target.tagName}.${event.target.className}` : "";
      globalThis.reportViolation(`${event.violatedDirective} ${event.blockedURI} ${target} ${event.sourceFile}:${event.lineNumber}`);
    });
  });
  context.on("request", (request) => {
    const host = new URL(request.url()).hostname;
    if (host !== "" && host !== "127.0.0.1" && host !== "localhost" && host !== new URL(process.env.TOCSIN_URL ?? "http://127.0.0.1").hostname) faults.foreign.push(request.url());
  });
  context.on("weberror", (error) => faults.errors.push(String(error.error())));
  context.setDefaultTimeout(10_000);
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { context, faults, close, page: async () => context.pages()[0] ?? (await context.newPage()) };
}

/** Logs in through the form, unless the server asks for nothing. */
export async function logIn(page, under, path = "/", base = under.url) {
  await page.goto(base + path);
  const form = page.getByRole("heading", { name: "Log in to Tocsin" });
  const inside = page.locator("#main");
  await form.or(inside).first().waitFor();
  if (await form.isVisible()) {
    await page.getByLabel("Name").fill(under.name);
    await page.getByLabel("Password").fill(under.password);
    await page.getByRole("button", { name: "Log in" }).click();
    await inside.waitFor();
  }
  await page.locator("h1").first().waitFor();
}

/** Asks the API from inside the page, with its session. */
export function api(page, method, path, body, root = "") {
  return page.evaluate(
    async ([how, where, what, above]) => {
      const session = await (await fetch(`${above}/api/tocsin/v1/session`)).json();
      const asked = { method: how, headers: { "content-type": "application/json", "x-tocsin-csrf": session.csrf ?? "" } };
      if (what !== null) asked.body = JSON.stringify(what);
      const response = await fetch(where, asked);
      const text = await response.text();
      return { status: response.status, body: text === "" ? null : JSON.parse(text) };
    },
    [method, path, body ?? null, root],
  );
}

/** Waits until something holds, asking again and again. */
export async function until(what, ask, patience = 15_000) {
  const end = Date.now() + patience;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Returns an alert whose page nobody has acknowledged, breaking a service of the demo for it when none is there. */
export async function openAlert(page) {
  const find = async () => {
    const { body } = await api(page, "GET", "/api/tocsin/v1/alerts?state=firing&limit=500");
    return body.alerts?.find((alert) => alert.page?.state === "triggered" && alert.silenced_by.length === 0);
  };
  const there = await find();
  if (there) return there;
  const { body: demo } = await api(page, "GET", "/api/tocsin/v1/demo");
  for (const fault of demo?.services?.flatMap((service) => service.faults) ?? []) {
    await api(page, "POST", `/api/tocsin/v1/demo/faults/${fault.name}`, { active: true });
  }
  return until("an alert with an open page", find, 90_000);
}

/** Stands between browser and server, and can be cut like a cable. */
export async function cable(target) {
  const { hostname, port } = new URL(target);
  const sockets = new Set();
  let open = true;
  const proxy = createServer((near) => {
    if (!open) return near.destroy();
    const far = createConnection({ host: hostname, port: Number(port) });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
    return undefined;
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    open = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${proxy.address().port}`,
    cut,
    mend: () => {
      open = true;
    },
    stop: async () => {
      cut();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}

/** Returns the screens that show one thing, for what this server has: silences, objectives, documents, runs that wait in their ways, drills and their reports. */
export async function foundScreens(page) {
  const ask = async (path) => (await api(page, "GET", `/api/tocsin/v1${path}`)).body ?? {};
  const [{ objectives = [] }, { documents = [] }, { runs = [] }, { drills = [] }, { experiments = [] }, { silences = [] }] = await Promise.all(["/objectives", "/runbooks", "/runs?state=all&limit=200", "/drills", "/experiments", "/silences"].map(ask));
  const screens = [];
  const add = (name, thing, path) => thing && screens.push([name, path(thing)]);
  add("silence-change", silences.find((each) => each.state === "active"), (each) => `/alerts/silences?change=${each.id}`);
  add("silence-change-repeats", silences.find((each) => each.state !== "expired" && each.times.length > 0), (each) => `/alerts/silences?change=${each.id}`);
  add("objective", objectives.find((each) => each.budget.remaining_share < 0.5) ?? objectives[0], (each) => `/objectives/${encodeURIComponent(each.id)}`);
  add("objective-error", objectives.find((each) => each.error !== null), (each) => `/objectives/${encodeURIComponent(each.id)}`);
  add("objective-catching", objectives.find((each) => each.catching_up), (each) => `/objectives/${encodeURIComponent(each.id)}`);
  add("document", documents.find((each) => each.params.length > 0 && each.may_start) ?? documents[0], (each) => `/runs/documents/${encodeURIComponent(each.id)}`);
  add("document-start", documents.find((each) => each.params.length > 2 && each.may_start) ?? documents.find((each) => each.may_start), (each) => `/runs/documents/${encodeURIComponent(each.id)}?start=run`);
  add("document-stale", documents.find((each) => each.stale), (each) => `/runs/documents/${encodeURIComponent(each.id)}`);
  add("run-approval", runs.find((each) => each.needs.approvals), (each) => `/runs/${each.id}`);
  add("run-task", runs.find((each) => each.needs.human.length > 0), (each) => `/runs/${each.id}`);
  add("run-doubt", runs.find((each) => each.needs.settle.length > 0), (each) => `/runs/${each.id}`);
  add("run-experiment", runs.find((each) => each.kind === "experiment"), (each) => `/runs/${each.id}`);
  add("run-failed", runs.find((each) => ["failed", "undone", "undo_failed"].includes(each.state)), (each) => `/runs/${each.id}`);
  add("run-refused", runs.find((each) => each.state === "refused"), (each) => `/runs/${each.id}`);
  add("run-good", runs.find((each) => each.state === "succeeded"), (each) => `/runs/${each.id}`);
  add("drill-trend", drills.find((each) => each.results.length > 1), (each) => `/drills?open=${encodeURIComponent(each.document.id)}`);
  add("report", drills.flatMap((each) => each.results)[0], (each) => `/drills/${each.run}`);
  add("report-missed", drills.flatMap((each) => each.results).find((each) => each.verdict === "missed"), (each) => `/drills/${each.run}`);
  add("report-experiment", experiments.flatMap((each) => each.results)[0], (each) => `/drills/${each.run}`);
  return screens;
}

/** Every screen of this release, as [name, path]. */
export const SCREENS = [
  ["overview", "/"],
  ["alerts", "/alerts"],
  ["silences", "/alerts/silences?show=all"],
  ["silence-form", "/alerts/silences?silence=service%3Dcheckout"],
  ["notifications", "/alerts/notifications"],
  ["why", "/alerts/why?alert=severity%3Dcritical"],
  ["why-unknown", "/alerts/why?alert=NoSuchAlert%7Bteam%3D%22web%22%7D&at=2026-11-21T03%3A12%3A00Z"],
  ["rules", "/alerts/rules"],
  ["inbox", "/alerts/inbox"],
  ["explore", "/explore?expr=up"],
  ["explore-empty", "/explore"],
  ["explore-table", "/explore?expr=up&tab=table"],
  ["objectives", "/objectives"],
  ["runs", "/runs"],
  ["documents", "/runs/documents"],
  ["safety", "/runs/safety"],
  ["drills", "/drills"],
  ["targets", "/explore/targets"],
  ["series", "/explore/series"],
  ["series-new", "/explore/series?by=targets&sort=new"],
  ["series-metric", "/explore/series?metric=up"],
  ["preferences", "/settings"],
  ["users", "/settings/users"],
  ["tokens", "/settings/tokens"],
  ["audit", "/settings/audit"],
];
