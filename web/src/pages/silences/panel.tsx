import { lazy, Suspense } from "react";
import type { Matcher } from "../../lib/matchers.ts";
import { SidePanel } from "../../ui/overlays.tsx";
import { Skeleton } from "../../ui/states.tsx";
import "../../styles/silences.css";

const SilenceForm = lazy(() => import("./form.tsx").then((module) => ({ default: module.SilenceForm })));

/** The form for a new silence, open when it has matchers to start with (none is a start too). */
export function SilencePanel({ start, onClose }: { start: Matcher[] | undefined; onClose: () => void }) {
  return (
    <SidePanel open={start !== undefined} onClose={onClose} title="New silence">
      <Suspense fallback={<Skeleton rows={4} height={44} />}>{start && <SilenceForm start={start} onDone={onClose} />}</Suspense>
    </SidePanel>
  );
}
