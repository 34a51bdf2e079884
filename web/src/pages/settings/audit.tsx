import { useQuery } from "@tanstack/react-query";
import { auditQuery } from "../../api/queries.ts";
import { PageHead, useSettingsPlaces } from "../../app/head.tsx";
import { Tag } from "../../ui/marks.tsx";
import { Empty, Region } from "../../ui/states.tsx";
import { Time } from "../../ui/time.tsx";
import "../../styles/settings.css";

const GOOD = new Set(["done", "ok", "success", "allowed"]);

export function AuditScreen() {
  const query = useQuery(auditQuery);
  const places = useSettingsPlaces();
  return (
    <div className="page">
      <PageHead title="Audit" note="Who did what, newest first" places={places} always />
      <Region query={query} what="the audit">
        {(data) =>
          data.entries.length === 0 ? (
            <Empty icon="audit" title="Nothing was done yet" />
          ) : (
            <div className="card table-wrap" data-flush>
              <table className="table">
                <caption className="unseen">Audit</caption>
                <thead>
                  <tr>
                    <th scope="col">When</th>
                    <th scope="col">Who</th>
                    <th scope="col">Action</th>
                    <th scope="col">Subject</th>
                    <th scope="col">Outcome</th>
                    <th scope="col">Detail</th>
                  </tr>
                </thead>
                <tbody>
                  {data.entries.map((entry) => (
                    <tr key={`${entry.at} ${entry.who} ${entry.action} ${entry.subject}`}>
                      <td data-name="When">
                        <Time at={entry.at} show="stamp" />
                      </td>
                      <td data-name="Who">{entry.who}</td>
                      <td data-name="Action" className="mono">
                        {entry.action}
                      </td>
                      <td data-name="Subject">{entry.subject}</td>
                      <td data-name="Outcome">
                        <Tag tone={GOOD.has(entry.outcome) ? "ok" : "warning"}>{entry.outcome}</Tag>
                      </td>
                      <td data-name="Detail" className="soft">
                        {entry.detail}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Region>
    </div>
  );
}
