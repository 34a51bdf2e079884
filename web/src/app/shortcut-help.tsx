import { Dialog } from "../ui/overlays.tsx";
import { Switch } from "../ui/field.tsx";
import { changeSettings, useSettings } from "./settings.ts";

const KEYS: readonly [string, readonly [string, string][]][] = [
  [
    "Everywhere",
    [
      ["?", "This help"],
      ["Ctrl K", "Go to anything"],
      ["g o", "Overview"],
      ["g a", "Alerts"],
      ["g s", "Silences"],
      ["g n", "Notifications"],
      ["g w", "Why"],
      ["g r", "Rules"],
      ["g b", "Objectives"],
      ["g u", "Runs"],
      ["g d", "Drills"],
      ["g e", "Explore"],
      ["g t", "Targets"],
      ["g p", "Preferences"],
      ["K", "Kill switch"],
      ["t", "Times in UTC or here"],
      [".", "Refresh"],
      ["u", "Undo the last action"],
    ],
  ],
  [
    "Alerts",
    [
      ["/", "Filter"],
      ["j k", "Next, previous"],
      ["Enter", "Open"],
      ["Esc", "Back to the list"],
      ["a", "Ack"],
      ["s", "Silence"],
    ],
  ],
  [
    "Why",
    [["/", "Name an alert"]],
  ],
  [
    "Objectives, runs, documents",
    [
      ["j k", "Next, previous"],
      ["Enter", "Open"],
      ["Esc", "Back to the list"],
    ],
  ],
  [
    "Explore",
    [
      ["/", "Edit the query"],
      ["Ctrl Enter", "Run"],
      ["[ ]", "Shift the range"],
    ],
  ],
];

export function ShortcutHelp({ open, onClose }: { open: boolean; onClose: () => void }) {
  const settings = useSettings();
  return (
    <Dialog open={open} onClose={onClose} title="Keyboard shortcuts" wide>
      <div className="keys">
        {KEYS.map(([part, keys]) => (
          <section key={part}>
            <h3>{part}</h3>
            <dl>
              {keys.map(([key, words]) => (
                <div key={key}>
                  <dt>
                    <kbd>{key}</kbd>
                  </dt>
                  <dd>{words}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <Switch on={settings.keys} onChange={(keys) => changeSettings({ keys })} label="Single-key shortcuts" hint="Turn off when they get in the way of a screen reader or of speech input." />
    </Dialog>
  );
}
