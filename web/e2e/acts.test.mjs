// Runs, objectives and drills, against the mock or against the server that TOCSIN_URL names: whatever documents it has.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, logIn, openAlert, server, until } from "./support.mjs";

const PHONE = { width: 390, height: 844, touch: true };
const API = "/api/tocsin/v1";
const ENDED = ["refused", "succeeded", "failed", "undone", "undo_failed"];

async function stage(t, options = {}, path = "/") {
  const under = await server();
  const opened = await browser(options);
  t.after(async () => {
    await opened.close();
    await under.stop();
  });
  const page = await opened.page();
  await logIn(page, under, path);
  return { under, page, base: under.url, faults: opened.faults };
}

const ask = async (page, path) => (await api(page, "GET", API + path)).body;

/** Returns a value for a parameter that must have one, or null when only the inventory knows. */
function valueFor(param) {
  if (param.default !== null || !param.required) return "";
  if (param.type === "enum") return param.values[0];
  if (param.type === "bool") return "true";
  if (param.type === "int" || param.type === "float") return String(param.min ?? 1);
  return param.type === "duration" ? (typeof param.min === "string" ? param.min : "30s") : null;
}

/** Returns documents that the reader may start with values that can be made up, the gentle ones first. */
async function startable(page, fits = () => true) {
  const { documents } = await ask(page, "/runbooks");
  const rank = ["read", "safe", "disruptive", "destructive"];
  return documents.filter((each) => each.may_start && each.kind === "runbook" && each.params.every((param) => valueFor(param) !== null) && fits(each)).sort((left, right) => rank.indexOf(left.class) - rank.indexOf(right.class));
}

const waits = (document) => document.guards.some((guard) => guard.name === "approvals");

async function openForm(page, base, document) {
  await page.goto(`${base}/runs/documents/${encodeURIComponent(document.id)}`);
  await page.getByRole("button", { name: /^Start/ }).click();
  const form = page.getByRole("dialog", { name: "Start a run" });
  await form.waitFor();
  for (const param of document.params) {
    const value = valueFor(param);
    if (value === "") continue;
    const field = form.getByLabel(param.name, { exact: true });
    await (param.type === "enum" || param.type === "bool" ? field.selectOption(value) : field.fill(value));
  }
  return form;
}

const runAt = (page) => new URL(page.url()).pathname.split("/").at(-1);

async function freed(t, page) {
  t.after(async () => {
    const state = await ask(page, "/kill-switch").catch(() => null);
    if (!state) return;
    for (const platform of [...(state.global?.on ? [null] : []), ...state.platforms.filter((each) => each.on).map((each) => each.name)]) {
      await api(page, "PUT", `${API}/kill-switch`, { platform, on: false, why: "end of a test" });
    }
  });
}

test("objectives lead to their burn-down and their limits", async (t) => {
  const { page, base, faults } = await stage(t, {}, "/objectives");
  const { objectives } = await ask(page, "/objectives");
  if (objectives.length === 0) return t.skip("this server has no objective");
  assert.equal(await page.locator(".objective").count(), objectives.length);
  const one = objectives.find((each) => each.error === null && each.sli !== null && !each.catching_up) ?? objectives[0];
  await page.getByLabel("Search objectives").fill(one.id);
  await page.waitForURL(/q=/);
  await page.locator(`.objective[href$="/objectives/${encodeURIComponent(one.id)}"]`).click();
  await page.getByRole("heading", { name: new RegExp(one.name), level: 1 }).waitFor();
  await page.getByText("How fast it burns").waitFor();
  assert.equal(await page.locator(".pair").count(), one.alerts.length);
  const detail = await ask(page, `/objectives/${encodeURIComponent(one.id)}?points=200`);
  if (detail.burn_down.length > 0) {
    await page.locator(".plot canvas").first().waitFor();
    await page.getByRole("button", { name: "7 d", exact: true }).click();
    await page.waitForURL(/range=7d/);
    await page.locator(".plot").first().focus();
    await page.keyboard.press("ArrowRight");
    await page.getByText(/left .* %/).first().waitFor({ state: "attached" });
  }
  await page.goto(`${base}/objectives/no-such-objective`);
  await page.getByText("Cannot show this objective").waitFor();
  assert.deepEqual(faults.reports, []);
  return undefined;
});

