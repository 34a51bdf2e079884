import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { createFreeze, documentsQuery, endFreeze, freezesQuery, type Freeze } from "../../api/runs.ts";
import { serverNow, useNow } from "../../app/clock.ts";
import { PageHead, RUN_PLACES } from "../../app/head.tsx";
import { useWhyNot } from "../../app/session.ts";
import { useZone } from "../../app/settings.ts";
import { DAY, formatSpan, fromLocalInput, parseInstant, toInstant, toLocalInput, zoneName } from "../../lib/time.ts";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { SelectField, TextField } from "../../ui/field.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Dialog } from "../../ui/overlays.tsx";
import { Empty, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { useActing } from "./acting.ts";
import { KillSwitch } from "./kill-switch.tsx";
import "../../styles/safety.css";

function FreezeForm({ onDone }: { onDone: () => void }) {
  const zone = useZone();
  const platforms = [...new Set(useQuery(documentsQuery).data?.documents.map((each) => each.platform))].sort();
  const [scope, setScope] = useState("*");
  const [reason, setReason] = useState("");
  const [starts, setStarts] = useState(() => toLocalInput(serverNow(), zone));
  const [ends, setEnds] = useState(() => toLocalInput(serverNow() + DAY, zone));
  const [asked, setAsked] = useState(false);
  const save = useActing(createFreeze, { done: (freeze) => `Frozen: ${freeze.scope === "*" ? "everything" : freeze.scope}`, failed: "Not frozen" });
  const from = fromLocalInput(starts, zone);
  const until = fromLocalInput(ends, zone);
  const endFault = until === null ? "Not a date and time" : from !== null && until <= from ? "The end lies before the start" : until <= serverNow() ? "The end lies in the past" : undefined;
  return (
    <form
      className="stack"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        setAsked(true);
        if (from === null || until === null || endFault || reason.trim() === "" || save.isPending) return;
        save.mutate({ scope, reason: reason.trim(), starts: toInstant(from), ends: toInstant(until) }, { onSuccess: onDone });
      }}
    >
      <SelectField label="What is frozen" value={scope} choices={[{ value: "*", label: "Every platform" }, ...platforms.map((name) => ({ value: name, label: name }))]} onPick={setScope} />
      <div className="two">
        <TextField label={`From, in ${zoneName(from ?? serverNow(), zone)}`} type="datetime-local" value={starts} error={from === null ? "Not a date and time" : undefined} onChange={(event) => setStarts(event.target.value)} />
        <TextField label={`Until, in ${zoneName(until ?? serverNow(), zone)}`} type="datetime-local" value={ends} error={endFault} onChange={(event) => setEnds(event.target.value)} />
      </div>
      <TextField label="Reason" value={reason} maxLength={500} error={asked && reason.trim() === "" ? "A reason is needed: it is what a refused run shows" : undefined} onChange={(event) => setReason(event.target.value)} />
      <div className="line">
        <Button submit look="solid" icon="snow" busy={save.isPending && "Freezing…"}>
          Freeze
        </Button>
        <Button onClick={onDone}>Cancel</Button>
      </div>
    </form>
  );
}

function Row({ freeze }: { freeze: Freeze }) {
  const now = useNow();
  const mayNot = useWhyNot("operator", "Ending a freeze");
  const [sure, setSure] = useState(false);
  const end = useActing(endFreeze, { done: () => "Ended the freeze", failed: "Not ended" });
  const starts = parseInstant(freeze.starts) ?? 0;
  const ends = parseInstant(freeze.ends) ?? 0;
  const ahead = starts > now;
  return (
    <li className="freeze">
      <div className="freeze-words">
        <p className="line wrap">
          <strong>{freeze.scope === "*" ? "Every platform" : freeze.scope}</strong>
          {ahead ? <Tag tone="info">Begins in {formatSpan(starts - now)}</Tag> : ends > now ? <Tag tone="accent">Frozen, {formatSpan(ends - now)} left</Tag> : <Tag>Over</Tag>}
        </p>
        <p>{freeze.reason}</p>
        <p className="muted">
          <Time at={freeze.starts} show="stamp" /> to <Time at={freeze.ends} show="stamp" />, by {freeze.by}
        </p>
      </div>
      <Button reason={mayNot} look={sure ? "danger" : "plain"} busy={end.isPending && "Ending…"} onBlur={() => setSure(false)} onClick={() => (sure ? end.mutate(freeze.id) : setSure(true))}>
        {sure ? "End it now?" : ahead ? "Take back" : "End freeze"}
      </Button>
    </li>
  );
}

export function SafetyScreen() {
  const query = useQuery(freezesQuery);
  const mayNot = useWhyNot("operator", "Freezing");
  const [adding, setAdding] = useState(false);
  return (
    <div className="page">
      <PageHead title="Stops and freezes" note="What keeps runs from acting" places={RUN_PLACES} always>
        <Button icon="plus" reason={mayNot} onClick={() => setAdding(true)}>
          New freeze
        </Button>
      </PageHead>
      <div className="safety-columns">
        <Card title="Kill switch" note="stops at once, whatever runs" flush>
          <KillSwitch />
        </Card>
        <Card title="Freezes" note="no run that changes anything begins" flush>
          <Region query={query} what="the freezes" skeleton={<Skeleton rows={2} height={80} />}>
            {(data) =>
              data.freezes.length === 0 ? (
                <Empty icon="snow" title="Nothing is frozen">
                  Runs may begin at any time.
                </Empty>
              ) : (
                <ul>
                  {data.freezes
                    .toSorted((left, right) => left.starts.localeCompare(right.starts))
                    .map((freeze) => (
                      <Row key={freeze.id} freeze={freeze} />
                    ))}
                </ul>
              )
            }
          </Region>
        </Card>
      </div>
      <Dialog open={adding} onClose={() => setAdding(false)} title="New freeze">
        {adding && <FreezeForm onDone={() => setAdding(false)} />}
      </Dialog>
    </div>
  );
}

