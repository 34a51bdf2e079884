import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { suggestionsQuery } from "../../api/runs.ts";
import { MODE_WORDS } from "../../lib/runs.ts";
import { textOf } from "../../lib/params.ts";
import { writeValues } from "../../lib/search.ts";
import { Icon } from "../../ui/icons.tsx";

/** The runbooks whose triggers fit an alert or its page, with what they would start with. */
export function Suggestions({ alert, page }: { alert: string; page: string | undefined }) {
  const found = useQuery(suggestionsQuery(page ? { alert, page } : { alert })).data?.suggestions ?? [];
  if (found.length === 0) return null;
  return (
    <section className="part">
      <header className="part-head">
        <h3>Runbooks that fit</h3>
      </header>
      <ul className="fits">
        {found.map((each) => {
          const values = Object.fromEntries(Object.entries(each.params).map(([name, value]) => [name, textOf(value)]));
          return (
            <li key={each.doc_id} className="fit">
              <div className="fit-words">
                <Link to="/runs/documents/$id" params={{ id: each.doc_id }} className="fit-title">
                  {each.title}
                </Link>
                <p className="muted">
                  {each.why}; by itself {MODE_WORDS[each.mode] ?? each.mode}
                </p>
              </div>
              <Link to="/runs/documents/$id" params={{ id: each.doc_id }} search={{ start: "run", set: writeValues(values) }} className="button" data-look="plain">
                <Icon name="play" />
                <span>
                  Start…<span className="unseen"> {each.title}</span>
                </span>
              </Link>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
