import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { killSwitchQuery, turnKillSwitch, type SwitchState } from "../../api/runs.ts";
import { useWhyNot } from "../../app/session.ts";
import { Button } from "../../ui/button.tsx";
import { TextField } from "../../ui/field.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Dialog } from "../../ui/overlays.tsx";
import { Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { useActing } from "./acting.ts";
import "../../styles/safety.css";

// Whoever stops everything has no time to write; the reason can be told in the release.
const NO_REASON = "Pulled by hand";

interface RowProps {
  name: string;
  /** The platform, or null for everything. */
  platform: string | null;
  state: SwitchState | null;
}

function Row({ name, platform, state }: RowProps) {
  const [releasing, setReleasing] = useState(false);
  const [why, setWhy] = useState("");
  const [asked, setAsked] = useState(false);
  const mayNotPull = useWhyNot("operator", "Pulling the kill switch");
  const mayNotRelease = useWhyNot("sre-lead", "Releasing the kill switch");
  const turn = useActing(({ on, reason }: { on: boolean; reason: string }) => turnKillSwitch(platform, on, reason), {
    done: ({ on }) => (on ? `Stopped ${name}` : `Released ${name}`),
    failed: "The kill switch did not turn",
  });
  const on = state?.on === true;
  return (
    <li className="switch-place" data-on={on || undefined} data-whole={platform === null || undefined}>
      <div className="switch-words">
        <p className="switch-name">
          {platform === null ? "Everything" : platform} {on && <Tag tone="critical" solid>Stopped</Tag>}
        </p>
        <p className="muted">
          {on && state?.by ? (
            <>
              by {state.by} <Time at={state.at} after=" ago" />
              {state.why && `: ${state.why}`}
            </>
          ) : platform === null ? (
            "No run of any platform begins or goes on"
          ) : on ? (
            "No run of this platform begins or goes on"
          ) : (
            "Runs may act"
          )}
        </p>
      </div>
      {on ? (
        !releasing && (
          <Button reason={mayNotRelease} onClick={() => setReleasing(true)}>
            Release<span className="unseen"> {name}</span>…
          </Button>
        )
      ) : (
        <Button look={platform === null ? "danger" : "plain"} icon="stop" reason={mayNotPull} busy={turn.isPending && "Stopping…"} onClick={() => turn.mutate({ on: true, reason: NO_REASON })}>
          Stop {name}
        </Button>
      )}
      {on && releasing && (
        <form
          className="switch-release"
          noValidate
          onSubmit={(event) => {
            event.preventDefault();
            setAsked(true);
            if (why.trim() !== "" && !mayNotRelease && !turn.isPending) turn.mutate({ on: false, reason: why.trim() }, { onSuccess: () => setReleasing(false) });
          }}
        >
          <TextField label={`Why ${name} may run again`} value={why} maxLength={500} error={asked && why.trim() === "" ? "A reason is needed" : undefined} onChange={(event) => setWhy(event.target.value)} />
          <span className="line">
            <Button submit look="solid" busy={turn.isPending && "Releasing…"}>
              Release
            </Button>
            <Button onClick={() => setReleasing(false)}>Keep stopped</Button>
          </span>
        </form>
      )}
    </li>
  );
}

/** Stops and releases runs: all at once, or those of a platform. */
export function KillSwitch() {
  const query = useQuery(killSwitchQuery);
  return (
    <Region query={query} what="the kill switch" skeleton={<Skeleton rows={3} height={52} />}>
      {(state) => (
        <ul className="switches">
          <Row key={`all ${state.global?.on}`} name="everything" platform={null} state={state.global} />
          {state.platforms.map((each) => (
            <Row key={`${each.name} ${each.on}`} name={each.name} platform={each.name} state={each} />
          ))}
        </ul>
      )}
    </Region>
  );
}

export function KillSwitchDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title="Kill switch" wide>
      {open && <KillSwitch />}
    </Dialog>
  );
}
