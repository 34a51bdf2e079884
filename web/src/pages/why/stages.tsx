import type { WhyStage } from "../../api/types.ts";
import { Icon, type IconName } from "../../ui/icons.tsx";

export const STAGE_WORDS: Record<WhyStage, string> = {
  rule: "Rule",
  routing: "Routing",
  group: "Group",
  silence: "Silence",
  inhibition: "Inhibition",
  interval: "Interval",
  delivery: "Delivery",
  person: "Person",
  service: "Service",
};

const ICONS: Record<WhyStage, IconName> = {
  rule: "rules",
  routing: "route",
  group: "overview",
  silence: "bellOff",
  inhibition: "lock",
  interval: "clock",
  delivery: "send",
  person: "user",
  service: "plug",
};

/** Names the part of the way that decided, by its icon and its word. */
export function StageMark({ stage }: { stage: WhyStage }) {
  return (
    <span className="stage">
      <Icon name={ICONS[stage]} size={14} />
      {STAGE_WORDS[stage]}
    </span>
  );
}
