import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { documentsQuery, type RunDocument } from "../../api/runs.ts";
import { useRowKeys } from "../../app/row-keys.ts";
import { PageHead, RUN_PLACES } from "../../app/head.tsx";
import { KIND_WORDS } from "../../lib/runs.ts";
import { DOCUMENT_KINDS, type DocumentsSearch } from "../../lib/search.ts";
import { plural } from "../../lib/units.ts";
import { Button, Toggle } from "../../ui/button.tsx";
import { TextField, SelectField } from "../../ui/field.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Empty, Region, Skeleton } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import { ClassTag, RunStateTag, VerdictTag } from "../runs/marks.tsx";
import "../../styles/runs.css";
import "../../styles/documents.css";

/** Returns how a document comes to run without a person asking, in words; empty when it does not. */
function startsBy(document: RunDocument): string {
  const acting = document.triggers.filter((each) => each.kind !== "manual" && each.effective_mode !== "disabled");
  if (acting.length === 0) return "by hand";
  return acting.map((each) => `${each.kind}: ${each.effective_mode}`).join(", ");
}

function Row({ document }: { document: RunDocument }) {
  const { succeeded, failed, refused } = document.runs_30d;
  return (
    <li>
      <Link to="/runs/documents/$id" params={{ id: document.id }} className="document">
        <span className="document-words">
          <span className="document-title">{document.title}</span>
          <span className="document-id clip">
            <span className="mono">{document.id}</span>, {document.owner}
          </span>
        </span>
        <span className="document-kind">{KIND_WORDS[document.kind]}</span>
        <span className="document-tags">
          <ClassTag of={document.class} />
          {document.stale && <Tag tone="warning">Stale</Tag>}
        </span>
        <span className="document-starts muted clip">{startsBy(document)}</span>
        <span className="document-last">
          {document.last_run ? (
            <>
              {document.last_run.verdict ? <VerdictTag verdict={document.last_run.verdict} /> : <RunStateTag run={{ state: document.last_run.state, waiting: null }} />}
              <small className="muted">
                <Time at={document.last_run.ended_at} after=" ago" />
              </small>
            </>
          ) : (
            <span className="muted">never ran</span>
          )}
        </span>
        <span className="document-month number" title={`In 30 days: ${succeeded} succeeded, ${failed} failed, ${refused} refused`}>
          {succeeded + failed === 0 ? <span className="muted">–</span> : `${succeeded} of ${succeeded + failed} good`}
          {document.schedule_next && (
            <small className="muted">
              next <Time at={document.schedule_next} />
            </small>
          )}
        </span>
      </Link>
    </li>
  );
}

function isHit(document: RunDocument, text: string): boolean {
  const where = `${document.id} ${document.title} ${document.platform} ${document.slug} ${document.owner} ${document.class}`.toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .every((word) => where.includes(word));
}

export function DocumentsScreen() {
  const search = useSearch({ from: "/runs/documents" });
  const navigate = useNavigate({ from: "/runs/documents" });
  const query = useQuery(documentsQuery);
  useRowKeys("document");
  const change = (part: Partial<DocumentsSearch>) => void navigate({ search: (now: DocumentsSearch) => ({ ...now, ...part }), replace: true });
  const all = query.data?.documents ?? [];
  const platforms = [...new Set([...all.map((each) => each.platform), ...(search.platform ? [search.platform] : [])])].sort();
  return (
    <div className="page">
      <PageHead title="Documents" note={query.data && `${plural(all.length, "document")}, what each does and who may start it`} places={RUN_PLACES} always />
      <div className="bar">
        <TextField label="Search documents" hideLabel type="search" placeholder="Title, name, owner or class" value={search.q ?? ""} onChange={(event) => change({ q: event.target.value || undefined })} />
        <div className="toggles" role="group" aria-label="Show only">
          {DOCUMENT_KINDS.map((kind) => (
            <Toggle key={kind} on={search.kind === kind} count={query.data && all.filter((each) => each.kind === kind).length} onChange={(on) => change({ kind: on ? kind : undefined })}>
              {KIND_WORDS[kind]}s
            </Toggle>
          ))}
        </div>
        <SelectField label="Platform" hideLabel value={search.platform ?? ""} choices={[{ value: "", label: "All platforms" }, ...platforms.map((name) => ({ value: name, label: name }))]} onPick={(platform) => change({ platform: platform || undefined })} />
      </div>
      <Region query={query} what="the documents" skeleton={<Skeleton rows={8} height={56} />}>
        {() => {
          const shown = all.filter((each) => (!search.kind || each.kind === search.kind) && (!search.platform || each.platform === search.platform) && isHit(each, search.q ?? ""));
          if (all.length === 0) {
            return (
              <Empty icon="document" title="No document is loaded">
                Runbooks, experiments and drills come from the files that runbook_files names.
              </Empty>
            );
          }
          if (shown.length === 0) return <Empty icon="search" title="No document matches" action={<Button onClick={() => change({ q: undefined, kind: undefined, platform: undefined })}>Clear filter</Button>} />;
          return (
            <div className="stack">
              {platforms.map((platform) => {
                const list = shown.filter((each) => each.platform === platform);
                if (list.length === 0) return null;
                return (
                  <section key={platform} className="card" data-flush>
                    <header className="card-head">
                      <h2>{platform}</h2>
                      <div className="card-note">{plural(list.length, "document")}</div>
                    </header>
                    <ul>
                      {list
                        .toSorted((left, right) => DOCUMENT_KINDS.indexOf(left.kind) - DOCUMENT_KINDS.indexOf(right.kind) || left.title.localeCompare(right.title))
                        .map((each) => (
                          <Row key={each.id} document={each} />
                        ))}
                    </ul>
                  </section>
                );
              })}
            </div>
          );
        }}
      </Region>
    </div>
  );
}
