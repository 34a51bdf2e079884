import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { setFault } from "../../api/actions.ts";
import { wordsOf } from "../../api/client.ts";
import { demoQuery } from "../../api/queries.ts";
import { useWhyNotOperate } from "../../app/session.ts";
import { Switch } from "../../ui/field.tsx";
import { Region } from "../../ui/states.tsx";
import { toast } from "../../ui/toasts.tsx";

/** Switches that break the services of the demo, so that a reader can watch what follows. */
export function FaultSwitches() {
  const client = useQueryClient();
  const demo = useQuery(demoQuery);
  const reason = useWhyNotOperate();
  const change = useMutation({
    mutationFn: ({ name, active }: { name: string; active: boolean }) => setFault(name, active),
    onSuccess: (answer) => client.setQueryData(demoQuery.queryKey, answer),
    onError: (error) => toast(wordsOf(error).title, { tone: "critical" }),
  });
  return (
    <section className="card">
      <header className="card-head">
        <h2>Demo: break a service</h2>
      </header>
      <Region query={demo} what="the demo">
        {(data) => (
          <div className="stack">
            {data.services.map((service) => (
              <div key={service.name} className="stack-8">
                <h3>{service.name}</h3>
                {service.faults.map((fault) => (
                  <Switch key={fault.name} on={fault.active} label={fault.title} hint={fault.description} reason={reason} onChange={(active) => change.mutate({ name: fault.name, active })} />
                ))}
              </div>
            ))}
          </div>
        )}
      </Region>
    </section>
  );
}
