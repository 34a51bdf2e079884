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
export function api(page, method, path, body) {
  return page.evaluate(
    async ([how, where, what]) => {
      const session = await (await fetch("/api/tocsin/v1/session")).json();
      const response = await fetch(where, { method: how, headers: { "content-type": "application/json", "x-tocsin-csrf": session.csrf ?? "" }, body: what === null ? null : JSON.stringify(what) });
      const text = await response.text();
      return { status: response.status, body: text === "" ? null : JSON.parse(text) };
    },
    [method, path, body ?? null],
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

/** Every screen of this release, as [name, path]. */
export const SCREENS = [
  ["overview", "/"],
  ["alerts", "/alerts"],
  ["silences", "/alerts/silences?show=all"],
  ["silence-form", "/alerts/silences?silence=service%3Dcheckout"],
  ["notifications", "/alerts/notifications"],
  ["rules", "/alerts/rules"],
  ["inbox", "/alerts/inbox"],
  ["explore", "/explore?expr=up"],
  ["explore-empty", "/explore"],
  ["explore-table", "/explore?expr=up&tab=table"],
  ["targets", "/explore/targets"],
  ["preferences", "/settings"],
  ["users", "/settings/users"],
  ["tokens", "/settings/tokens"],
  ["audit", "/settings/audit"],
];
