// Serves the HTTP contract with moving, made-up data on loopback, for work on the page without the real server.
// Usage: node mock/server.mjs [--port 9911] [--seed 7] [--alerts 0] [--auth off] [--slow 0]
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { routes } from "./routes.mjs";
import { answer } from "./promql.mjs";
import { World, iso } from "./world.mjs";

const DIST = fileURLToPath(new URL("../dist", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".json": "application/json" };
const BODY_LIMIT = 1 << 20;

const policy = (nonce) =>
  `default-src 'none'; script-src 'self'; style-src-elem 'self' 'nonce-${nonce}'; style-src-attr 'none'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'`;

async function bodyOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > BODY_LIMIT) throw new Error("body is too large");
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

async function file(path, response) {
  const inside = normalize(join(DIST, path));
  const known = inside.startsWith(DIST) && extname(inside) !== "" ? await readFile(inside).catch(() => null) : null;
  if (known) {
    const lasting = path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-cache";
    response.writeHead(200, { "content-type": TYPES[extname(inside)] ?? "application/octet-stream", "cache-control": lasting });
    return response.end(known);
  }
  const nonce = randomBytes(16).toString("base64");
  const page = await readFile(join(DIST, "index.html"), "utf8").catch(() => "run npm run build first");
  response.writeHead(200, { "content-type": TYPES[".html"], "cache-control": "no-store", "content-security-policy": policy(nonce) });
  const up = "../".repeat(path.split("/").length - 2) || "./";
  return response.end(page.replaceAll("__CSP_NONCE__", nonce).replaceAll('="./', `="${up}`).replace('content="/"', `content="${up}"`));
}

/** Starts a mock server; returns its address and how to stop it. */
export async function start({ port = 0, seed = 7, alerts = 0, auth = "password", slow = 0, demo = true } = {}) {
  const world = new World({ seed, extra: alerts, demo });
  const sessions = new Map();
  const streams = new Set();
  let eventId = 0;
  const announce = (event, data) => {
    eventId += 1;
    for (const stream of streams) stream.write(`id: ${eventId}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  };
  const heartbeat = () => announce("heartbeat", { server_time: iso(Date.now()), version: "0.1.0-mock" });
  const flush = () => {
    for (const change of world.tick(Date.now())) announce("change", change);
  };
  const timers = [setInterval(heartbeat, 5000), setInterval(flush, 500)];

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://mock");
    const json = (status, value, headers = {}) => {
      response.writeHead(status, { "content-type": status >= 400 && value?.title ? "application/problem+json" : "application/json", "cache-control": "no-store", ...headers });
      response.end(status === 204 ? undefined : JSON.stringify(value));
    };
    const problem = (status, title, detail, extra = {}) => json(status, { type: "about:blank", title, status, detail, ...extra });
    try {
      const cookie = /tocsin_session=([a-f0-9]+)/.exec(request.headers.cookie ?? "")?.[1];
      const session = auth === "off" ? { name: "operator", role: "sre-lead", csrf: "off" } : sessions.get(cookie);
      if (!url.pathname.startsWith("/api/")) return await file(url.pathname, response);
      if (slow > 0) await new Promise((resolve) => setTimeout(resolve, slow));
      const text = request.method === "GET" ? "" : await bodyOf(request);
      const form = request.headers["content-type"]?.startsWith("application/x-www-form-urlencoded");
      const body = text !== "" && !form ? JSON.parse(text) : {};
      const answered = routes({ request, url, body, session, sessions, world, json, problem, auth, cookie });
      if (answered) return flush();
      if (!session) return problem(401, "Log in first", "This needs a session.");
      if (url.pathname === "/api/tocsin/v1/stream") {
        response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
        response.write(`event: heartbeat\ndata: ${JSON.stringify({ server_time: iso(Date.now()), version: "0.1.0-mock" })}\n\n`);
        streams.add(response);
        request.on("close", () => streams.delete(response));
        return undefined;
      }
      if (url.pathname.startsWith("/api/v1/")) {
        const parameters = form ? new URLSearchParams(text) : url.searchParams;
        return json(...answer(url.pathname.slice("/api/v1".length), parameters, Date.now()));
      }
      return problem(404, "No such resource", url.pathname);
    } catch (error) {
      return problem(400, "The request cannot be read", String(error));
    }
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  const stop = async () => {
    timers.forEach(clearInterval);
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, world, stop };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name, otherwise) => {
    const at = process.argv.indexOf(`--${name}`);
    return at < 0 ? otherwise : process.argv[at + 1];
  };
  const running = await start({ port: Number(option("port", 9911)), seed: Number(option("seed", 7)), alerts: Number(option("alerts", 0)), auth: option("auth", "password"), slow: Number(option("slow", 0)) });
  process.stdout.write(`mock at ${running.url}: log in as ada / ada\n`);
}
