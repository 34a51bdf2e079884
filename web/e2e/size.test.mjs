// What a first visit costs, read from the built page.
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { test } from "node:test";
import { brotliCompressSync, gzipSync } from "node:zlib";

const DIST = new URL("../dist/", import.meta.url);
const KB = 1000;

async function sizes() {
  const html = await readFile(new URL("index.html", DIST));
  const names = [...html.toString().matchAll(/(?:src|href)="\.\/([^"]+\.(?:js|css))"/g)].map(([, name]) => name);
  const files = await Promise.all(names.map(async (name) => [name, await readFile(new URL(name, DIST))]));
  assert.ok(files.length > 2, "the page names its files");
  return { html, files };
}

test("the first visit stays within its budget", async () => {
  const { html, files } = await sizes();
  const total = [html, ...files.map(([, body]) => body)].reduce((sum, body) => sum + gzipSync(body).length, 0);
  assert.ok(total <= 220 * KB, `${Math.round(total / KB)} kB`);
});

test("what comes later stays within its budget", async () => {
  const { files } = await sizes();
  const first = new Set(files.map(([name]) => name.replace("assets/", "")));
  const folder = new URL("assets/", DIST);
  let all = 0;
  for (const name of await readdir(folder)) {
    const body = await readFile(new URL(name, folder));
    all += name.endsWith(".woff2") ? body.length : brotliCompressSync(body).length;
    if (first.has(name) || !name.endsWith(".js")) continue;
    const limit = name.startsWith("editor") ? 160 : name.startsWith("canvas") ? 30 : 60;
    assert.ok(gzipSync(body).length <= limit * KB, `${name} is ${Math.round(gzipSync(body).length / KB)} kB`);
  }
  assert.ok(all <= 1500 * KB, `all together ${Math.round(all / KB)} kB`);
});

test("the page names nothing outside itself and takes a fresh nonce", async () => {
  const { html, files } = await sizes();
  assert.ok(html.includes("__CSP_NONCE__"));
  assert.ok(!/<script(?![^>]*src=)/.test(html.toString()), "no script stands in the page itself");
  for (const [name, body] of files) assert.ok(!/url\(["']?https?:/.test(body.toString()), name);
});
