// Silences: how they end, how they are made and changed, and what is said before, against the mock or the server of TOCSIN_URL.
import assert from "node:assert/strict";
import { test } from "node:test";
import { api, browser, logIn, openAlert, server, until } from "./support.mjs";

const SILENCES = "/api/tocsin/v1/silences";
const HOUR = 3_600_000;

async function stage(t, path = "/", options = {}) {
  const under = await server();
  const opened = await browser(options);
  t.after(async () => {
    await opened.close();
    await under.stop();
  });
  const page = await opened.page();
  await logIn(page, under, path);
  return { under, page, base: under.url };
}

const matcher = (name, value) => ({ name, value, isRegex: false, isEqual: true });

/** Makes a silence that mutes nothing, under a reason of its own. */
async function made(page, part = {}) {
  const wish = { matchers: [matcher("job", "no-such-job")], ends_at: new Date(Date.now() + 2 * HOUR).toISOString(), comment: `e2e ${Date.now()} ${Math.round(performance.now())}`, until_resolved: false, times: [], ...part };
  const { status, body } = await api(page, "POST", SILENCES, wish);
  assert.equal(status, 200, JSON.stringify(body));
  return { id: body.id, ...wish };
}

async function held(page, id) {
  return (await api(page, "GET", SILENCES)).body.silences.find((each) => each.id === id);
}

const at = (base, silence) => `${base}/alerts/silences?show=all&q=${encodeURIComponent(silence.comment)}`;

test("one that ends soon while alerts fire under it is extended with one press", async (t) => {
  const { page, base } = await stage(t);
  const alert = await openAlert(page);
  const silence = await made(page, { matchers: [matcher("alertname", alert.name)], ends_at: new Date(Date.now() + 12.5 * 60_000).toISOString() });
  await page.goto(at(base, silence));
  await page.getByText(/ends in 12\smin; \d+ alerts? fires? under it/).waitFor();
  await page.getByRole("button", { name: "Extend 1 h" }).click();
  await page.getByText("Extended the silence by 1 h").waitFor();
  await page.getByText(/^ends in 1\sh 1[12]\smin$/).waitFor();
  await page.getByText(/^mutes \d+ alert/).waitFor();
  assert.equal(Date.parse((await held(page, silence.id)).ends_at), Date.parse(silence.ends_at) + HOUR);
  await page.getByRole("button", { name: "End silence" }).click();
  await page.getByText(/^ended by/).waitFor();
});

test("what somebody else has changed meanwhile is not overwritten", async (t) => {
  const { page, base } = await stage(t);
  const silence = await made(page);
  await page.goto(at(base, silence));
  await page.getByRole("button", { name: "Change" }).click();
  const form = page.getByRole("dialog", { name: "Change silence" });
  await form.getByText("job=no-such-job").first().waitFor();
  const { updated_at } = await held(page, silence.id);
  const other = `${silence.comment} by another`;
  await api(page, "POST", SILENCES, { ...silence, starts_at: (await held(page, silence.id)).starts_at, seen_at: updated_at, comment: other });
  await form.getByLabel("Reason").fill("mine");
  await form.getByRole("button", { name: "Change", exact: true }).click();
  await form.getByText(/somebody has changed the silence since you opened it/).waitFor();
  assert.equal((await held(page, silence.id)).comment, other);
  await form.getByRole("button", { name: "Start from what stands now" }).click();
  await until("the form to show what stands now", async () => (await form.getByLabel("Reason").inputValue()) === other);
  await form.getByLabel("Reason").fill(`${other}, and mine`);
  await form.getByRole("button", { name: "Change", exact: true }).click();
  await form.waitFor({ state: "detached" });
  const after = await held(page, silence.id);
  assert.equal(after.comment, `${other}, and mine`);
  assert.equal(after.ends_at.slice(0, 19), silence.ends_at.slice(0, 19), "its end stays where it was");
});

test("one that repeats says what it will do, and can be changed", async (t) => {
  const { page, base } = await stage(t, "/alerts/silences?silence=job%3Dno-such-job");
  const form = page.getByRole("dialog", { name: "New silence" });
  await form.getByRole("button", { name: "Repeats" }).click();
  await form.getByText(/^Mutes Sat and Sun 02:00-04:00 Europe\/Berlin, (for the first time in .*|from now on), until \d+ \w+/).waitFor();
  await form.getByRole("button", { name: "Sun", exact: true }).click();
  await form.getByRole("button", { name: "Sat", exact: true }).click();
  await form.getByText("Choose a day").waitFor();
  await form.getByRole("button", { name: "Wed", exact: true }).click();
  await form.getByLabel("From").fill("22:00");
  await form.getByText("04:00 is that of the next day.").waitFor();
  const comment = `e2e repeats ${Date.now()}`;
  await form.getByLabel("Reason").fill(comment);
  await form.getByRole("button", { name: "Silence", exact: true }).click();
  await form.waitFor({ state: "detached" });
  await page.goto(at(base, { comment }));
  await page.getByText(/^Wed 22:00-04:00 Europe\/Berlin, (next in|now for) .*, until \d+ \w+/).waitFor();
  await page.getByRole("button", { name: "Change" }).click();
  const change = page.getByRole("dialog", { name: "Change silence" });
  assert.equal(await change.getByRole("button", { name: "Wed", exact: true }).getAttribute("aria-pressed"), "true");
  await change.getByRole("button", { name: "Thu", exact: true }).click();
  await change.getByRole("button", { name: "Change", exact: true }).click();
  await change.waitFor({ state: "detached" });
  await page.getByText(/^Wed-Thu 22:00-04:00 Europe\/Berlin/).waitFor();
  const list = (await api(page, "GET", SILENCES)).body.silences.filter((each) => each.comment === comment);
  assert.equal(list.length, 1, "it was changed in place");
  assert.deepEqual([list[0].times[0].weekdays, list[0].times[0].location], [["wednesday", "thursday"], "Europe/Berlin"]);
  await page.getByRole("button", { name: "End silence" }).click();
  await page.getByRole("button", { name: "Undo" }).click();
  await until("the same silence again", async () => (await api(page, "GET", SILENCES)).body.silences.some((each) => each.comment === comment && each.state !== "expired" && each.times.length === 1));
});

