import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";
import { Icon, type IconName } from "./icons.tsx";

export interface ButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "type"> {
  look?: "solid" | "plain" | "ghost" | "danger";
  icon?: IconName;
  /** Words shown while the action runs; the button cannot be pressed meanwhile. */
  busy?: string | false;
  /** Why the button cannot be pressed; it stays reachable, so that the reason can be read. */
  reason?: string | undefined;
  wide?: boolean;
  submit?: boolean;
  ref?: Ref<HTMLButtonElement>;
  children: ReactNode;
}

export function Button({ look = "plain", icon, busy = false, reason, wide, submit, className = "", onClick, title, children, ...rest }: ButtonProps) {
  const blocked = busy !== false || reason !== undefined;
  return (
    <button
      {...rest}
      type={submit ? "submit" : "button"}
      className={`button ${className}`}
      data-look={look}
      data-wide={wide}
      aria-disabled={blocked || undefined}
      title={reason ?? title}
      onClick={(event) => {
        if (blocked) event.preventDefault();
        else onClick?.(event);
      }}
    >
      {icon && <Icon name={icon} />}
      <span>{busy || children}</span>
    </button>
  );
}

export interface IconButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "type" | "children"> {
  icon: IconName;
  label: string;
  ref?: Ref<HTMLButtonElement>;
}

export function IconButton({ icon, label, className = "", ...rest }: IconButtonProps) {
  return (
    <button {...rest} type="button" className={`icon-button ${className}`} aria-label={label} title={label}>
      <Icon name={icon} />
    </button>
  );
}

/** A button that stays down while its filter holds. */
export function Toggle({ on, count, onChange, children, tone }: { on: boolean; count?: number | undefined; onChange: (on: boolean) => void; children: ReactNode; tone?: string }) {
  return (
    <button type="button" className="toggle" aria-pressed={on} data-tone={tone} onClick={() => onChange(!on)}>
      <span>{children}</span>
      {count !== undefined && <span className="toggle-count number">{count}</span>}
    </button>
  );
}
