import { Drawer, Menu, Modal } from "@mantine/core";
import type { ReactNode } from "react";
import { IconButton } from "./button.tsx";
import { Icon, type IconName } from "./icons.tsx";

interface PanelProps {
  open: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
}

// Overlays live inside main, so that what they hold stays inside a landmark.
const portal = { target: "#overlays" };

function Head({ title, onClose }: { title: string; onClose: () => void }) {
  return (
    <div className="panel-head">
      <Modal.Title component="h2" className="panel-title">{title}</Modal.Title>
      <IconButton icon="close" label="Close" className="push" onClick={onClose} />
    </div>
  );
}

export function Dialog({ open, onClose, title, children, wide = false }: PanelProps & { wide?: boolean }) {
  return (
    <Modal.Root opened={open} onClose={onClose} portalProps={portal} lockScroll={false} classNames={{ content: "panel", overlay: "shade", inner: "panel-place" }} centered size={wide ? 640 : 460} transitionProps={{ duration: 100 }}>
      <Modal.Overlay />
      <Modal.Content radius={12}>
        <Head title={title} onClose={onClose} />
        <div className="panel-body">{children}</div>
      </Modal.Content>
    </Modal.Root>
  );
}

export function SidePanel({ open, onClose, title, children }: PanelProps) {
  return (
    <Drawer.Root opened={open} onClose={onClose} portalProps={portal} lockScroll={false} classNames={{ content: "panel side-panel", overlay: "shade", inner: "panel-place" }} position="right" size={520} transitionProps={{ duration: 120 }}>
      <Drawer.Overlay />
      <Drawer.Content radius={0}>
        <div className="panel-head">
          <Drawer.Title component="h2" className="panel-title">{title}</Drawer.Title>
          <IconButton icon="close" label="Close" className="push" onClick={onClose} />
        </div>
        <div className="panel-body">{children}</div>
      </Drawer.Content>
    </Drawer.Root>
  );
}

export interface MenuEntry {
  label: string;
  icon?: IconName;
  onPick: () => void;
  danger?: boolean;
  /** Starts a new part of the menu. */
  apart?: boolean;
}

export function ActionMenu({ target, entries, head, place = "bottom-end" }: { target: ReactNode; entries: readonly MenuEntry[]; head?: ReactNode; place?: "bottom-end" | "top-start" }) {
  return (
    <Menu portalProps={portal} position={place} withInitialFocusPlaceholder={false} transitionProps={{ duration: 80 }} classNames={{ dropdown: "menu", item: "menu-item" }} width={220}>
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
