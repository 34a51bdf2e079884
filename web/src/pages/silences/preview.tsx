import type { UseQueryResult } from "@tanstack/react-query";
import type { SilencePreview } from "../../api/silences.ts";
import { plural } from "../../lib/units.ts";
import { AlertStateTag, SeverityMark } from "../../ui/marks.tsx";
import { Banner, Failure, Skeleton } from "../../ui/states.tsx";

const MOST = 6;

function warnings(preview: SilencePreview): string[] {
  return [
    ...(preview.covers_every_critical && preview.critical > 0 ? ["It hides every critical alert that fires now."] : []),
    ...(preview.no_equality ? ["No matcher asks for one exact value, so it may hide alerts that do not exist yet."] : []),
  ];
}

/** Shows what the silence would hide, as it is being written. */
export function Preview({ query, empty }: { query: UseQueryResult<SilencePreview>; empty: boolean }) {
  if (empty) return <p className="preview-empty">Add a matcher to see what the silence hides.</p>;
  if (query.isError) return <Failure error={query.error} retry={() => void query.refetch()} what="the preview" />;
  if (!query.data) return <Skeleton rows={2} height={44} />;
  const preview = query.data;
  return (
    <section className="preview" aria-label="Preview">
      <p className="preview-count" role="status">
        {preview.total === 0 ? "Hides no alert that fires now" : `Hides ${plural(preview.total, "firing alert")}, ${preview.critical} critical`}
      </p>
      {preview.faults.map((words) => (
        <Banner key={words} tone="critical">
          Not allowed here: {words}
        </Banner>
      ))}
      {preview.spared > 0 && (
        <Banner tone="info">
          {plural(preview.spared, "alert")} {preview.spared === 1 ? "stays" : "stay"} heard: the configuration lets no silence mute {preview.spared === 1 ? "it" : "them"}.
        </Banner>
      )}
      {warnings(preview).map((words) => (
        <Banner key={words} tone="warning">
          {words}
        </Banner>
      ))}
      {preview.alerts.length > 0 && (
        <ul className="preview-list">
          {preview.alerts.slice(0, MOST).map((alert) => (
            <li key={alert.fingerprint}>
              <SeverityMark severity={alert.severity} bare />
              <span className="clip">
                {alert.name} <span className="muted">{alert.labels.instance ?? alert.labels.service ?? ""}</span>
              </span>
              <AlertStateTag alert={alert} />
            </li>
          ))}
          {preview.total > MOST && <li className="muted">and {preview.total - MOST} more</li>}
        </ul>
      )}
    </section>
  );
}
