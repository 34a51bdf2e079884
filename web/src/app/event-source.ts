import { PREFIX } from "../lib/prefix.ts";
import { retryDelay } from "../lib/stream.ts";

const STREAM_URL = `${PREFIX}/api/tocsin/v1/stream`;
const EVENTS = ["heartbeat", "change", "resync"] as const;

/** What passes between the tab that holds the stream and the others. */
export type Relay = { kind: "event"; event: string; data: string } | { kind: "open" } | { kind: "error" } | { kind: "refused" } | { kind: "ask" };
export type Hear = (message: Relay) => void;

/** Opens the stream and keeps it open, with growing pauses between attempts; returns how to close it. */
export function openStream(hear: Hear): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;
  let attempt = 0;
  let closed = false;

  const connect = () => {
    timer = null;
    if (closed) return;
    const mine = new EventSource(STREAM_URL);
    source = mine;
    mine.addEventListener("open", () => {
      attempt = 0;
      hear({ kind: "open" });
    });
    for (const event of EVENTS) {
      mine.addEventListener(event, (message) => {
        hear({ kind: "event", event, data: String((message as MessageEvent).data) });
      });
    }
    mine.addEventListener("error", () => {
      hear({ kind: "error" });
      // While it is connecting the browser retries by itself and resumes; closed means that the answer was an error.
      if (mine.readyState !== EventSource.CLOSED || closed) return;
      if (attempt > 0) hear({ kind: "refused" });
      timer ??= setTimeout(connect, retryDelay(attempt, Math.random()));
      attempt += 1;
    });
  };
  connect();
  return () => {
    closed = true;
    source?.close();
    if (timer !== null) clearTimeout(timer);
  };
}
