import { createTheme, MantineProvider } from "@mantine/core";
import "@mantine/core/styles/UnstyledButton.css";
import "@mantine/core/styles/Paper.css";
import "@mantine/core/styles/Popover.css";
import "@mantine/core/styles/Overlay.css";
import "@mantine/core/styles/ModalBase.css";
import "@mantine/core/styles/Modal.css";
import "@mantine/core/styles/Drawer.css";
import "@mantine/core/styles/Menu.css";
import type { ReactNode } from "react";

const theme = createTheme({ respectReducedMotion: true, fontFamily: "inherit" });

/** Carries the kit, with everything off that would write style sheets into the page: our own hold its variables. */
export function Kit({ theme: shown, children }: { theme: "dark" | "light"; children: ReactNode }) {
  return (
    <MantineProvider theme={theme} forceColorScheme={shown} withCssVariables={false} withStaticClasses={false} withGlobalClasses={false} deduplicateCssVariables={false}>
      {children}
    </MantineProvider>
  );
}