test("a runbook is started with checked values, and goes on once it is approved", async (t) => {
  const { page, base } = await stage(t);
  const documents = await startable(page);
  const document = documents.find((each) => waits(each) && each.class !== "destructive") ?? documents[0];
  if (!document) return t.skip("this server has no runbook that could be started");
  const form = await openForm(page, base, document);
  const bounded = document.params.find((param) => param.type === "int" || param.type === "duration");
  if (bounded) {
    const field = form.getByLabel(new RegExp(`^${bounded.name}( |$)`));
    const good = await field.inputValue();
    await field.fill("not a value");
    await form.getByRole("button", { name: "Start", exact: true }).click();
    await form.getByText(/^Must be a/).waitFor();
    await field.fill(good);
  }
  await form.getByRole("button", { name: "Dry run" }).click();
  await page.waitForURL(/\/runs\/(?!documents)[^/]+$/);
  await page.getByText("Dry run", { exact: true }).waitFor();
  const dry = await ask(page, `/runs/${runAt(page)}`);
  assert.equal(dry.dry_run, true);

  await (await openForm(page, base, document)).getByRole("button", { name: "Start", exact: true }).click();
  await page.waitForURL(/\/runs\/(?!documents)[^/]+$/);
  await page.getByRole("heading", { name: document.title, level: 1 }).waitFor();
  const id = runAt(page);
  const now = await until("the run to wait, act or end", async () => {
    const run = await ask(page, `/runs/${id}`);
    return (run.needs.approvals !== null || run.started_at !== null || ENDED.includes(run.state)) && run;
  });
  if (now.needs.approvals?.may_vote) {
    const panel = page.getByRole("region", { name: "Approval" });
    await panel.getByText(document.id).waitFor();
    await panel.getByRole("button", { name: "Approve" }).click();
    await until("the vote", async () => (await ask(page, `/runs/${id}`)).approvals.some((each) => each.verdict === "approve"));
  } else if (now.needs.approvals) {
    await page.getByRole("region", { name: "Approval" }).getByText(now.needs.approvals.why_not).first().waitFor();
  }
  assert.equal(await page.locator(".step").count(), document.steps.length);
  await page.locator(".log-line").first().waitFor();
  return undefined;
});

test("a run is cancelled after a question", async (t) => {
  const { page, base } = await stage(t);
  const [document] = await startable(page, waits);
  if (!document) return t.skip("this server has no runbook that waits for approval");
  await (await openForm(page, base, document)).getByRole("button", { name: "Start", exact: true }).click();
  await page.waitForURL(/\/runs\/(?!documents)[^/]+$/);
  const id = runAt(page);
  const first = await until("the run to wait or end", async () => {
    const run = await ask(page, `/runs/${id}`);
    return (run.state === "waiting" || ENDED.includes(run.state)) && run;
  });
  if (first.state !== "waiting") return t.skip(`the guards of this server ended the run: ${first.reason}`);
  await page.getByRole("button", { name: "Cancel run" }).click();
  const question = page.getByRole("dialog", { name: "Cancel this run?" });
  await question.getByRole("button", { name: "Let it go on" }).click();
  await question.waitFor({ state: "detached" });
  assert.equal((await ask(page, `/runs/${id}`)).state, "waiting");
  await page.getByRole("button", { name: "Cancel run" }).click();
  await question.getByRole("button", { name: "Cancel the run" }).click();
  await until("the run to end", async () => ENDED.includes((await ask(page, `/runs/${id}`)).state), 30_000);
  await page.getByRole("button", { name: "Cancel run" }).waitFor({ state: "detached" });
  return undefined;
});

