// What a reader does, against the mock or against the server that TOCSIN_URL names.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, cable, logIn, openAlert, server, until } from "./support.mjs";

const PHONE = { width: 390, height: 844, touch: true };

async function stage(t, options = {}, path = "/", wire = null) {
  const under = await server();
  const opened = await browser(options);
  const line = wire ? await cable(under.url) : null;
  t.after(async () => {
    await opened.close();
    await line?.stop();
    await under.stop();
  });
  const page = await opened.page();
  const base = line?.url ?? under.url;
  await logIn(page, under, path, base);
  return { under, page, base, line, context: opened.context, faults: opened.faults };
}

async function freshAlert(page) {
  const alert = await openAlert(page);
  return { alert, pageId: alert.page.id };
}

test("a wrong password is refused in words", async (t) => {
  const under = await server();
  const opened = await browser();
  t.after(async () => {
    await opened.close();
    await under.stop();
  });
  const page = await opened.page();
  await page.goto(under.url);
  const form = page.getByRole("heading", { name: "Log in to Tocsin" });
  await form.or(page.locator("#main")).first().waitFor();
  if (!(await form.isVisible())) return t.skip("this server asks for no password");
  await page.getByLabel("Name").fill(under.name);
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").getByText(/wrong|Too many/).waitFor();
  return undefined;
});

test("people change their own password", async (t) => {
  const { page, under } = await stage(t, {}, "/settings");
  const card = page.locator("section").filter({ has: page.getByRole("heading", { name: "Your password" }) });
  if (!(await card.isVisible())) return t.skip("this server asks for no password");
  const change = async (current, fresh) => {
    await card.getByLabel("Password now").fill(current);
    await card.getByLabel("New password").fill(fresh);
    await card.getByRole("button", { name: "Change password" }).click();
  };
  await change("not the password", "a new password of mine");
  await card.getByRole("alert").getByText(/Not changed/).waitFor();
  await change(under.password, "a new password of mine");
  await page.getByText("Changed your password").first().waitFor();
  assert.equal(await card.getByRole("alert").count(), 0);
  const back = await api(page, "POST", "/api/tocsin/v1/session/password", { current: "a new password of mine", new: under.password });
  assert.equal(back.status, 200, "the login goes on");
  return undefined;
});

test("a log-in leads to the place that was asked for", async (t) => {
  const { page } = await stage(t, {}, "/alerts/rules");
  await page.getByRole("heading", { name: "Rules", level: 1 }).waitFor();
  assert.match(await page.title(), /Rules, Tocsin$/);
});

test("two taps on a phone acknowledge", async (t) => {
  const { page } = await stage(t, PHONE);
  const { alert, pageId } = await freshAlert(page);
  await page.goto(`${new URL(page.url()).origin}/alerts?q=${encodeURIComponent(alert.name)}`);
  const row = page.getByRole("listitem").filter({ hasText: alert.name }).filter({ hasText: alert.labels.instance ?? alert.name }).getByRole("button", { name: alert.name, exact: true });
  await row.first().waitFor();
  const box = await row.first().boundingBox();
  assert.ok(box.height >= 24, `the first target is ${box.height} px high`);
  await row.first().tap();
  const ack = page.locator(".detail-actions").getByRole("button", { name: /^Ack/ });
  await ack.waitFor();
  const thumb = await ack.boundingBox();
  assert.ok(thumb.height >= 44 && thumb.y > 500 && thumb.y + thumb.height <= 844, `the second target lies at ${JSON.stringify(thumb)}`);
  await ack.tap();
  const after = await until("the acknowledgement", async () => {
    const { body } = await api(page, "GET", `/api/tocsin/v1/alerts/${alert.fingerprint}`);
    return body.page?.state === "acknowledged" && body;
  });
  assert.ok(after.page.acknowledged_by);
  await page.locator(".detail").getByText(/Acked by/).first().waitFor();
  await page.getByRole("button", { name: "Undo" }).tap();
  await until("the undo", async () => (await api(page, "GET", `/api/tocsin/v1/pages/${pageId}`)).body.state === "triggered");
});

test("back closes the detail on a phone", async (t) => {
  const { page } = await stage(t, PHONE);
  const { alert } = await freshAlert(page);
  await page.goto(`${new URL(page.url()).origin}/alerts`);
  await page.getByRole("button", { name: alert.name, exact: true }).first().tap();
  await page.locator(".detail").waitFor();
  await page.goBack();
  await page.locator(".detail").waitFor({ state: "detached" });
  assert.equal(new URL(page.url()).pathname, "/alerts");
});

test("a link that names a page leads to its alert", async (t) => {
  const { page, base } = await stage(t);
  const { alert, pageId } = await freshAlert(page);
  await page.goto(`${base}/alerts?page=${pageId}`);
  await page.locator(".detail").getByRole("heading", { name: alert.name }).waitFor();
  await page.locator(".detail").getByRole("heading", { name: "Page", exact: true }).waitFor();
  assert.doesNotMatch(page.url(), /page=/);
});

