// Every screen in both themes and three widths: no barrier, no report of the content policy, no foreign request.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { test } from "node:test";
import { api, browser, foundScreens, logIn, openAlert, SCREENS, server } from "./support.mjs";

const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const SIZES = [
  [1440, 900],
  [390, 844],
  [320, 640],
];

// The policy of the page forbids scripts from outside, and should: axe runs in a world of its own.
async function barriers(page, rules = null) {
  const session = await page.context().newCDPSession(page);
  try {
    const { frameTree } = await session.send("Page.getFrameTree");
    const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe", grantUniveralAccess: true });
    await session.send("Runtime.evaluate", { expression: `${AXE};undefined`, contextId: executionContextId });
    const { result, exceptionDetails } = await session.send("Runtime.evaluate", {
      expression: `axe.run(document, { runOnly: ${JSON.stringify(rules ?? TAGS)} }).then((found) => JSON.stringify([...found.violations, ...(${rules !== null} ? found.incomplete.map((each) => ({ ...each, nodes: each.nodes.filter((node) => /gradient|image|pseudo/.test(node.any[0]?.message ?? "")) })).filter((each) => each.nodes.length > 0) : [])].map((each) => each.id + ": " + each.nodes.slice(0, 3).map((node) => node.target.join(" ") + " [" + (node.any[0]?.message ?? node.all[0]?.message ?? node.none[0]?.message ?? "") + "]").join(" | "))))`,
      contextId: executionContextId,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
    return JSON.parse(result.value);
  } finally {
    await session.detach();
  }
}

async function settled(page) {
  await page.locator("h1").first().waitFor({ state: "attached" });
  await page.waitForFunction(() => document.querySelector(".skeleton") === null, null, { timeout: 8000 }).catch(() => {});
  await page.waitForTimeout(250);
}

async function sideways(page) {
  return page.evaluate(() => {
    const main = document.querySelector(".main-scroll") ?? document.querySelector("main");
    const wide = Math.max(document.documentElement.scrollWidth - window.innerWidth, main ? main.scrollWidth - main.clientWidth : 0);
    return wide > 1 ? `${wide} px wider than the window` : null;
  });
}

async function look(page, name, found, below = true) {
  await settled(page);
  for (const each of await barriers(page)) found.push(`${name}: ${each}`);
  const wide = await sideways(page);
  if (wide) found.push(`${name}: ${wide}`);
  if (!below) return;
  // What lies below the fold counts as unseen, and what is cut by it as unknown: once more where everything fits.
  const { width, height } = page.viewportSize();
  await page.setViewportSize({ width, height: 3600 });
  await page.waitForTimeout(100);
  for (const each of await barriers(page, ["color-contrast"])) found.push(`${name} below the fold: ${each}`);
  await page.setViewportSize({ width, height });
}

for (const theme of ["dark", "light"]) {
  for (const [width, height] of SIZES) {
    test(`no barrier in ${theme} at ${width} px`, async (t) => {
      const under = await server();
      const opened = await browser({ width, height, theme });
      t.after(async () => {
        await opened.close();
        await under.stop();
      });
      const page = await opened.page();
      const found = [];
      await page.goto(under.url);
      await page.locator("h1").first().waitFor({ state: "attached" });
      await look(page, "login", found);
      await logIn(page, under);
      const alert = await openAlert(page);
      const screens = [...SCREENS, ...(await foundScreens(page)), ["alert", `/alerts?alert=${alert.fingerprint}`], ["alert-silence", `/alerts?alert=${alert.fingerprint}&silence=alertname%3D${alert.name}`], ["why-question", "/alerts/why"], ["why-alert", `/alerts/why?alert=${alert.fingerprint}`], ["why-error", "/alerts/why?alert=%7Bseverity"], ["query-error", "/explore?expr=sum(up"], ["no-such-page", "/nowhere"], ["no-such-alert", "/alerts?alert=ffffffffffffffff"]];
      for (const [name, path] of screens) {
        await page.goto(under.url + path);
        await look(page, name, found);
      }
      await page.goto(`${under.url}/alerts/silences?silence=alertname%3D${alert.name}`);
      for (const length of ["Until resolved", "Repeats"]) {
        await settled(page);
        await page.getByRole("button", { name: length }).click();
        await look(page, `silence ${length}`, found);
      }
      await page.goto(`${under.url}/alerts`);
      await settled(page);
      await page.getByRole("button", { name: /^Menu of/ }).locator("visible=true").click();
      await page.getByRole("menu").waitFor();
      await look(page, "menu", found);
      await page.keyboard.press("Escape");
      await page.keyboard.press("?");
      await page.getByRole("dialog").waitFor();
      await look(page, "help", found);
      await page.keyboard.press("Escape");
      await page.keyboard.press("Control+k");
      await page.getByRole("dialog").waitFor();
      await look(page, "palette", found);

      // What stands in for data that is missing, for all regions at once.
      await page.route("**/api/**", (route) => (route.request().url().includes("/session") || route.request().url().includes("/stream") ? route.continue() : route.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ type: "about:blank", title: "The store is closed", status: 503, detail: "for this test" }) })));
      for (const [name, path] of SCREENS.filter(([, path]) => !path.includes("expr"))) {
        await page.goto(under.url + path);
        await page.getByText(/Cannot show|Ask the metrics|About/).first().waitFor();
        await look(page, `failed ${name}`, found, false);
      }
      assert.deepEqual(found, []);
      assert.deepEqual(opened.faults.reports, [], "reports of the content policy");
      assert.deepEqual(opened.faults.foreign, [], "requests to other hosts");
      assert.deepEqual(opened.faults.errors, [], "errors of scripts");
    });
  }
}