test("the kill switch is pulled in two taps, is seen everywhere, and is released with a reason", async (t) => {
  const { page, base } = await stage(t, PHONE, "/runs");
  await freed(t, page);
  await page.getByRole("button", { name: "Kill switch" }).tap();
  await page.getByRole("button", { name: "Stop everything" }).tap();
  await until("the switch", async () => (await ask(page, "/kill-switch")).global?.on === true);
  for (const path of ["/", "/alerts", "/explore", "/settings"]) {
    await page.goto(base + path);
    await page.locator(".stopped").getByText("Kill switch on: everything.").waitFor();
  }
  const [document] = await startable(page);
  if (document) {
    const form = await openForm(page, base, document);
    await form.getByRole("button", { name: "Start", exact: true }).tap();
    await form.getByText(/Refused by the guard kill switch/).waitFor();
    await page.keyboard.press("Escape");
  }
  await page.goto(`${base}/alerts`);
  await page.getByRole("button", { name: "Release…", exact: true }).first().tap();
  const panel = page.getByRole("dialog", { name: "Kill switch" });
  await panel.getByRole("button", { name: /^Release everything/ }).tap();
  await panel.getByRole("button", { name: "Release", exact: true }).tap();
  await panel.getByText("A reason is needed").waitFor();
  await panel.getByLabel("Why everything may run again").fill("end of a test");
  await panel.getByRole("button", { name: "Release", exact: true }).tap();
  await until("the release", async () => (await ask(page, "/kill-switch")).global?.on !== true);
  await page.locator(".stopped").waitFor({ state: "detached" });
});

test("a freeze is made and ended", async (t) => {
  const { page } = await stage(t, {}, "/runs/safety");
  const reason = `e2e ${Date.now()}`;
  await page.getByRole("button", { name: "New freeze" }).click();
  const form = page.getByRole("dialog", { name: "New freeze" });
  await form.getByRole("button", { name: "Freeze", exact: true }).click();
  await form.getByText(/A reason is needed/).waitFor();
  await form.getByLabel("Reason").fill(reason);
  await form.getByLabel(/^From/).fill("2031-01-01T00:00");
  await form.getByLabel(/^Until/).fill("2031-01-02T00:00");
  await form.getByRole("button", { name: "Freeze", exact: true }).click();
  const row = page.locator(".freeze").filter({ hasText: reason });
  await row.getByRole("button", { name: "Take back" }).click();
  await row.getByRole("button", { name: "End it now?" }).click();
  await row.waitFor({ state: "detached" });
});

test("runs are narrowed by the address, and what waits for a person stands on top", async (t) => {
  const { page, base } = await stage(t, {}, "/runs");
  await page.getByRole("group", { name: "Show only" }).getByRole("button", { name: /^Ended/ }).click();
  await page.waitForURL(/state=ended/);
  await page.getByLabel("Kind").selectOption("runbook");
  await page.waitForURL(/kind=runbook/);
  await page.goto(`${base}/runs?state=refused&kind=drill`);
  assert.equal(await page.getByRole("button", { name: /^Refused/ }).getAttribute("aria-pressed"), "true");
  assert.equal(await page.getByLabel("Kind").inputValue(), "drill");
  const { runs } = await ask(page, "/runs?state=open&limit=100");
  const calls = runs.filter((run) => run.needs.approvals !== null || run.needs.human.length > 0 || run.needs.settle.length > 0 || run.state === "needs_human");
  if (calls.length === 0) return t.skip("no run of this server waits for a person");
  await page.goto(`${base}/runs`);
  await page.locator(".run").first().waitFor();
  const first = await page.locator("main section.card").first().getByRole("heading").first().textContent();
  assert.equal(first, "Waits for a person");
  assert.equal(await page.locator("main section.card").first().locator(".run").count(), calls.length);
  return undefined;
});

test("a person does a task with evidence", async (t) => {
  const { page, base } = await stage(t);
  const { runs } = await ask(page, "/runs?state=open&limit=100");
  const run = runs.find((each) => each.needs.human.some((task) => task.may_do));
  if (!run) return t.skip("no run of this server waits for a task");
  const [task] = run.needs.human;
  await page.goto(`${base}/runs/${run.id}`);
  const panel = page.getByRole("region", { name: "Task for a person" });
  if (task.evidence) {
    await panel.getByRole("button", { name: "Done", exact: true }).click();
    await panel.getByText(/Evidence is asked for/).waitFor();
    await panel.getByLabel("Evidence").fill("order 4711 is the newest");
  }
  await panel.getByRole("button", { name: "Done", exact: true }).click();
  await panel.waitFor({ state: "detached" });
  return undefined;
});

