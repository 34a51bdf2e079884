import { useMutation, useQueryClient } from "@tanstack/react-query";
import { wordsOf } from "../../api/client.ts";
import { toast } from "../../ui/toasts.tsx";

const STALE = ["runs", "run", "documents", "document", "kill-switch", "freezes", "drills"];

/** Returns how to carry out an action on runs: it says how it went, and everything that shows runs is asked for anew. */
export function useActing<Asked, Answer>(act: (asked: Asked) => Promise<Answer>, words: { done: (asked: Asked, answer: Answer) => string; failed: string }) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: act,
    onSuccess: (answer: Answer, asked: Asked) => {
      toast(words.done(asked, answer));
    },
    onError: (error) => {
      const { title, detail } = wordsOf(error);
      toast(`${words.failed}: ${title}${detail && `. ${detail}`}`, { tone: "critical" });
    },
    onSettled: () => Promise.all(STALE.map((name) => client.invalidateQueries({ queryKey: [name] }))),
  });
}
