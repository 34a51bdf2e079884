import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useTheme } from "../app/settings.ts";
import type { Frame } from "../lib/series.ts";
import { formatClock, formatDay, formatStamp, localTime } from "../lib/time.ts";
import { formatNumber } from "../lib/units.ts";
import { dashOf, readColour, readPalette, type Palette } from "./palette.ts";

/** How one series is drawn, where its place in the list does not decide. */
export interface SeriesLook {
  /** A colour of the style sheet without its dashes, such as "plot-1" or "critical". */
  colour: string;
  dashed?: boolean;
  width?: number;
  /** Fills down to zero. */
  filled?: boolean;
  /** Marks each sample: for series with few of them. */
  dots?: boolean;
  /** Joins samples over columns where this series has none. */
  joined?: boolean;
}

export interface CanvasProps {
  frame: Frame;
  names: readonly string[];
  zone: string;
  height: number;
  /** A sentence with the finding, for readers who do not see the plot. */
  label: string;
  /** Series drawn in colour; all others are grey. Null colours all. */
  coloured: ReadonlySet<number> | null;
  hidden: ReadonlySet<number>;
  limit?: { value: number; words: string; side?: "left" | "right" } | undefined;
  looks?: readonly SeriesLook[] | undefined;
  /** Instants with a line of their own. Unit: seconds. */
  marks?: readonly { at: number; words: string }[] | undefined;
  /** Writes a value for the axis and the reader. */
  format?: ((value: number) => string) | undefined;
  onZoom?: ((start: number, end: number) => void) | undefined;
  /** Told with the column under the cursor, and the series nearest to it. */
  onCursor?: ((column: number | null, series: number | null) => void) | undefined;
}

const FONT = '12px "Inter Variable", system-ui, sans-serif';

function timeTicks(zone: string) {
  return (_plot: UPlot, ticks: number[]) => {
    let day = -1;
    return ticks.map((tick) => {
      const at = tick * 1000;
      const local = localTime(at, zone);
      const text = local.hour === 0 && local.minute === 0 && local.second === 0 ? formatDay(at, zone) : formatClock(at, zone, local.second !== 0);
      const other = day !== -1 && day !== local.day && !text.includes(" ");
      day = local.day;
      return other ? `${text}\n${formatDay(at, zone)}` : text;
    });
  };
}

function seriesOptions(index: number, props: CanvasProps, palette: Palette): UPlot.Series {
  const look = props.looks?.[index];
  if (look) {
    const colour = readColour(look.colour);
    return {
      label: props.names[index] ?? "",
      stroke: colour,
      width: look.width ?? 2,
      dash: look.dashed ? [5, 4] : [],
      fill: look.filled ? `${colour}2e` : "transparent",
      spanGaps: look.joined ?? false,
      points: look.dots ? { show: true, size: 6, fill: colour } : { show: (plot, series, from, to) => isLonely(plot, series, from, to), size: 4 },
    };
  }
  const coloured = props.coloured === null || props.coloured.has(index);
  return {
    label: props.names[index] ?? "",
    show: !props.hidden.has(index),
    stroke: coloured ? (palette.lines[index % palette.lines.length] ?? palette.grey) : palette.grey,
    width: coloured ? 2 : 1,
    dash: dashOf(index),
    spanGaps: false,
    points: { show: (plot, series, from, to) => isLonely(plot, series, from, to), size: 4 },
  };
}

// A sample between two gaps has no line: without a point it could not be seen.
function isLonely(plot: UPlot, series: number, from: number, to: number): boolean {
  const row = plot.data[series];
  if (!row) return false;
  for (let index = from; index <= to; index += 1) {
    if (row[index] != null && row[index - 1] == null && row[index + 1] == null) return to - from < 600;
  }
  return false;
}

function limitLine(limit: NonNullable<CanvasProps["limit"]>, palette: Palette): UPlot.Plugin {
  return {
    hooks: {
      draw: (plot) => {
        const y = Math.round(plot.valToPos(limit.value, "y", true));
        const { left, top, width, height } = plot.bbox;
        if (y < top || y > top + height) return;
        const { ctx } = plot;
        const ratio = window.devicePixelRatio;
        ctx.save();
        ctx.strokeStyle = palette.limit;
        ctx.lineWidth = ratio;
        ctx.setLineDash([4 * ratio, 4 * ratio]);
        ctx.beginPath();
        ctx.moveTo(left, y);
        ctx.lineTo(left + width, y);
        ctx.stroke();
        ctx.fillStyle = palette.limit;
        ctx.font = `${12 * ratio}px "Inter Variable", system-ui, sans-serif`;
        ctx.textAlign = limit.side ?? "right";
        ctx.textBaseline = "bottom";
        ctx.fillText(limit.words, limit.side === "left" ? left + 4 * ratio : left + width - 4 * ratio, y - 3 * ratio);
        ctx.restore();
      },
    },
  };
}

