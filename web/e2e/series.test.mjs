// Who grows: from a target at its limit to the metric, the label, and the query that shows it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, logIn, server, until } from "./support.mjs";

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

/** Waits until the server has counted series; returns its largest metric. */
async function largest(page) {
  return until("counted series", async () => (await api(page, "GET", "/api/tocsin/v1/cardinality?limit=10")).body?.metrics?.[0], 60_000);
}

test("a person finds what grows, and the query that shows it", async (t) => {
  const { page, under, faults } = await stage(t, {}, "/");
  const metric = await largest(page);
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Series" }).click();
  await page.getByRole("heading", { name: "Series", level: 1 }).waitFor();
  const table = page.getByRole("table");
  await table.waitFor();
  assert.equal(await table.getByRole("columnheader", { name: "Series" }).getAttribute("aria-sort"), "descending");
  await page.getByRole("button", { name: "New in 1 h" }).click();
  await page.waitForURL(/sort=new/);
  assert.equal(await table.getByRole("columnheader", { name: "New in 1 h" }).getAttribute("aria-sort"), "descending");
  await page.getByRole("button", { name: /^Series/ }).click();

  await page.getByRole("button", { name: metric.name, exact: true }).click();
  const anatomy = page.getByRole("region", { name: `Labels of ${metric.name}` });
  const label = anatomy.getByRole("link", { name: "instance", exact: true });
  await label.waitFor();
  await anatomy.getByRole("button", { name: "Close" }).click();
  await anatomy.waitFor({ state: "detached" });

  await page.getByRole("button", { name: "Targets", exact: true }).click();
  await page.waitForURL(/by=targets/);
  const { body } = await api(page, "GET", "/api/tocsin/v1/cardinality?limit=10");
  await page.getByText(body.targets[0].instance).first().waitFor();
  await page.getByRole("link", { name: `Query ${body.targets[0].instance}` }).first().click();
  await page.waitForURL(/\/explore\?expr=topk/);
  await page.locator(".results").or(page.locator(".plot-figure")).or(page.locator(".empty")).first().waitFor();
  assert.ok(page.url().startsWith(under.url));
  assert.deepEqual(faults, { reports: [], foreign: [], errors: [] });
});

test("on a phone the lists are read and sorted with a thumb", async (t) => {
  const { page } = await stage(t, { width: 390, height: 844, touch: true }, "/explore/series");
  const metric = await largest(page);
  await page.getByRole("table").waitFor();
  await page.getByLabel("Search this list").fill(metric.name.slice(0, 5));
  await page.waitForURL(/q=/);
  const pick = page.getByRole("button", { name: metric.name, exact: true });
  await pick.waitFor();
  const box = await pick.boundingBox();
  assert.ok(box && box.x >= 0 && box.x + box.width <= 390, JSON.stringify(box));
  await page.getByRole("button", { name: "New in 1 h" }).tap();
  await page.waitForURL(/sort=new/);
  await page.getByRole("button", { name: "Refused", exact: true }).tap();
  await page.waitForURL(/by=refused/);
});

test("a target at its limit says so and leads to who grows", async (t) => {
  const { page, under } = await stage(t, {}, "/explore/targets?show=limited");
  // Only the mock has such a target at all times.
  if (!under.mock) return;
  const row = page.getByRole("button", { name: /checkout-1:9100/ });
  await row.waitFor();
  assert.match(await row.innerText(), /samples refused: the target has 5000 series, its limit/);
  await row.click();
  await page.getByRole("link", { name: "See who grows" }).click();
  await page.waitForURL(/\/explore\/series\?by=targets&q=checkout-1/);
  await page.getByText(/^Full, /).waitFor();
});
