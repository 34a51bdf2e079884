import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { documentQuery, runsQuery, type DocumentStep, type RunDocument } from "../../api/runs.ts";
import { useBackKey } from "../../app/row-keys.ts";
import { PageHead } from "../../app/head.tsx";
import { formatTook } from "../../lib/drills.ts";
import { boundsOf, textOf } from "../../lib/params.ts";
import { CLASS_WORDS, EFFECT_WORDS, KIND_WORDS, MODE_WORDS, onFailWords } from "../../lib/runs.ts";
import { readValues } from "../../lib/search.ts";
import { Button } from "../../ui/button.tsx";
import { Card } from "../../ui/card.tsx";
import { CopyButton } from "../../ui/copy.tsx";
import { Icon } from "../../ui/icons.tsx";
import { Tag } from "../../ui/marks.tsx";
import { SidePanel } from "../../ui/overlays.tsx";
import { Banner, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { ClassTag } from "../runs/marks.tsx";
import { RunRow } from "../runs/screen.tsx";
import { StartForm } from "./start.tsx";
import "../../styles/runs.css";
import "../../styles/documents.css";
import "../../styles/silences.css";

function Step({ step, number }: { step: DocumentStep; number: number }) {
  return (
    <li className="plan-step">
      <span className="plan-number number">{number}</span>
      <div>
        <p className="plan-text">{step.text || step.id}</p>
        <p className="plan-facts">
          <span className="mono">{step.id}</span>, {step.kind}
          {step.timeout_seconds !== null && `, at most ${formatTook(step.timeout_seconds)}`}, {step.effect}: {EFFECT_WORDS[step.effect]}
          {step.on_fail && step.on_fail !== "abort" && `; when it fails ${onFailWords(step.on_fail)}`}
        </p>
      </div>
      <span className="plan-tags">
        {step.fault && <Tag tone="warning">Fault</Tag>}
        {step.undo && (
          <Tag tone="ok">
            <Icon name="undo" size={12} />
            Can be undone
          </Tag>
        )}
        {(step.class === "disruptive" || step.class === "destructive") && <ClassTag of={step.class} />}
      </span>
    </li>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Triggers({ document }: { document: RunDocument }) {
  return (
    <Card title="What starts it" flush>
      <ul className="triggers">
        {document.triggers.map((each) => (
          <li key={`${each.kind} ${each.text}`}>
            <span className="trigger-words">
              <span>{each.text}</span>
              <small className="muted">
                {each.kind === "manual" ? "a person starts it" : MODE_WORDS[each.effective_mode]}
                {each.next_due && (
                  <>
                    , next <Time at={each.next_due} />
                  </>
                )}
                {each.mode !== each.effective_mode && `; it would be ${each.mode}, which it has not earned yet`}
              </small>
            </span>
            {each.kind !== "manual" && <Tag tone={each.effective_mode === "auto" ? "accent" : "quiet"}>{each.effective_mode}</Tag>}
          </li>
        ))}
        {document.triggers.length === 0 && <li className="muted">Nothing: only another run may call it.</li>}
      </ul>
    </Card>
  );
}

function Content({ document }: { document: RunDocument & { source: string } }) {
  const [source, setSource] = useState(false);
  const runs = useQuery(runsQuery({ doc: document.id, limit: 10 })).data?.runs ?? [];
  return (
    <>
      {document.stale && (
        <Banner tone="warning">
          <strong>Not reviewed in time.</strong> It was to be reviewed by <Time at={document.review_by} show="stamp" />. Until then no trigger starts it alone.
        </Banner>
      )}
      {!document.may_start && document.why_not && <Banner tone="info">{document.why_not}.</Banner>}
      <div className="run-columns">
        <div className="stack">
          <Card title="What it does" flush>
            <ol className="plan">
              {document.steps.map((step, index) => (
                <Step key={step.id} step={step} number={index + 1} />
              ))}
            </ol>
            {document.verify.length > 0 && (
              <div className="verify">
                <h3>Then it must hold</h3>
                <ul>
                  {document.verify.map((text) => (
                    <li key={text}>
                      <Icon name="check" size={14} />
                      {text}
                    </li>
                  ))}
                </ul>
              </div>
            )}
          </Card>
          {runs.length > 0 && (
            <Card
              title="Runs"
              note={
                <Link to="/runs" search={{ doc: document.id }}>
                  all of them
                </Link>
              }
              flush
            >
              <ul className="run-list">
                {runs.map((run) => (
                  <RunRow key={run.id} run={run} />
                ))}
              </ul>
            </Card>
          )}
          <section className="card" data-flush>
            <header className="card-head">
              <h2>Source</h2>
              <div className="card-note line">
                <span className="mono">{document.file}</span>
                <CopyButton text={document.source} label="Copy source" />
                <Button look="ghost" aria-expanded={source} onClick={() => setSource(!source)}>
                  {source ? "Hide" : "Show"}
                </Button>
              </div>
            </header>
            {source && <pre className="source" tabIndex={0} role="region" aria-label="Source">{document.source}</pre>}
          </section>
        </div>
        <div className="stack">
          <Card title="Facts">
            <dl className="pairs">
              <Fact name="Class">
                <ClassTag of={document.class} /> {CLASS_WORDS[document.class]}
              </Fact>
              <Fact name="You">{document.may_start ? "may start it" : "may not start it"}</Fact>
              <Fact name="Owner">{document.owner}</Fact>
              <Fact name="Version">
                <span className="mono">{document.hash.slice(0, 12)}</span>
              </Fact>
              {document.review_by && (
                <Fact name="Review by">
                  <Time at={document.review_by} show="stamp" />
                </Fact>
              )}
              {document.objective && (
                <Fact name="Objective">
                  RTO {formatTook(document.objective.rto_seconds)}, RPO {formatTook(document.objective.rpo_seconds)}
                </Fact>
              )}
              <Fact name="In 30 days">
                {document.runs_30d.succeeded} succeeded, {document.runs_30d.failed} failed, {document.runs_30d.refused} refused
              </Fact>
            </dl>
          </Card>
          {document.experiment && (
            <Card title="Hypothesis" note={`in ${document.experiment.environment}`}>
              <ul className="plain-list">
                {document.experiment.hypothesis.map((text) => (
                  <li key={text}>{text}</li>
                ))}
              </ul>
            </Card>
          )}
          <Triggers document={document} />
          {document.guards.length > 0 && (
            <Card title="What must hold before">
              <dl className="pairs">
                {document.guards.map((guard) => (
                  <Fact key={`${guard.name} ${guard.text}`} name={guard.name.replaceAll("_", " ")}>
                    {guard.text}
                  </Fact>
                ))}
              </dl>
            </Card>
          )}
          {document.params.length > 0 && (
            <Card title="Values it takes">
              <dl className="pairs">
                {document.params.map((param) => (
                  <Fact key={param.name} name={param.name}>
                    {boundsOf(param)}
                    {param.default !== null ? `; ${textOf(param.default)} unless told` : param.required ? "; needed" : ""}
                  </Fact>
                ))}
              </dl>
            </Card>
          )}
        </div>
      </div>
    </>
  );
}

export function DocumentScreen() {
  const { id } = useParams({ from: "/runs/documents/$id" });
  const search = useSearch({ from: "/runs/documents/$id" });
  const navigate = useNavigate({ from: "/runs/documents/$id" });
  const query = useQuery(documentQuery(id));
  useBackKey("/runs/documents");
  const document = query.data;
  const close = () => void navigate({ search: {}, replace: true });
  return (
    <div className="page">
      <Link to="/runs/documents" className="back">
        <Icon name="chevronLeft" size={14} />
        Documents
      </Link>
      <PageHead title={document?.title ?? "Document"} note={document && `${KIND_WORDS[document.kind]} of ${document.platform}`}>
        {document && (
          <Button look="solid" icon="play" reason={document.may_start ? undefined : (document.why_not ?? "You may not start it")} onClick={() => void navigate({ search: { start: "run" } })}>
            Start…
          </Button>
        )}
      </PageHead>
      <Region query={query} what="this document" skeleton={<Skeleton rows={5} height={64} />}>
        {(data) => <Content document={data} />}
      </Region>
      <SidePanel open={search.start === "run" && document !== undefined} onClose={close} title="Start a run">
        {document && search.start === "run" && <StartForm document={document} given={readValues(search.set)} onDone={close} />}
      </SidePanel>
    </div>
  );
}