test("a step in doubt is settled in plain words", async (t) => {
  const { page, base } = await stage(t);
  const { runs } = await ask(page, "/runs?state=open&limit=100");
  const run = runs.find((each) => each.needs.settle.length > 0);
  if (!run) return t.skip("no step of this server is in doubt");
  await page.goto(`${base}/runs/${run.id}`);
  const panel = page.getByRole("region", { name: /in doubt$/ });
  assert.equal(await panel.getByRole("button", { name: "Settle" }).getAttribute("aria-disabled"), "true");
  await panel.getByLabel(/^It happened/).check();
  await panel.getByRole("button", { name: "Settle" }).click();
  await panel.waitFor({ state: "detached" });
  return undefined;
});

test("a drill shows its trend, and its report stands alone too", async (t) => {
  const { page, base } = await stage(t, {}, "/drills");
  const { drills } = await ask(page, "/drills");
  const drill = drills.find((each) => each.results.length > 0);
  if (!drill) return t.skip("no drill of this server was held");
  if (drill.results.length > 0) {
    const card = page.locator(".drill").filter({ hasText: drill.document.title });
    await card.getByRole("button", { name: /^Trend/ }).click();
    await page.waitForURL(/open=/);
  }
  const [last] = drill.results;
  await page.goto(`${base}/drills/${last.run}`);
  await page.getByRole("heading", { name: drill.document.title, level: 1 }).waitFor();
  await page.getByText("Timeline").waitFor();
  const report = await ask(page, `/runs/${last.run}/report`);
  assert.equal(await page.locator(".report-phase").count() > 0, report.phases.some((phase) => phase.seconds !== null));
  const links = page.locator(".head-actions a");
  for (const name of ["Page", "JSON"]) {
    const address = await links.filter({ hasText: name }).getAttribute("href");
    assert.equal((await page.request.get(base + address)).status(), 200, address);
  }
  return undefined;
});

test("journeys are told on the overview and beside the drills", async (t) => {
  const { page, base } = await stage(t);
  const { journeys } = await ask(page, "/journeys");
  if (journeys.length === 0) return t.skip("this server has no journey");
  for (const path of ["/", "/drills"]) {
    await page.goto(base + path);
    await page.locator(".journey").first().waitFor();
    assert.equal(await page.locator(".journey").count(), journeys.length);
  }
  return undefined;
});

test("an alert offers the runbooks that fit, with their values", async (t) => {
  const { page, base } = await stage(t);
  await openAlert(page);
  const { alerts } = await ask(page, "/alerts?state=firing&limit=100");
  for (const alert of alerts) {
    const { suggestions } = await ask(page, `/suggestions?alert=${alert.fingerprint}`);
    if (suggestions.length === 0) continue;
    await page.goto(`${base}/alerts?alert=${alert.fingerprint}`);
    await page.locator(".fit").first().getByRole("link", { name: /^Start/ }).click();
    await page.getByRole("dialog", { name: "Start a run" }).waitFor();
    for (const [name, value] of Object.entries(suggestions[0].params)) assert.equal(await page.getByRole("dialog").getByLabel(new RegExp(`^${name}( |$)`)).inputValue(), String(value));
    return undefined;
  }
  return t.skip("no runbook of this server fits an alert that fires");
});

test("a run that goes on is followed without a reload", async (t) => {
  const { page, base } = await stage(t);
  const documents = await startable(page, (each) => !waits(each) && each.class !== "destructive");
  const document = documents[0];
  if (!document) return t.skip("this server has no runbook that acts at once");
  await (await openForm(page, base, document)).getByRole("button", { name: "Start", exact: true }).click();
  await page.waitForURL(/\/runs\/(?!documents)[^/]+$/);
  const id = runAt(page);
  const before = (await ask(page, `/runs/${id}`)).log.length;
  const after = await until("a line of the log", async () => {
    const run = await ask(page, `/runs/${id}`);
    return run.log.length > before && run;
  }, 30_000).catch(() => null);
  if (!after) return t.skip("the run ended before it was looked at");
  await page.locator(".log-line").nth(before).waitFor();
  return undefined;
});
