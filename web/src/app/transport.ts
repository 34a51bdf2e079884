import { openStream, type Hear, type Relay } from "./event-source.ts";
import { PREFIX } from "../lib/prefix.ts";
import workerUrl from "./stream-worker.ts?sharedworker&url";

/** Another service on the same host, below another path, has a stream of its own. */
const NAME = `tocsin.stream${PREFIX}`;

/** Shares one stream among all tabs of the browser: the tab that holds the lock reads it and tells the others. */
function shareByLock(hear: Hear): () => void {
  const channel = new BroadcastChannel(NAME);
  const stop = new AbortController();
  let last: Relay | null = null;
  let leading = false;

  const tell: Hear = (message) => {
    if (message.kind === "error" || (message.kind === "event" && message.event === "heartbeat")) last = message;
    channel.postMessage(message);
    hear(message);
  };
  channel.addEventListener("message", (message: MessageEvent<Relay>) => {
    if (message.data.kind !== "ask") hear(message.data);
    else if (leading && last) channel.postMessage(last);
  });
  channel.postMessage({ kind: "ask" } satisfies Relay);

  const lead = () =>
    new Promise<void>((resolve) => {
      leading = true;
      const close = openStream(tell);
      stop.signal.addEventListener("abort", () => {
        close();
        resolve();
      });
    });
  navigator.locks.request(NAME, { signal: stop.signal }, lead).catch(() => {
    // The wait for the lock ends this way when the page stops it; there is nothing to undo.
  });
  return () => {
    stop.abort();
    channel.close();
  };
}

/** Shares one stream through a worker, for pages without locks: plain HTTP from another machine. */
function shareByWorker(hear: Hear): () => void {
  const trusted = window.trustedTypes?.createPolicy("tocsin-worker", {
    createScriptURL: (url) => {
      if (url !== workerUrl) throw new TypeError("only the stream's worker may be started");
      return url;
    },
  });
  const url = trusted ? (trusted.createScriptURL(workerUrl) as unknown as string) : workerUrl;
  const worker = new SharedWorker(url, { name: NAME, type: "module" });
  worker.port.addEventListener("message", (message: MessageEvent<Relay>) => hear(message.data));
  worker.port.start();
  return () => worker.port.close();
}

/** Starts to listen, in the best way this browser has; returns how to stop, or null when only polling is left. */
export function listen(hear: Hear): (() => void) | null {
  if ("locks" in navigator && typeof BroadcastChannel !== "undefined") return shareByLock(hear);
  if (typeof SharedWorker !== "undefined") return shareByWorker(hear);
  return null;
}