test("empty lists say why they are empty", async (t) => {
  const under = await server();
  const opened = await browser({ width: 390, height: 844 });
  t.after(async () => {
    await opened.close();
    await under.stop();
  });
  const page = await opened.page();
  await logIn(page, under);
  const { body } = await api(page, "GET", "/api/tocsin/v1/overview");
  const none = { critical: 0, warning: 0, info: 0, other: 0 };
  const answers = {
    "/overview": { ...body, firing: none, acknowledged: 0, pending: 0, pages_open: 0, needs_you: [], services: [] },
    "/api/tocsin/v1/alerts": { server_time: new Date().toISOString(), total: 0, counts: { firing: 0, pending: 0, acknowledged: 0, silenced: 0, inhibited: 0, resolved: 0 }, alerts: [] },
    "/why": { at: new Date().toISOString(), from: new Date().toISOString(), to: new Date().toISOString(), alerts: [], more: 0, rules: [], way: [] },
    "/silences": { server_time: new Date().toISOString(), silences: [], remind_seconds: null },
    "/deliveries": { deliveries: [], next: null, counts: { pending: 0, delivered: 0, rejected: 0, expired: 0 } },
    "/rules": { status: "success", data: { groups: [] } },
    "/inbox": { messages: [] },
    "/objectives": { server_time: new Date().toISOString(), objectives: [] },
    "/runs": { runs: [], next: null, open: { running: 0, waiting: 0, needs_human: 0 } },
    "/runbooks": { server_time: new Date().toISOString(), documents: [] },
    "/freezes": { freezes: [] },
    "/drills": { drills: [] },
    "/experiments": { experiments: [] },
    "/journeys": { journeys: [] },
    "/targets": { server_time: new Date().toISOString(), jobs: [] },
  };
  await page.route("**/api/**", (route) => {
    const path = new URL(route.request().url()).pathname;
    const answer = Object.entries(answers).find(([end]) => path.endsWith(end));
    return answer ? route.fulfill({ json: answer[1] }) : route.continue();
  });
  const found = [];
  for (const [path, words] of [
    ["/", "Nothing waits for you"],
    ["/alerts", "Nothing is firing"],
    ["/alerts/silences", "Nothing is silenced"],
    ["/alerts/notifications", "Nothing was sent yet"],
    ["/alerts/why", "Name an alert"],
    ["/alerts/why?alert=Nothing", "No such alert is known"],
    ["/alerts/rules", "No rule is loaded"],
    ["/alerts/inbox", "No message yet"],
    ["/objectives", "No objective is loaded"],
    ["/runs", "Nothing has run yet"],
    ["/runs?state=open", "No run is open"],
    ["/runs/documents", "No document is loaded"],
    ["/runs/safety", "Nothing is frozen"],
    ["/drills", "No drill is written"],
    ["/explore/targets", "Nothing is scraped"],
  ]) {
    await page.goto(under.url + path);
    await page.getByText(words).first().waitFor();
    await look(page, `empty ${path}`, found);
  }
  assert.deepEqual(found, []);
});
