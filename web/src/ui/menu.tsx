import { Menu } from "@mantine/core";
import type { ReactNode } from "react";
import { Icon, type IconName } from "./icons.tsx";

export interface MenuEntry {
  label: string;
  icon?: IconName;
  onPick: () => void;
  danger?: boolean;
  /** Starts a new part of the menu. */
  apart?: boolean;
}

export function ActionMenu({ target, entries, head, place = "bottom-end" }: { target: ReactNode; entries: readonly MenuEntry[]; head?: ReactNode; place?: "bottom-end" | "top-start" | "top-end" }) {
  return (
    <Menu portalProps={{ target: "#overlays" }} position={place} withInitialFocusPlaceholder={false} transitionProps={{ duration: 80 }} classNames={{ dropdown: "menu", item: "menu-item" }} width={220}>
      <Menu.Target>{target as React.ReactElement}</Menu.Target>
      <Menu.Dropdown>
        {head}
        {entries.map((entry) => (
          <Menu.Item key={entry.label} data-danger={entry.danger || undefined} data-apart={entry.apart || undefined} leftSection={entry.icon && <Icon name={entry.icon} />} onClick={entry.onPick}>
            {entry.label}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
