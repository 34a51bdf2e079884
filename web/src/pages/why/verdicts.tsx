import type { WhyVerdict } from "../../api/types.ts";
import { useZone } from "../../app/settings.ts";
import { sentence } from "../../lib/why.ts";
import { Icon } from "../../ui/icons.tsx";
import { Tag, type Tone } from "../../ui/marks.tsx";
import { StageMark } from "./stages.tsx";
import "../../styles/verdicts.css";

/** What was held back on purpose is quiet; what was sent and has not arrived is not. */
function toneOf(verdict: WhyVerdict): Tone {
  if (verdict.told) return "ok";
  return verdict.stage === "delivery" ? "warning" : "quiet";
}

/** Draws what stands between backquotes as code. */
function Words({ text }: { text: string }) {
  return text.split("`").map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part));
}

/** Says once of what zone the times inside the server's texts are, where that is not the reader's. */
export function UtcNote() {
  return useZone() === "UTC" ? null : <span className="utc-note">Times inside the texts are UTC.</span>;
}

/** Says of each receiver whether it was told, why, and what would have had to be different. */
export function Verdicts({ verdicts }: { verdicts: readonly WhyVerdict[] }) {
  return (
    <ul className="verdicts" aria-label="Who was told">
      {verdicts.map((verdict) => (
        <li key={`${verdict.receiver} ${verdict.stage} ${verdict.why}`} className="verdict" data-tone={toneOf(verdict)}>
          <p className="verdict-head">
            <Tag tone={toneOf(verdict)}>
              <Icon name={verdict.told ? "check" : "close"} size={12} />
              {verdict.told ? "Told" : verdict.receiver === null ? "Nobody was told" : "Not told"}
            </Tag>
            {verdict.receiver !== null && <strong>{verdict.receiver}</strong>}
            <StageMark stage={verdict.stage} />
          </p>
          <p className="verdict-why">
            <Words text={sentence(verdict.why)} />
          </p>
          {verdict.otherwise !== null && (
            <p className="verdict-otherwise">
              Otherwise: <Words text={verdict.otherwise} />
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}