test("one can wait for its alerts where some fire", async (t) => {
  const { page, base } = await stage(t, "/alerts/silences?silence=job%3Dno-such-job");
  const form = page.getByRole("dialog", { name: "New silence" });
  await form.getByText("Hides no alert that fires now").waitFor();
  const wait = form.getByRole("button", { name: "Until resolved" });
  assert.equal(await wait.getAttribute("aria-disabled"), "true");
  await form.getByText("Until resolved: nothing fires that it mutes, so there is nothing to wait for.").waitFor();
  const alert = await openAlert(page);
  await page.goto(`${base}/alerts/silences?silence=alertname%3D${alert.name}`);
  await form.getByText(/^Hides \d+ firing alert/).waitFor();
  await wait.click();
  await form.getByText(/^Mutes until its .*resolved, at the latest in 1\sd/).waitFor();
  const comment = `e2e waits ${Date.now()}`;
  await form.getByLabel("Reason").fill(comment);
  await form.getByRole("button", { name: "Silence", exact: true }).click();
  await form.waitFor({ state: "detached" });
  await page.goto(at(base, { comment }));
  await page.getByText(/^until its alerts are resolved, at the latest in/).waitFor();
  await page.getByRole("button", { name: "End silence" }).click();
  await page.getByText(/^ended by/).waitFor();
});

test("what the configuration forbids is said before, and cannot be sent", async (t) => {
  const { page, under } = await stage(t, "/alerts/silences?silence=service%3Dedge");
  if (!under.mock) return t.skip("the limits are those of the mock");
  const form = page.getByRole("dialog", { name: "New silence" });
  await form.getByText("1 alert stays heard: the configuration lets no silence mute it.").waitFor();
  await form.getByText(/^In the last 30 days it would have muted \d+ alerts? of 1 service: /).waitFor();
  await form.getByRole("button", { name: "Exact end" }).click();
  const far = new Date(Date.now() + 20 * 24 * HOUR).toISOString().slice(0, 16);
  await form.getByLabel(/^End, in/).fill(far);
  await form.getByRole("alert").getByText(/^Not allowed here: it lasts .*silences.longest allows 7d/).waitFor();
  const send = form.getByRole("button", { name: "Silence", exact: true });
  assert.match(await send.getAttribute("title"), /^Not allowed here: it lasts/);
  await form.getByLabel("Reason").fill("too long");
  await send.click({ force: true });
  await form.getByRole("button", { name: "4 h", exact: true }).click();
  await form.getByRole("alert").waitFor({ state: "detached" });
  assert.equal((await api(page, "GET", SILENCES)).body.silences.filter((each) => each.comment === "too long").length, 0);
  return undefined;
});

test("a history that cannot be read keeps nobody from silencing", async (t) => {
  const { page, base } = await stage(t);
  await page.route("**/silences/history", (route) => route.fulfill({ status: 503, contentType: "application/problem+json", body: JSON.stringify({ type: "about:blank", title: "Service Unavailable", status: 503, detail: "others read the history; try again" }) }));
  await page.goto(`${base}/alerts/silences?silence=job%3Dno-such-job`);
  const form = page.getByRole("dialog", { name: "New silence" });
  await form.getByText("What it would have muted before is not known: others read the history; try again").waitFor();
  const comment = `e2e unread ${Date.now()}`;
  await form.getByLabel("Reason").fill(comment);
  await form.getByRole("button", { name: "Silence", exact: true }).click();
  await form.waitFor({ state: "detached" });
  await page.unroute("**/silences/history");
  await page.goto(`${base}/alerts/silences?silence=job%3Dno-such-job`);
  await form.getByText("Nothing of this kind fired in the last 30 days").waitFor();
});

test("the history is asked for once the matchers stand still", async (t) => {
  const { page, base } = await stage(t);
  const asked = [];
  page.on("request", (request) => request.url().endsWith("/silences/history") && asked.push(JSON.parse(request.postData()).matchers.map((each) => each.value)));
  await page.goto(`${base}/alerts/silences?silence=`);
  const form = page.getByRole("dialog", { name: "New silence" });
  for (const value of ["one", "two", "three"]) {
    await form.getByLabel("Matcher", { exact: true }).fill(`job=${value}`);
    await form.getByLabel("Matcher", { exact: true }).press("Enter");
  }
  await form.getByText("Nothing of this kind fired in the last 30 days").waitFor();
  assert.deepEqual(asked.at(-1), ["one", "two", "three"]);
  assert.ok(asked.length < 3, `asked for ${JSON.stringify(asked)}`);
});

test("an alert that flaps says so", async (t) => {
  const { page, under } = await stage(t, "/alerts?filter=alertname%3DPodRestarts");
  if (!under.mock) return t.skip("nothing may flap there");
  const tag = page.locator(".row").getByText("Flapping");
  await tag.waitFor();
  assert.equal(await tag.getAttribute("title"), "It has begun again and again; its end is told once it is quiet");
  await page.locator(".row").filter({ hasText: "Flapping" }).click();
  await page.locator(".detail-head").getByText("Flapping").waitFor();
  return undefined;
});
