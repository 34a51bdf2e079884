import { useId, type InputHTMLAttributes, type ReactNode, type Ref, type SelectHTMLAttributes, type TextareaHTMLAttributes } from "react";

interface FieldProps {
  label: string;
  hint?: ReactNode;
  error?: string | undefined;
  hideLabel?: boolean;
}

function describedBy(id: string, { hint, error }: FieldProps): string | undefined {
  const parts = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean);
  return parts.length > 0 ? parts.join(" ") : undefined;
}

function Frame({ id, field, children }: { id: string; field: FieldProps; children: ReactNode }) {
  return (
    <div className="field">
      <label htmlFor={id} className={field.hideLabel ? "unseen" : "field-label"}>
        {field.label}
      </label>
      {children}
      {field.hint && (
        <p id={`${id}-hint`} className="field-hint">
          {field.hint}
        </p>
      )}
      {field.error && (
        <p id={`${id}-error`} className="field-error">
          {field.error}
        </p>
      )}
    </div>
  );
}

export function TextField({ label, hint, error, hideLabel, ...rest }: FieldProps & InputHTMLAttributes<HTMLInputElement> & { ref?: Ref<HTMLInputElement> }) {
  const id = useId();
  const field = { label, hint, error, ...(hideLabel ? { hideLabel } : {}) };
  return (
    <Frame id={id} field={field}>
      <input {...rest} id={id} className="input" aria-invalid={error ? true : undefined} aria-describedby={describedBy(id, field)} />
    </Frame>
  );
}

export function TextArea({ label, hint, error, ...rest }: FieldProps & TextareaHTMLAttributes<HTMLTextAreaElement>) {
  const id = useId();
  const field = { label, hint, error };
  return (
    <Frame id={id} field={field}>
      <textarea rows={2} {...rest} id={id} className="input" aria-invalid={error ? true : undefined} aria-describedby={describedBy(id, field)} />
    </Frame>
  );
}

export interface Choice {
  value: string;
  label: string;
}

export function SelectField({
  label,
  hint,
  error,
  hideLabel,
  choices,
  onPick,
  ...rest
}: FieldProps & Omit<SelectHTMLAttributes<HTMLSelectElement>, "onChange"> & { choices: readonly Choice[]; onPick: (value: string) => void }) {
  const id = useId();
  const field = { label, hint, error, ...(hideLabel ? { hideLabel } : {}) };
  return (
    <Frame id={id} field={field}>
      <span className="select">
        <select {...rest} id={id} className="input" aria-describedby={describedBy(id, field)} onChange={(event) => onPick(event.target.value)}>
          {choices.map((choice) => (
            <option key={choice.value} value={choice.value}>
              {choice.label}
            </option>
          ))}
        </select>
      </span>
    </Frame>
  );
}

/** A setting that is on or off at once, without a button to save it. */
export function Switch({ on, onChange, label, hint, reason }: { on: boolean; onChange: (on: boolean) => void; label: string; hint?: string; reason?: string | undefined }) {
  const id = useId();
  return (
    <div className="switch-row">
      <div>
        <span id={id} className="switch-label">
          {label}
        </span>
        {hint && (
          <p id={`${id}-hint`} className="field-hint">
            {hint}
          </p>
        )}
      </div>
      <button
        type="button"
        role="switch"
        className="switch"
        aria-checked={on}
        aria-labelledby={id}
        aria-describedby={hint ? `${id}-hint` : undefined}
        aria-disabled={reason ? true : undefined}
        title={reason}
        onClick={() => {
          if (!reason) onChange(!on);
        }}
      >
        <span className="switch-knob" />
      </button>
    </div>
  );
}
