import { openStream, type Relay } from "./event-source.ts";

const MOST_TABS = 64;
const ports: MessagePort[] = [];
let last: Relay | null = null;
let started = false;

function tell(message: Relay): void {
  if (message.kind === "error" || (message.kind === "event" && message.event === "heartbeat")) last = message;
  for (const port of ports) port.postMessage(message);
}

globalThis.addEventListener("connect", (event) => {
  const port = event instanceof MessageEvent ? event.ports[0] : undefined;
  if (!port) return;
  ports.push(port);
  // A tab that closed says nothing; the oldest ports make room so that the list cannot grow without end.
  if (ports.length > MOST_TABS) ports.shift();
  port.start();
  if (last) port.postMessage(last);
  if (!started) {
    started = true;
    openStream(tell);
  }
});
