import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useState } from "react";
import { silencesQuery, type Silence, type SilenceList } from "../../api/silences.ts";
import type { Matcher } from "../../lib/matchers.ts";
import { SidePanel } from "../../ui/overlays.tsx";
import { Empty, Failure, Skeleton } from "../../ui/states.tsx";
import "../../styles/silences.css";

const SilenceForm = lazy(() => import("./form.tsx").then((module) => ({ default: module.SilenceForm })));

/** The form that changes a silence. What others do to it meanwhile does not touch what the reader has typed. */
function ChangeForm({ id, onClose }: { id: string; onClose: () => void }) {
  const query = useQuery(silencesQuery);
  const [held, setHeld] = useState<{ silence: Silence; round: number } | null>(null);
  const live = (list: SilenceList | undefined) => list?.silences.find((each) => each.id === id && each.state !== "expired");
  const found = live(query.data);
  if (held === null && found) setHeld({ silence: found, round: 0 });
  const again = async () => {
    const fresh = live((await query.refetch()).data);
    setHeld((before) => (fresh ? { silence: fresh, round: (before?.round ?? 0) + 1 } : null));
  };
  if (held) return <SilenceForm key={held.round} start={[]} changed={held.silence} onDone={onClose} onAgain={() => void again()} />;
  if (query.data) {
    return (
      <Empty icon="bellOff" title="This silence has ended">
        It may have been replaced by another one.
      </Empty>
    );
  }
  return query.isError ? <Failure error={query.error} retry={() => void query.refetch()} what="the silence" /> : <Skeleton rows={4} height={44} />;
}

interface PanelProps {
  /** Matchers of a new silence; none is a start too. */
  start: Matcher[] | undefined;
  /** Id of the silence that is changed. */
  change?: string | undefined;
  onClose: () => void;
}

/** The form for a silence, open when it has matchers to start with or a silence to change. */
export function SilencePanel({ start, change, onClose }: PanelProps) {
  return (
    <SidePanel open={start !== undefined || change !== undefined} onClose={onClose} title={change === undefined ? "New silence" : "Change silence"}>
      <Suspense fallback={<Skeleton rows={4} height={44} />}>
        {change !== undefined ? <ChangeForm key={change} id={change} onClose={onClose} /> : start && <SilenceForm start={start} changed={null} onDone={onClose} />}
      </Suspense>
    </SidePanel>
  );
}