test("keys move, acknowledge and undo", async (t) => {
  const { page } = await stage(t);
  const { alert } = await freshAlert(page);
  await page.goto(`${new URL(page.url()).origin}/alerts?filter=${encodeURIComponent(`alertname=${alert.name}`)}&state=firing`);
  await page.getByRole("button", { name: alert.name, exact: true }).first().waitFor();
  await page.keyboard.press("j");
  await page.locator(".detail").waitFor();
  assert.match(page.url(), /alert=/);
  await page.keyboard.press("Escape");
  await page.locator(".detail").waitFor({ state: "detached" });
  await page.goto(`${new URL(page.url()).origin}/alerts?alert=${alert.fingerprint}`);
  await page.locator(".detail-actions .ack").waitFor();
  await page.keyboard.press("a");
  await page.locator(".detail").getByText(/Acked by/).first().waitFor();
  // The stream may bring the news before the answer does, and only the answer brings the undo.
  await page.getByRole("button", { name: "Undo" }).waitFor();
  await page.keyboard.press("u");
  await page.locator(".detail-actions .ack").waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("e");
  await page.getByRole("heading", { name: "Explore", level: 1 }).waitFor();
});

test("a silence shows what it hides before it is made, and can be ended and undone", async (t) => {
  const { page } = await stage(t);
  const { alert } = await freshAlert(page);
  await page.goto(`${new URL(page.url()).origin}/alerts?alert=${alert.fingerprint}`);
  await page.locator(".detail-actions").getByRole("button", { name: "Silence" }).click();
  const form = page.getByRole("dialog", { name: "New silence" });
  await form.getByText(`alertname=${alert.name}`).waitFor();
  await form.getByText(/^Hides \d+ firing alert/).waitFor();
  await form.getByRole("button", { name: "Silence", exact: true }).click();
  await form.getByText(/A reason is needed/).waitFor();
  const reason = `e2e ${Date.now()}`;
  await form.getByLabel("Reason").fill(reason);
  await form.getByRole("button", { name: "4 h", exact: true }).click();
  await form.getByRole("button", { name: "Silence", exact: true }).click();
  await form.waitFor({ state: "detached" });
  await until("the alert to be silenced", async () => (await api(page, "GET", `/api/tocsin/v1/alerts/${alert.fingerprint}`)).body.silenced_by.length > 0, 30_000);

  await page.goto(`${new URL(page.url()).origin}/alerts/silences?q=${encodeURIComponent(reason)}`);
  await page.getByText(reason).waitFor();
  await page.getByRole("button", { name: "End silence" }).click();
  await page.getByText(reason).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText(reason).waitFor();
  await page.getByRole("button", { name: "End silence" }).click();
  await page.getByText(reason).waitFor({ state: "detached" });
});

test("the filter lives in the address", async (t) => {
  const { page, base } = await stage(t, {}, "/alerts");
  const { alert } = await freshAlert(page);
  const box = page.getByRole("combobox", { name: /^Filter/ });
  await box.fill(`alertname=${alert.name}`);
  await box.press("Enter");
  await page.waitForURL(/filter=alertname/);
  await page.getByRole("group", { name: "Show only" }).getByRole("button", { name: /^Firing/ }).click();
  await page.waitForURL(/state=firing/);
  const address = page.url();
  await page.goto(`${base}/`);
  await page.goto(address);
  await page.getByRole("button", { name: `Remove alertname=${alert.name}` }).waitFor();
  assert.equal(await page.getByRole("button", { name: /^Firing/ }).getAttribute("aria-pressed"), "true");
  const names = await page.locator(".row-name").allTextContents();
  assert.ok(names.length > 0 && names.every((name) => name === alert.name), names.join(", "));
  await page.getByRole("button", { name: "Clear filter" }).click();
  await page.waitForURL((url) => !url.search.includes("filter"));
  await page.getByRole("combobox", { name: /^Filter/ }).fill("no alert has these words");
  await page.getByText("No alert matches this filter").waitFor();
});

test("a lost connection is said, and comes back by itself", async (t) => {
  const { page, line } = await stage(t, {}, "/", true);
  const rail = page.locator(".rail");
  await rail.getByText("Live", { exact: true }).waitFor();
  line.cut();
  await rail.getByText("Connection lost").waitFor({ timeout: 13_000 });
  assert.ok((await page.locator(".figure").count()) === 6, "what was known stays visible");
  line.mend();
  await rail.getByText("Live", { exact: true }).waitFor({ timeout: 25_000 });
});

test("eight tabs share one stream", async (t) => {
  const { under, page, context } = await stage(t);
  const tabs = [page];
  for (let count = 1; count < 8; count += 1) {
    const tab = await context.newPage();
    await tab.goto(`${under.url}/alerts`);
    tabs.push(tab);
  }
  for (const tab of tabs) {
    await tab.locator("h1").first().waitFor();
    await tab.locator(".rail").getByText("Live", { exact: true }).waitFor();
  }
});

