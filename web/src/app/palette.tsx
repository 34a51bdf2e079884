import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useId, useState } from "react";
import { objectivesQuery } from "../api/objectives.ts";
import { alertsQuery } from "../api/queries.ts";
import { documentsQuery } from "../api/runs.ts";
import { titleOf } from "../lib/objectives.ts";
import { Icon, type IconName } from "../ui/icons.tsx";
import { Dialog } from "../ui/overlays.tsx";
import { ALERT_PLACES, EXPLORE_PLACES, RUN_PLACES, useSettingsPlaces, type Place } from "./head.tsx";

interface Destination {
  key: string;
  label: string;
  note: string;
  icon: IconName;
  go: () => void;
}

const MOST = 9;
const PROOF_PLACES: Place[] = [
  { to: "/objectives", label: "Objectives" },
  { to: "/drills", label: "Drills" },
];

/** Goes to any place, alert, objective or document by a few letters of its name. */
export function Palette({ open, onClose }: { open: boolean; onClose: () => void }) {
  return (
    <Dialog open={open} onClose={onClose} title="Go to" wide>
      {open && <Finder onClose={onClose} />}
    </Dialog>
  );
}

function Finder({ onClose }: { onClose: () => void }) {
  const navigate = useNavigate();
  const places = [...ALERT_PLACES, ...PROOF_PLACES, ...RUN_PLACES, ...EXPLORE_PLACES, ...useSettingsPlaces()];
  const alerts = useQuery(alertsQuery({})).data?.alerts ?? [];
  const documents = useQuery(documentsQuery).data?.documents ?? [];
  const objectives = useQuery(objectivesQuery).data?.objectives ?? [];
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const list = useId();

  const all: Destination[] = [
    { key: "/", label: "Overview", note: "place", icon: "overview", go: () => void navigate({ to: "/" }) },
    ...places.map((place): Destination => ({ key: place.to, label: place.question ?? place.label, note: "place", icon: "chevronRight", go: () => void navigate({ to: place.to }) })),
    ...alerts.map((alert): Destination => ({
      key: alert.fingerprint,
      label: `${alert.name} ${alert.labels.instance ?? alert.labels.service ?? ""}`,
      note: alert.severity,
      icon: "bell",
      go: () => void navigate({ to: "/alerts", search: { alert: alert.fingerprint } }),
    })),
    ...documents.map((each): Destination => ({ key: `document ${each.id}`, label: `${each.title} (${each.id})`, note: each.kind, icon: "steps", go: () => void navigate({ to: "/runs/documents/$id", params: { id: each.id } }) })),
    ...objectives.map((each): Destination => ({ key: `objective ${each.id}`, label: titleOf(each), note: "objective", icon: "gauge", go: () => void navigate({ to: "/objectives/$id", params: { id: each.id } }) })),
  ];
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = all.filter((each) => words.every((word) => each.label.toLowerCase().includes(word))).slice(0, MOST);
  const chosen = found[Math.min(at, found.length - 1)];
  const idOf = (destination: Destination) => `${list}-${all.indexOf(destination)}`;
  const pick = (destination: Destination | undefined) => {
    if (!destination) return;
    onClose();
    destination.go();
  };

  return (
    <>
      <input
        className="input"
        role="combobox"
        aria-label="Place, alert, objective or document"
        aria-expanded="true"
        aria-controls={list}
        aria-activedescendant={chosen ? idOf(chosen) : undefined}
        placeholder="Place, alert, objective or document"
        data-autofocus
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          const move = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
          if (move !== 0) {
            event.preventDefault();
            setAt((Math.min(at, found.length - 1) + move + found.length) % Math.max(1, found.length));
          }
          if (event.key === "Enter") pick(chosen);
        }}
      />
      <ul className="finder" id={list} role="listbox" aria-label="Found">
        {found.map((each) => (
          // The keyboard moves in the input, which names the option that is chosen.
          // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
          <li key={each.key} id={idOf(each)} role="option" aria-selected={each === chosen} className="finder-row" onClick={() => pick(each)}>
            <Icon name={each.icon} />
            <span className="clip">{each.label}</span>
            <span className="muted push">{each.note}</span>
          </li>
        ))}
      </ul>
      {found.length === 0 && <p className="muted">Nothing has this name.</p>}
    </>
  );
}