function markLines(marks: readonly { at: number; words: string }[], palette: Palette): UPlot.Plugin {
  return {
    hooks: {
      draw: (plot) => {
        const { left, top, width, height } = plot.bbox;
        const { ctx } = plot;
        const ratio = window.devicePixelRatio;
        ctx.save();
        ctx.font = `${12 * ratio}px "Inter Variable", system-ui, sans-serif`;
        ctx.textBaseline = "top";
        marks.forEach((mark, index) => {
          const x = Math.round(plot.valToPos(mark.at, "x", true));
          if (x < left || x > left + width) return;
          ctx.strokeStyle = palette.text;
          ctx.lineWidth = ratio;
          ctx.setLineDash([2 * ratio, 3 * ratio]);
          ctx.beginPath();
          ctx.moveTo(x, top);
          ctx.lineTo(x, top + height);
          ctx.stroke();
          const wide = ctx.measureText(mark.words).width;
          const from = x + wide + 8 * ratio > left + width ? x - wide - 4 * ratio : x + 4 * ratio;
          const high = top + (index % 3) * 16 * ratio;
          // The words lie over lines that may cross them.
          ctx.fillStyle = palette.surface;
          ctx.fillRect(from - 2 * ratio, high, wide + 4 * ratio, 15 * ratio);
          ctx.fillStyle = palette.text;
          ctx.textAlign = "left";
          ctx.fillText(mark.words, from, high + ratio);
        });
        ctx.restore();
      },
    },
  };
}

function rangeOf(limit: number | undefined): UPlot.Range.Function {
  return (_plot, low, high) => {
    const values = [low, high, ...(limit === undefined ? [] : [limit])].filter((value): value is number => value !== null && Number.isFinite(value));
    const least = Math.min(0, ...values);
    const most = Math.max(...values, least);
    if (least === most) return [least, least + 1];
    const room = (most - least) * 0.08;
    // A line that lies on zero keeps off the axis, so that it can be seen.
    return [least < 0 ? least - room : -room / 4, most + room];
  };
}

/** Letters of the axis are about this wide. */
const LETTER = 6.6;
const AXIS_LEAST = 58;

function axisSize(_plot: UPlot, values: string[] | null): number {
  return Math.max(AXIS_LEAST, Math.ceil(Math.max(0, ...(values ?? []).map((each) => each.length)) * LETTER) + 18);
}

function build(props: CanvasProps, palette: Palette, width: number, cursor: (column: number | null, series: number | null) => void, zoom: (start: number, end: number) => void): UPlot.Options {
  // The plot tells of the series under the pointer apart from the cursor.
  let nearest: number | null = null;
  return {
    width,
    height: props.height,
    legend: { show: false },
    padding: [12, 24, 0, 0],
    plugins: [...(props.limit ? [limitLine(props.limit, palette)] : []), ...(props.marks ? [markLines(props.marks, palette)] : [])],
    cursor: {
      points: { size: 7, width: 2 },
      focus: { prox: 24 },
      drag: { x: props.onZoom !== undefined, y: false, setScale: false },
      y: false,
    },
    focus: { alpha: props.names.length > 1 ? 0.35 : 1 },
    scales: { x: { time: true }, y: { range: rangeOf(props.limit?.value) } },
    axes: [
      { stroke: palette.text, font: FONT, grid: { show: false }, ticks: { show: false }, size: 34, gap: 8, space: 80, values: timeTicks(props.zone) },
      { stroke: palette.text, font: FONT, grid: { stroke: palette.grid, width: 1 }, ticks: { show: false }, size: axisSize, gap: 8, space: 36, values: (_plot, ticks) => ticks.map((tick) => (tick === null ? "" : (props.format ?? formatNumber)(tick))) },
    ],
    series: [{}, ...props.names.map((_, index) => seriesOptions(index, props, palette))],
    hooks: {
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < 6) return;
          zoom(plot.posToVal(left, "x"), plot.posToVal(left + wide, "x"));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      setCursor: [(plot) => cursor(plot.cursor.left != null && plot.cursor.left >= 0 ? (plot.cursor.idx ?? null) : null, nearest)],
      setSeries: [
        (_plot, index) => {
          nearest = index === null || index === 0 ? null : index - 1;
        },
      ],
    },
  };
}

/** Draws series over time; arrow keys move the cursor and the value under it is read out. */
export function PlotCanvas(props: CanvasProps) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot | null>(null);
  const latest = useRef(props);
  const theme = useTheme();
  const [reading, setReading] = useState("");
  useEffect(() => {
    latest.current = props;
  });

  const { frame, names, zone, height, coloured, hidden, limit, looks, marks } = props;
  useEffect(() => {
    const element = host.current;
    if (!element) return undefined;
    const made = new UPlot(
      build(
        { ...latest.current, frame, names, zone, height, coloured, hidden, limit, looks, marks },
        readPalette(),
        element.clientWidth,
        (column, series) => latest.current.onCursor?.(column, series),
        (start, end) => latest.current.onZoom?.(start, end),
      ),
      [frame.times, ...frame.rows],
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [frame, names, zone, height, coloured, hidden, limit, looks, marks, theme]);

  const read = (event: KeyboardEvent) => {
    const made = plot.current;
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!made || by === 0) return;
    event.preventDefault();
    const { times, rows } = latest.current.frame;
    const step = event.shiftKey ? 10 : 1;
    const now = made.cursor.idx ?? (by > 0 ? -1 : times.length);
    const column = Math.max(0, Math.min(times.length - 1, now + by * step));
    const at = times[column];
    if (at === undefined) return;
    made.setCursor({ left: made.valToPos(at, "x"), top: 10 });
    const values = latest.current.names.slice(0, 5).map((name, index) => `${name} ${rows[index]?.[column] == null ? "no sample" : (latest.current.format ?? formatNumber)(rows[index]?.[column] ?? 0)}`);
    setReading(`${formatStamp(at * 1000, latest.current.zone, at * 1000)}: ${values.join("; ")}`);
  };

  return (
    <>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-element-interactions */}
      <div className="plot" ref={host} role="img" tabIndex={0} aria-label={`${props.label} Arrow keys move the cursor.`} onKeyDown={read} style={{ height }} />
      <p className="unseen" role="status">
        {reading}
      </p>
    </>
  );
}
