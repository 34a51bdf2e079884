import { useState } from "react";
import { formatShort, parseFilterText, sameMatcher, type Matcher } from "../../lib/matchers.ts";
import { Button, IconButton } from "../../ui/button.tsx";
import { TextField } from "../../ui/field.tsx";

/** Lists the matchers; each can be changed in place, removed, or followed by another. */
export function MatcherEditor({ matchers, onChange }: { matchers: readonly Matcher[]; onChange: (matchers: Matcher[]) => void }) {
  const [text, setText] = useState("");
  const [fault, setFault] = useState<string | undefined>(undefined);
  const add = () => {
    const { matchers: found, words } = parseFilterText(text);
    if (words !== "" || found.length === 0) {
      setFault(`Not a matcher: write label=value, !=, =~ or !~`);
      return;
    }
    setFault(undefined);
    setText("");
    onChange([...matchers, ...found.filter((each) => !matchers.some((known) => sameMatcher(known, each)))]);
  };
  return (
    <div className="matchers">
      <p className="field-label" id="matchers-label">
        Alerts with all of
      </p>
      <ul className="chips" aria-labelledby="matchers-label">
        {matchers.map((matcher, index) => (
          <li key={formatShort(matcher)} className="chip">
            <button
              type="button"
              className="chip-edit mono"
              title="Change this matcher"
              onClick={() => {
                setText(formatShort(matcher));
                onChange(matchers.filter((_, other) => other !== index));
              }}
            >
              {formatShort(matcher)}
            </button>
            <IconButton icon="close" label={`Remove ${formatShort(matcher)}`} onClick={() => onChange(matchers.filter((_, other) => other !== index))} />
          </li>
        ))}
      </ul>
      <div className="matcher-add">
        <TextField
          label="Matcher"
          hideLabel
          placeholder="label=value"
          value={text}
          error={fault}
          spellCheck={false}
          autoCapitalize="none"
          autoComplete="off"
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter") return;
            // Enter in this field means the matcher, not the whole form.
            event.preventDefault();
            add();
          }}
        />
        <Button icon="plus" onClick={add}>
          Add
        </Button>
      </div>
    </div>
  );
}
