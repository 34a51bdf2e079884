import { lazy, Suspense } from "react";
import { Skeleton } from "../ui/states.tsx";
import type { CanvasProps } from "./canvas.tsx";
import "../styles/plot.css";

const Canvas = lazy(() => import("./canvas.tsx").then((module) => ({ default: module.PlotCanvas })));

/** Draws a plot; its code comes with the first one. */
export function Plot(props: CanvasProps) {
  return (
    <Suspense fallback={<Skeleton rows={1} height={props.height} />}>
      <Canvas {...props} />
    </Suspense>
  );
}
