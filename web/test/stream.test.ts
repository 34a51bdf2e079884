import { describe, expect, test } from "vitest";
import { readMessage, reduceStream, retryDelay, SILENCE_LIMIT, START, type StreamEvent, type StreamState } from "../src/lib/stream.ts";

const NOW = Date.parse("2026-11-21T03:00:00Z");

function after(events: [number, StreamEvent][]): StreamState {
  return events.reduce((state, [at, event]) => reduceStream(state, event, NOW + at), START);
}

const beat = (serverTime = "2026-11-21T03:00:00Z"): StreamEvent => ({ kind: "heartbeat", serverTime, version: "1.0" });

describe("the stream", () => {
  test("is live once something is heard", () => {
    expect(START.phase).toBe("connecting");
    expect(after([[0, { kind: "open" }]]).phase).toBe("live");
    expect(after([[0, beat()]])).toMatchObject({ phase: "live", version: "1.0", skew: 0 });
  });

  test("is lost after an error, and live again by itself", () => {
    expect(after([[0, beat()], [10, { kind: "error" }]]).phase).toBe("lost");
    expect(after([[0, beat()], [10, { kind: "error" }], [20, { kind: "change" }]]).phase).toBe("live");
  });

  test("is lost after too long a silence, not before", () => {
    expect(after([[0, beat()], [SILENCE_LIMIT, { kind: "tick" }]]).phase).toBe("live");
    expect(after([[0, beat()], [SILENCE_LIMIT + 1, { kind: "tick" }]]).phase).toBe("lost");
    expect(after([[0, { kind: "tick" }]]).phase).toBe("connecting");
  });

  test("remembers when it was last heard", () => {
    expect(after([[0, beat()], [7, { kind: "change" }], [9000, { kind: "error" }]]).heardAt).toBe(NOW + 7);
  });

  test("knows how far the clocks are apart", () => {
    expect(after([[0, beat("2026-11-21T03:00:42Z")]]).skew).toBe(42_000);
    expect(after([[0, beat("2026-11-21T03:00:42Z")], [1, beat("nonsense")]]).skew).toBe(42_000);
  });

  test("is the same object when nothing changed", () => {
    const live = after([[0, beat()]]);
    expect(reduceStream(live, { kind: "tick" }, NOW + 5)).toBe(live);
    const lost = reduceStream(live, { kind: "error" }, NOW + 5);
    expect(reduceStream(lost, { kind: "error" }, NOW + 6)).toBe(lost);
  });
});

describe("messages", () => {
  test("are read", () => {
    expect(readMessage("change", '{"topic":"alerts","id":"a7"}')).toEqual({ event: "change", topic: "alerts", id: "a7" });
    expect(readMessage("change", '{"topic":"targets"}')).toEqual({ event: "change", topic: "targets", id: null });
    expect(readMessage("heartbeat", '{"server_time":"x","version":"2"}')).toEqual({ event: "heartbeat", server_time: "x", version: "2" });
    expect(readMessage("resync", "{}")).toEqual({ event: "resync" });
  });

  test.each([
    ["change", '{"topic":"weather"}'],
    ["change", "{"],
    ["change", "null"],
    ["heartbeat", "{}"],
    ["firework", "{}"],
  ])("%s %s says nothing to us", (event, data) => expect(readMessage(event, data)).toBeNull());
});

test("pauses grow, are spread, and end at 15 s", () => {
  expect(retryDelay(0, 0)).toBe(250);
  expect(retryDelay(0, 0.999)).toBeLessThanOrEqual(500);
  expect(retryDelay(50, 0.999)).toBeLessThanOrEqual(15_000);
  expect(retryDelay(50, 0)).toBe(7500);
});
