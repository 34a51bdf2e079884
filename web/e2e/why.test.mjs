// Why nobody was told: from a silenced alert to who silenced it, and to what decided it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, logIn, server, until } from "./support.mjs";

const REASON = "The shop is being moved";

async function stage(t, options, path) {
  const under = await server();
  const opened = await browser(options);
  t.after(async () => {
    await opened.close();
    await under.stop();
  });
  const page = await opened.page();
  await logIn(page, under, path);
  return { under, page, faults: opened.faults };
}

/** Returns an alert that a silence has kept from everybody, breaking the demo's services behind a silence for it. */
async function silencedAlert(page) {
  const now = Date.now();
  const silence = { matchers: [{ name: "alertname", value: ".+", isRegex: true, isEqual: true }], startsAt: new Date(now).toISOString(), endsAt: new Date(now + 3_600_000).toISOString(), createdBy: "ada", comment: REASON };
  const made = await api(page, "POST", "/api/v2/silences", silence);
  assert.equal(made.status, 200, JSON.stringify(made.body));
  const { body: demo } = await api(page, "GET", "/api/tocsin/v1/demo");
  for (const fault of demo?.services?.flatMap((service) => service.faults) ?? []) {
    await api(page, "POST", `/api/tocsin/v1/demo/faults/${fault.name}`, { active: true });
  }
  // An alert that was told before the silence stays told.
  const held = async () => {
    const { body } = await api(page, "GET", "/api/tocsin/v1/alerts?state=silenced&limit=50");
    for (const alert of body.alerts ?? []) {
      const { body: why } = await api(page, "GET", `/api/tocsin/v1/why?alert=${alert.fingerprint}`);
      const verdict = why.alerts?.[0]?.verdicts.find((each) => each.stage === "silence" && each.why.includes(REASON));
      if (verdict) return { alert, verdict };
    }
    return null;
  };
  return until("an alert that is held back by the silence", held, 120_000);
}

test("a person learns that an alert was silenced, and by whom", async (t) => {
  const { page, under, faults } = await stage(t, {}, "/");
  const { alert, verdict } = await silencedAlert(page);
  const { createdBy } = (await api(page, "GET", "/api/v2/silences")).body.find((each) => each.comment === REASON);

  await page.goto(`${under.url}/alerts?alert=${alert.fingerprint}`);
  const told = page.getByRole("region", { name: "Facts of the alert" }).getByRole("list", { name: "Who was told" });
  await told.getByText("Not told").first().waitFor();
  assert.match(await told.innerText(), new RegExp(`of ${createdBy} \\(${REASON}\\)`));

  await page.getByRole("link", { name: "Everything that was decided" }).click();
  await page.waitForURL(`${under.url}/alerts/why?alert=${alert.fingerprint}`);
  await page.getByRole("heading", { name: "Why", level: 1 }).waitFor();
  const account = page.getByRole("region", { name: `${alert.name} ${alert.fingerprint}` });
  await account.getByText(`without it ${verdict.receiver} would have been told`).first().waitFor();
  await account.getByText(/^fires: /).first().waitFor();

  // A stage that is pressed leaves only its own lines, and stands in the address.
  await account.getByRole("button", { name: /^Group/ }).click();
  await page.waitForURL(/stage=group/);
  await account.getByText(/^fires: /).first().waitFor({ state: "detached" });
  await account.getByText(/was due: held back by the silence/).first().waitFor();
  assert.deepEqual(faults, { reports: [], foreign: [], errors: [] });
});

test("on a phone a person asks of an alert that never was", async (t) => {
  const { page } = await stage(t, { width: 390, height: 844, touch: true }, "/alerts/why");
  await page.getByLabel("Alert", { exact: true }).fill('NoSuchAlert{team="web"}');
  await page.getByRole("button", { name: "Ask" }).tap();
  await page.waitForURL(/alert=NoSuchAlert/);
  await page.getByText("No such alert is known").waitFor();
  await page.getByRole("list", { name: "The way down the routes" }).getByText(/^route \{\}/).waitFor();
  await page.getByText("There is no alerting rule of this name.").waitFor();

  // A time is read in the reader's zone, and asked in UTC.
  await page.getByRole("button", { name: "Now" }).tap();
  await page.getByLabel(/^At, in /).fill("2026-11-21T04:12");
  await page.getByRole("button", { name: "Ask" }).tap();
  await page.waitForURL(/alert=NoSuchAlert.*at=2026-11-21T03%3A12%3A00.000Z/);
  await page.getByText("or in the hour after").waitFor();
});

test("the palette leads to the question", async (t) => {
  const { page } = await stage(t, {}, "/");
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").fill("why paged");
  await page.getByRole("option", { name: "Why was I (not) paged?" }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByText("Name an alert").first().waitFor();
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("placeholder")), 'CheckoutErrors{service="checkout"}');
});
