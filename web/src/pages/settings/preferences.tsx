import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { changePassword } from "../../api/actions.ts";
import { wordsOf } from "../../api/client.ts";
import { sessionQuery } from "../../api/queries.ts";
import { useNow } from "../../app/clock.ts";
import { PageHead, useSettingsPlaces } from "../../app/head.tsx";
import { SHORTEST_PASSWORD, useSession } from "../../app/session.ts";
import { changeSettings, useSettings, useZone, type Theme } from "../../app/settings.ts";
import { formatStamp } from "../../lib/time.ts";
import { Button } from "../../ui/button.tsx";
import { SelectField, Switch, TextField } from "../../ui/field.tsx";
import { Banner } from "../../ui/states.tsx";
import { toast } from "../../ui/toasts.tsx";
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

function OwnPassword() {
  const client = useQueryClient();
  const [current, setCurrent] = useState("");
  const [fresh, setFresh] = useState("");
  const change = useMutation({
    mutationFn: () => changePassword(current, fresh),
    onSuccess: (session) => {
      client.setQueryData(sessionQuery.queryKey, session);
      setCurrent("");
      setFresh("");
      toast("Changed your password; your other logins have ended");
    },
  });
  return (
    <section className="card">
      <header className="card-head">
        <h2>Your password</h2>
      </header>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (!change.isPending) change.mutate();
        }}
      >
        {change.isError && <Banner tone="critical">Not changed: {wordsOf(change.error).title}</Banner>}
        <TextField label="Password now" type="password" required autoComplete="current-password" value={current} onChange={(event) => setCurrent(event.target.value)} />
        <TextField label="New password" type="password" required minLength={SHORTEST_PASSWORD} autoComplete="new-password" hint={`At least ${SHORTEST_PASSWORD} characters`} value={fresh} onChange={(event) => setFresh(event.target.value)} />
        <Button submit look="solid" className="push" busy={change.isPending && "Changing…"}>
          Change password
        </Button>
      </form>
    </section>
  );
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
      {session.auth === "password" && <OwnPassword />}
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
