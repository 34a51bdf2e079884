import { useNow } from "../../app/clock.ts";
import { PageHead, useSettingsPlaces } from "../../app/head.tsx";
import { useSession } from "../../app/session.ts";
import { changeSettings, useSettings, useZone, type Theme } from "../../app/settings.ts";
import { formatStamp } from "../../lib/time.ts";
import { SelectField, Switch } from "../../ui/field.tsx";
import "../../styles/settings.css";

const THEMES: readonly { value: Theme; label: string }[] = [
  { value: "system", label: "As the system" },
  { value: "dark", label: "Dark" },
  { value: "light", label: "Light" },
];

function zones(chosen: string): { value: string; label: string }[] {
  const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const known = Intl.supportedValuesOf("timeZone");
  const listed = known.includes(chosen) || chosen === "browser" || chosen === "UTC" ? known : [chosen, ...known];
  return [{ value: "browser", label: `This browser's (${here})` }, { value: "UTC", label: "UTC" }, ...listed.filter((zone) => zone !== "UTC").map((zone) => ({ value: zone, label: zone.replaceAll("_", " ") }))];
}

export function PreferencesScreen() {
  const settings = useSettings();
  const session = useSession();
  const places = useSettingsPlaces();
  const zone = useZone();
  const now = useNow();
  return (
    <div className="page page-narrow">
      <PageHead title="Preferences" note="Kept in this browser" places={places} always />
      <section className="card stack">
        <fieldset className="choices">
          <legend className="field-label">Theme</legend>
          <div className="toggles">
            {THEMES.map((theme) => (
              <button key={theme.value} type="button" className="toggle" aria-pressed={settings.theme === theme.value} onClick={() => changeSettings({ theme: theme.value })}>
                {theme.label}
              </button>
            ))}
          </div>
        </fieldset>
        <SelectField label="Time zone" hint={`It is ${formatStamp(now, zone, now)}`} choices={zones(settings.zone)} value={settings.zone} onPick={(value) => changeSettings({ zone: value })} />
        <Switch on={settings.compact} onChange={(compact) => changeSettings({ compact })} label="Compact alerts" hint="One line for each alert in the list." />
        <Switch on={settings.keys} onChange={(keys) => changeSettings({ keys })} label="Single-key shortcuts" hint="Press ? anywhere to see them." />
      </section>
      <section className="card">
        <header className="card-head">
          <h2>About</h2>
        </header>
        <dl className="pairs">
          <div>
            <dt>You are</dt>
            <dd>
              {session.user.name}, {session.user.role}
            </dd>
          </div>
          <div>
            <dt>Tocsin</dt>
            <dd className="mono">{session.version}</dd>
          </div>
          {session.external_url && (
            <div>
              <dt>Address</dt>
              <dd className="mono">{session.external_url}</dd>
            </div>
          )}
        </dl>
      </section>
    </div>
  );
}
