import { useState } from "react";
import { SKEW_LIMIT } from "../lib/stream.ts";
import { formatClock, formatSpan, zoneName } from "../lib/time.ts";
import { Banner } from "../ui/states.tsx";
import { useNow } from "./clock.ts";
import { useStream } from "./live.ts";
import { useZone } from "./settings.ts";

/** Says whether what the page shows is fresh, always at the same spot. */
export function LiveState() {
  const stream = useStream();
  const now = useNow();
  const zone = useZone();
  if (stream.phase === "lost") {
    return (
      <div className="live" data-phase="lost" role="alert">
        <span className="live-dot" />
        <span className="live-words">
          Connection lost
          {stream.heardAt !== null && <small> since {formatClock(stream.heardAt, zone, true)}</small>}
        </span>
      </div>
    );
  }
  return (
    <div className="live" data-phase={stream.phase}>
      <span className="live-dot" />
      <span className="live-words">{stream.phase === "live" ? "Live" : "Connecting"}</span>
      <span className="live-clock number">
        {formatClock(now, zone)} {zoneName(now, zone)}
      </span>
    </div>
  );
}

/** Tells when the clocks of browser and server are apart, and when the server has another version than the page. */
export function SkewNotice() {
  const stream = useStream();
  const [first, setFirst] = useState(stream.version);
  if (first === null && stream.version !== null) setFirst(stream.version);
  const renewed = stream.version !== null && first !== null && stream.version !== first;
  return (
    <>
      {Math.abs(stream.skew) > SKEW_LIMIT && (
        <Banner tone="warning">
          This computer's clock is {formatSpan(Math.abs(stream.skew))} {stream.skew > 0 ? "behind" : "ahead of"} the server's. Ages here follow the server.
        </Banner>
      )}
      {renewed && (
        <Banner
          tone="info"
          action={
            <a className="button" data-look="plain" href={window.location.href}>
              Load again
            </a>
          }
        >
          The server was updated to {stream.version}. This page is of the version before.
        </Banner>
      )}
    </>
  );
}