test("without locks a worker carries the stream, and without a worker the page asks by itself", async (t) => {
  const { under, context, faults } = await stage(t);
  const plain = await context.newPage();
  await plain.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, "locks"));
  await plain.goto(`${under.url}/alerts/rules`);
  assert.equal(await plain.evaluate(() => "locks" in navigator), false);
  await plain.locator(".rail").getByText("Live", { exact: true }).waitFor();
  const bare = await context.newPage();
  await bare.addInitScript(() => {
    Reflect.deleteProperty(Navigator.prototype, "locks");
    Reflect.deleteProperty(globalThis, "SharedWorker");
  });
  await bare.goto(`${under.url}/alerts/rules`);
  await bare.locator(".rail").getByText("Live", { exact: true }).waitFor({ timeout: 15_000 });
  assert.deepEqual(faults.reports, []);
});

test("a change elsewhere arrives without a reload", async (t) => {
  const { page, context, under } = await stage(t, {}, "/alerts");
  const { alert, pageId } = await freshAlert(page);
  await page.goto(`${under.url}/alerts?alert=${alert.fingerprint}`);
  await page.locator(".detail-actions .ack").waitFor();
  const other = await context.newPage();
  await other.goto(`${under.url}/alerts/rules`);
  assert.equal((await api(other, "POST", `/api/tocsin/v1/pages/${pageId}/acknowledge`, {})).status, 200);
  await page.locator(".detail").getByText(/Acked by/).first().waitFor();
  await api(other, "POST", `/api/tocsin/v1/pages/${pageId}/unacknowledge`, {});
  await page.locator(".detail-actions .ack").waitFor();
});

test("a query is written, completed, drawn and listed", async (t) => {
  const { page } = await stage(t, {}, "/explore");
  const editor = page.locator(".editor .cm-content");
  await editor.click();
  await page.keyboard.type("u");
  await page.locator(".cm-tooltip-autocomplete").getByText("up", { exact: true }).first().waitFor();
  await page.keyboard.type("p");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+Enter");
  await page.waitForURL(/expr=up/);
  await page.locator(".plot canvas").waitFor();
  await page.locator(".legend-row").first().waitFor();
  await page.getByRole("button", { name: "Table", exact: true }).click();
  await page.getByRole("table").getByRole("row").nth(1).waitFor();
  await page.getByRole("button", { name: "Graph", exact: true }).click();
  await page.getByRole("button", { name: "6h", exact: true }).click();
  await page.waitForURL(/range=6h/);
  await page.locator(".plot canvas").waitFor();
});

test("an error of a query is shown at its place", async (t) => {
  const { page } = await stage(t, {}, `/explore?expr=${encodeURIComponent("sum(rate(up[5m])")}`);
  await page.getByRole("alert").getByText(/parse error/).waitFor();
  await page.locator(".cm-lintRange-error").first().waitFor();
});

test("Tab leaves the editor", async (t) => {
  const { page } = await stage(t, {}, "/explore");
  await page.locator(".editor .cm-content").click();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.closest(".editor") === null), true);
});

test("targets and rules can be searched, and a delivery shows its attempts", async (t) => {
  const { page, base } = await stage(t, {}, "/explore/targets");
  await page.locator(".target-head").first().click();
  await page.getByRole("heading", { name: "Before relabelling" }).first().waitFor();
  await page.getByLabel("Search targets").fill("no target has these words");
  await page.getByText("No target matches").waitFor();
  await page.goto(`${base}/alerts/rules?q=no+rule+has+these+words`);
  await page.getByText("No rule matches").waitFor();
  await page.goto(`${base}/alerts/notifications`);
  const first = page.locator(".delivery-head").first();
  await first.or(page.getByText("Nothing was sent yet")).first().waitFor();
  if (await first.isVisible()) {
    await first.click();
    await page.locator(".attempts").waitFor();
    assert.match(page.url(), /delivery=/);
  }
});

test("zones are named and follow the choice", async (t) => {
  const { page } = await stage(t, { zone: "Asia/Kolkata" }, "/settings");
  await page.getByText(/It is .* (IST|GMT\+5:30)/).waitFor();
  await page.getByLabel("Time zone").selectOption("UTC");
  await page.getByText(/It is .* UTC/).waitFor();
  await page.reload();
  await page.getByText(/It is .* UTC/).waitFor();
});

test("a token is shown once and can be revoked", async (t) => {
  const { page } = await stage(t, {}, "/settings/tokens");
  const name = `e2e-${Date.now()}`;
  await page.getByRole("button", { name: "New token" }).click();
  const form = page.getByRole("dialog", { name: "New token" });
  await form.getByLabel("Name").fill(name);
  await form.getByRole("button", { name: "Make token" }).click();
  await form.locator(".secret").waitFor();
  await form.getByRole("button", { name: "Done" }).click();
  const row = page.locator(".setting-row").filter({ hasText: name });
  await row.getByRole("button", { name: "Revoke" }).click();
  await page.getByRole("dialog", { name: "Revoke token" }).getByRole("button", { name: "Revoke" }).click();
  await row.waitFor({ state: "detached" });
});
