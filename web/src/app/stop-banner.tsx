import { useQuery } from "@tanstack/react-query";
import { killSwitchQuery } from "../api/runs.ts";
import { stopped } from "../lib/runs.ts";
import { Icon } from "../ui/icons.tsx";
import { Time } from "../ui/time.tsx";

/** Says on every page, loudly, that a kill switch keeps runs from acting. */
export function StopBanner() {
  const state = useQuery(killSwitchQuery).data;
  const names = stopped(state);
  if (!state || names.length === 0) return null;
  const first = state.global?.on ? state.global : state.platforms.find((each) => each.on);
  return (
    <div className="stopped" role="alert">
      <Icon name="stop" size={20} />
      <p>
        <strong>Kill switch on: {names.join(", ")}.</strong> <span>No run begins or goes on.</span>
        {first?.by && (
          <span>
            {" "}
            Pulled by {first.by} <Time at={first.at} after=" ago" />
            {first.why && `: ${first.why}`}
          </span>
        )}
      </p>
      <button type="button" className="button stopped-button" onClick={() => window.dispatchEvent(new Event("tocsin:stop"))}>
        <span>Release…</span>
      </button>
    </div>
  );
}
