import type { RunDetail } from "../../api/runs.ts";
import { textOf } from "../../lib/params.ts";

/** What a run was given and what it concerns, as rows of a list of pairs. */
export function Given({ run }: { run: RunDetail }) {
  const params = Object.entries(run.params);
  return (
    <>
      <div>
        <dt>Values</dt>
        <dd>
          {params.length === 0
            ? "none"
            : params.map(([name, value]) => (
                <span key={name} className="value">
                  {name} = <strong>{textOf(value)}</strong>
                </span>
              ))}
        </dd>
      </div>
      <div>
        <dt>Targets</dt>
        <dd>{run.targets.length === 0 ? "none" : run.targets.join(", ")}</dd>
      </div>
    </>
  );
}
