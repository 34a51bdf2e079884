import { useId, useMemo, useRef, useState } from "react";
import type { Alert } from "../../api/types.ts";
import { formatShort, parseFilterText } from "../../lib/matchers.ts";
import { suggest } from "../../lib/suggest.ts";
import { IconButton } from "../../ui/button.tsx";
import { Icon } from "../../ui/icons.tsx";

interface FilterProps {
  /** Matchers in their short form. */
  filter: readonly string[];
  text: string;
  alerts: readonly Alert[];
  onChange: (filter: string[] | undefined, text: string) => void;
}

const PAUSE = 250;

/** Takes words and matchers; matchers become chips, words narrow the list as they are typed. */
export function FilterBox({ filter, text, alerts, onChange }: FilterProps) {
  const [draft, setDraft] = useState(text);
  const [known, setKnown] = useState(text);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);
  const input = useRef<HTMLInputElement>(null);
  const list = useId();
  // The URL moved by itself, as with the browser's back button: the box follows it.
  if (known !== text) {
    setKnown(text);
    setDraft(text);
  }

  const options = useMemo(() => (open ? suggest(draft, alerts) : []), [open, draft, alerts]);
  const commit = (value: string) => {
    if (timer.current) clearTimeout(timer.current);
    const { matchers, words } = parseFilterText(value);
    const next = [...new Set([...filter, ...matchers.map(formatShort)])];
    setDraft(words);
    setKnown(words);
    setOpen(false);
    setAt(-1);
    onChange(next, words);
  };
  const type = (value: string) => {
    setDraft(value);
    setOpen(true);
    setAt(-1);
    if (timer.current) clearTimeout(timer.current);
    // A matcher is searched for once it is whole; plain words at once.
    if (parseFilterText(value).matchers.length === 0 && !/[=!~]/.test(value)) {
      timer.current = setTimeout(() => {
        setKnown(value.trim());
        onChange([...filter], value.trim());
      }, PAUSE);
    }
  };
  const pick = (option: string) => {
    const head = draft.slice(0, draft.length - (/\S*$/.exec(draft)?.[0].length ?? 0));
    if (option.endsWith("=")) {
      setDraft(head + option);
      setAt(-1);
      input.current?.focus();
    } else commit(head + option);
  };

  return (
    <div className="filter">
      <Icon name="search" />
      {filter.map((matcher) => (
        <span key={matcher} className="chip">
          <span className="mono">{matcher}</span>
          <button type="button" aria-label={`Remove ${matcher}`} onClick={() => onChange(filter.filter((each) => each !== matcher), text)}>
            <Icon name="close" size={12} />
          </button>
        </span>
      ))}
      <input
        id="alert-filter"
        ref={input}
        role="combobox"
        aria-label="Filter: words or label=value"
        aria-expanded={options.length > 0}
        aria-controls={list}
        aria-activedescendant={at >= 0 ? `${list}-${at}` : undefined}
        autoComplete="off"
        spellCheck={false}
        placeholder={filter.length === 0 ? "Filter: words or label=value" : "and …"}
        value={draft}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onChange={(event) => type(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown" && options.length > 0) {
            event.preventDefault();
            setAt((at + 1) % options.length);
          } else if (event.key === "ArrowUp" && options.length > 0) {
            event.preventDefault();
            setAt((at - 1 + options.length) % options.length);
          } else if (event.key === "Enter") {
            const chosen = options[at];
            if (chosen) pick(chosen);
            else commit(draft);
          } else if (event.key === "Escape") {
            if (open && options.length > 0) setOpen(false);
            else input.current?.blur();
          } else if (event.key === "Backspace" && draft === "" && filter.length > 0) {
            onChange(filter.slice(0, -1), text);
          }
        }}
      />
      {(filter.length > 0 || draft !== "") && (
        <IconButton
          icon="close"
          label="Clear filter"
          onClick={() => {
            setDraft("");
            onChange(undefined, "");
          }}
        />
      )}
      <ul id={list} role="listbox" aria-label="Suggestions" className="suggestions" hidden={options.length === 0}>
        {options.map((option, index) => (
          // The keyboard moves in the input, which names the option that is chosen.
          // oxlint-disable-next-line jsx-a11y/click-events-have-key-events
          <li
            key={option}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            className="suggestion mono"
            onPointerDown={(event) => event.preventDefault()}
            onClick={() => pick(option)}
          >
            {option}
          </li>
        ))}
      </ul>
    </div>
  );
}
