import { useState } from "react";

/** Returns whether something was ever open: from then on it stays mounted, so that closing it gives the focus back. */
export function useEver(open: boolean): boolean {
  const [ever, setEver] = useState(open);
  if (open && !ever) setEver(true);
  return ever || open;
}
