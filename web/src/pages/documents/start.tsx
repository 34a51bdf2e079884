import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { ApiError, wordsOf } from "../../api/client.ts";
import { startRun, type Param, type RunDocument } from "../../api/runs.ts";
import { boundsOf, faultOf, startText, textOf } from "../../lib/params.ts";
import { CLASS_WORDS } from "../../lib/runs.ts";
import { Button } from "../../ui/button.tsx";
import { SelectField, TextArea, TextField } from "../../ui/field.tsx";
import { Banner } from "../../ui/states.tsx";
import { toast } from "../../ui/toasts.tsx";
import { ClassTag } from "../runs/marks.tsx";

/** Returns a name for one press of the button, so that the run begins once even when the request is sent again. */
function freshReference(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function Value({ param, text, fault, onChange }: { param: Param; text: string; fault: string | undefined; onChange: (text: string) => void }) {
  const label = param.required ? param.name : `${param.name} (may be left out)`;
  if (param.type === "enum" || param.type === "bool") {
    const values = param.type === "bool" ? ["true", "false"] : (param.values ?? []);
    const none = text === "" || !param.required ? [{ value: "", label: param.required ? "Choose…" : "Left out" }] : [];
    return <SelectField label={label} value={text} hint={fault ? <span className="field-error">{fault}</span> : undefined} choices={[...none, ...values.map((value) => ({ value, label: value }))]} onPick={onChange} />;
  }
  return (
    <TextField
      label={label}
      value={text}
      inputMode={param.type === "int" ? "numeric" : param.type === "float" ? "decimal" : "text"}
      autoComplete="off"
      spellCheck={false}
      hint={boundsOf(param)}
      error={fault}
      onChange={(event) => onChange(event.target.value.trim())}
    />
  );
}

/** Says why a run was refused, and where the refusal is kept. */
function Refusal({ error }: { error: unknown }) {
  const { title, detail } = wordsOf(error);
  const extra = error instanceof ApiError ? error.extra : {};
  const refusal = extra.refusal as { guard?: unknown; reason?: unknown } | undefined;
  const guard = typeof refusal?.guard === "string" ? refusal.guard.replaceAll("_", " ") : null;
  const run = typeof extra.run === "string" ? extra.run : null;
  return (
    <Banner tone="critical">
      <strong>{guard ? `Refused by the guard ${guard}.` : `Not started: ${title}.`}</strong> {typeof refusal?.reason === "string" ? refusal.reason : detail}{" "}
      {run && (
        <Link to="/runs/$id" params={{ id: run }}>
          What was refused
        </Link>
      )}
    </Banner>
  );
}

export function StartForm({ document, given, onDone }: { document: RunDocument; given: Record<string, string>; onDone: () => void }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [values, setValues] = useState<Record<string, string>>(() => Object.fromEntries(document.params.map((param) => [param.name, startText(param, given)])));
  const [reason, setReason] = useState("");
  const [asked, setAsked] = useState(false);
  const [reference, setReference] = useState(freshReference);
  const faults = new Map(document.params.flatMap((param) => {
    const fault = faultOf(param, values[param.name] ?? "");
    return fault === null ? [] : [[param.name, fault]];
  }));
  const start = useMutation({
    mutationFn: (dry: boolean) =>
      startRun(document.id, {
        params: Object.fromEntries(Object.entries(values).filter(([, text]) => text !== "")),
        dry_run: dry,
        reference,
        ...(reason.trim() === "" ? {} : { reason: reason.trim() }),
      }),
    onSuccess: (run, dry) => {
      toast(dry ? "Dry run: the guards answered, nothing was done" : `Started ${document.title}`);
      void navigate({ to: "/runs/$id", params: { id: run.id } });
    },
    onError: (error) => {
      // A refusal is an answer: the next press asks again, under a name of its own.
      if (error instanceof ApiError && error.status > 0 && error.status < 500) setReference(freshReference());
    },
    onSettled: () => Promise.all(["runs", "documents", "document"].map((name) => client.invalidateQueries({ queryKey: [name] }))),
  });
  const send = (dry: boolean) => {
    setAsked(true);
    if (faults.size === 0 && !start.isPending && document.may_start) start.mutate(dry);
  };
  const reasonNot = document.may_start ? undefined : (document.why_not ?? "You may not start it");
  const approvals = document.guards.find((guard) => guard.name === "approvals");
  return (
    <form
      className="silence-form"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        send(false);
      }}
    >
      <div className="form-scroll">
        <div className="stack-8">
          <h3 className="start-title">{document.title}</h3>
          <p className="soft">
            <ClassTag of={document.class} /> {CLASS_WORDS[document.class]}. {document.steps.length} steps, version <span className="mono">{document.hash.slice(0, 12)}</span>.
          </p>
        </div>
        {reasonNot && <Banner tone="info">{reasonNot}.</Banner>}
        {start.isError && <Refusal error={start.error} />}
        {document.params.map((param) => (
          <Value key={param.name} param={param} text={values[param.name] ?? ""} fault={asked ? faults.get(param.name) : undefined} onChange={(text) => setValues((now) => ({ ...now, [param.name]: text }))} />
        ))}
        {document.params.length === 0 && <p className="muted">It takes no values.</p>}
        <TextArea label="Reason (may be left out)" value={reason} maxLength={1000} placeholder="Why now, and where is it tracked" onChange={(event) => setReason(event.target.value)} />
        <p className="field-hint">{approvals ? `Before it acts it waits for approval: ${approvals.text}.` : "It acts as soon as its guards have passed."} A dry run asks the guards and does nothing.</p>
        {Object.keys(given).length > 0 && <p className="field-hint">Values were filled in from the alert: {Object.entries(given).map(([name, value]) => `${name} = ${textOf(value)}`).join(", ")}.</p>}
      </div>
      <div className="form-foot">
        <Button onClick={onDone}>Cancel</Button>
        <Button reason={reasonNot} busy={start.isPending && "Asking…"} onClick={() => send(true)}>
          Dry run
        </Button>
        <Button submit look="solid" icon="play" reason={reasonNot} busy={start.isPending && "Starting…"}>
          Start
        </Button>
      </div>
    </form>
  );
}
