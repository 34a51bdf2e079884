// The page below whatever path the service is reached under: what it loads and asks, and where its links lead.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, logIn, server } from "./support.mjs";

test("below its path the page loads, shows alerts, and keeps to the path", async (t) => {
  const under = await server();
  const opened = await browser({});
  t.after(async () => {
    await opened.close();
    await under.stop();
  });
  const page = await opened.page();
  const root = new URL(under.url).pathname.replace(/\/$/, "");
  const [outside, broken] = [[], []];
  page.on("request", (request) => {
    if (!new URL(request.url()).pathname.startsWith(`${root}/`)) outside.push(request.url());
  });
  page.on("response", (response) => {
    if (response.status() >= 400 && response.status() !== 401) broken.push(`${response.status()} ${response.url()}`);
  });

  // From a place that is deeper than the root, as a link of a notification leads to.
  await logIn(page, under, "/alerts/rules");
  await page.getByRole("heading", { name: "Rules", level: 1 }).waitFor();
  await page.getByRole("navigation").getByRole("link", { name: "Alerts" }).first().click();
  await page.waitForURL((url) => url.pathname === `${root}/alerts`);
  const { body } = await api(page, "GET", `${root}/api/tocsin/v1/alerts?state=firing&limit=1`, undefined, root);
  const { name } = body.alerts[0];
  await page.getByRole("listitem").getByRole("button", { name, exact: true }).first().click();
  await page.getByRole("region", { name: "Facts of the alert" }).waitFor();
  assert.equal(new URL(page.url()).pathname, `${root}/alerts`);

  // The login holds over a reload, and the editor's files and completion come from below the path too.
  await page.goto(`${under.url}/explore?expr=up`);
  await page.locator(".cm-content").first().waitFor();
  assert.match(await page.locator("#favicon").evaluate((icon) => icon.href), new RegExp(`${root}/favicon`));
  assert.deepEqual({ outside, broken, faults: opened.faults }, { outside: [], broken: [], faults: { reports: [], foreign: [], errors: [] } });
});
