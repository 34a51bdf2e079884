// Takes a picture of every screen, for a person to look at: node e2e/shots.mjs [folder] [part of a name].
import { mkdir } from "node:fs/promises";
import { api, browser, foundScreens, logIn, SCREENS, server } from "./support.mjs";

const folder = process.argv[2] ?? "shots";
const only = process.argv[3] ?? "";
const sizes = (process.env.SIZES ?? "1440x900,390x844").split(",").map((size) => size.split("x").map(Number));
const themes = (process.env.THEMES ?? "dark,light").split(",");

await mkdir(folder, { recursive: true });
const under = await server({ seed: 7 });
for (const theme of themes) {
  for (const [width, height] of sizes) {
    const { page: open, close, faults } = await browser({ width, height, theme });
    const page = await open();
    const shoot = (name) => page.screenshot({ path: `${folder}/${name}-${width}-${theme}.png` });
    await page.goto(under.url);
    if ("login".includes(only)) {
      await page.getByRole("heading", { name: "Log in to Tocsin" }).waitFor();
      await page.waitForTimeout(200);
      await shoot("login");
    }
    await logIn(page, under);
    const { body } = await api(page, "GET", "/api/tocsin/v1/alerts?state=firing");
    const screens = [...SCREENS, ...(await foundScreens(page)), ["alert", `/alerts?alert=${body.alerts[0]?.fingerprint}`], ["alert-filter", "/alerts?filter=severity%3Dcritical&state=firing"], ["error", "/explore?expr=sum(rate(up%5B5m%5D)"], ["many", "/explore?expr=rate(http_requests_total%5B5m%5D)%20%2B%20queue_depth"]];
    for (const [name, path] of screens.filter(([name]) => name.includes(only))) {
      await page.goto(under.url + path);
      await page.locator("h1").first().waitFor();
      await page.waitForTimeout(/^(explore|objective|drill|report|run-experiment)/.test(name) || name === "alert" || name === "many" || name === "error" ? 1600 : 700);
      await shoot(name);
    }
    await close();
    for (const [kind, list] of Object.entries(faults)) if (list.length > 0) process.stdout.write(`${theme} ${width} ${kind}: ${[...new Set(list)].join("\n  ")}\n`);
  }
}
await under.stop();
process.exit(0);
