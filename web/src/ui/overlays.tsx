import { Drawer, Modal } from "@mantine/core";
import type { ReactNode } from "react";
import { IconButton } from "./button.tsx";

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
