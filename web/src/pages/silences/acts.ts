import { useMutation, useQueryClient } from "@tanstack/react-query";
import { ApiError, wordsOf } from "../../api/client.ts";
import { STALE_BY } from "../../api/queries.ts";
import { endSilence, setSilence, type Silence } from "../../api/silences.ts";
import { serverNow } from "../../app/clock.ts";
import { extended, revived } from "../../lib/plans.ts";
import { toast } from "../../ui/toasts.tsx";

/** Returns what asks again for all that silences change. */
export function useRefresh(): () => Promise<unknown> {
  const client = useQueryClient();
  return () => Promise.all(STALE_BY.silences.map((name) => client.invalidateQueries({ queryKey: [name] })));
}

/** Returns whether somebody has changed the silence since the reader saw it. */
export function isOutdated(error: unknown): boolean {
  return error instanceof ApiError && error.status === 409;
}

/** Returns why the server did not take a silence, in its words. */
export function refusal(error: unknown): string {
  const { title, detail } = wordsOf(error);
  return detail || title;
}

export function useEndSilence() {
  const refresh = useRefresh();
  return useMutation({
    mutationFn: (silence: Silence) => endSilence(silence.id),
    onSuccess: async (_answer, silence) => {
      toast("Ended the silence", {
        undo: () => {
          setSilence(revived(silence, serverNow())).then(refresh, (error: unknown) => toast(`Not undone: ${refusal(error)}`, { tone: "critical" }));
        },
      });
      await refresh();
    },
    onError: (error) => toast(`Not ended: ${refusal(error)}`, { tone: "critical" }),
  });
}

export function useExtendSilence() {
  const refresh = useRefresh();
  return useMutation({
    mutationFn: (silence: Silence) => setSilence(extended(silence, serverNow())),
    onSuccess: () => toast("Extended the silence by 1 h"),
    onError: (error) => toast(isOutdated(error) ? "Not extended: somebody has changed it meanwhile; look again" : `Not extended: ${refusal(error)}`, { tone: "critical" }),
    onSettled: refresh,
  });
}
