// Drawn on a grid of 16 with lines of 1.5, ends and corners round.
const PATHS = {
  bell: "M8 2a4 4 0 0 0-4 4v3l-1.3 2.2h10.6L12 9V6a4 4 0 0 0-4-4M6.5 13.5a1.6 1.6 0 0 0 3 0",
  bellOff: "M5 3.4A4 4 0 0 1 12 6v3l1.3 2.2M10.5 11.2H2.7L4 9V6M6.5 13.5a1.6 1.6 0 0 0 3 0M2 2l12 12",
  overview: "M2.5 2.5h4.5v5H2.5zM9 2.5h4.5v3H9zM9 7.5h4.5v6H9zM2.5 9.5h4.5v4H2.5z",
  explore: "M2.5 2.5v11h11M5 10l2.5-3.5 2 2L13 4",
  growth: "M2.5 13.5h11M4 11V9M8 11V6.5M12 11V3",
  target: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6M8 8h.01",
  rules: "M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.01M2.5 8h.01M2.5 12h.01",
  send: "M14 2L7 9M14 2l-4.5 12L7 9 2 6.5z",
  inbox: "M2 9l2-6h8l2 6v4.5H2zM2 9h3.5l1 2h3l1-2H14",
  user: "M8 2.5a2.75 2.75 0 1 0 0 5.5 2.75 2.75 0 0 0 0-5.5M2.8 14a5.2 5.2 0 0 1 10.4 0",
  users: "M6 3a2.4 2.4 0 1 0 0 4.8A2.4 2.4 0 0 0 6 3M1.5 13.5a4.5 4.5 0 0 1 9 0M10.5 3.2a2.4 2.4 0 0 1 0 4.4M12 9.6a4.5 4.5 0 0 1 2.5 3.9",
  key: "M10.5 2a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M8 8l-5.5 5.5M4.5 11.5l1.8 1.8",
  audit: "M4 1.8h5.5L12.5 5v9.2H4zM6.3 7.5h4M6.3 10.5h4",
  settings: "M2.5 5h6M12 5h1.5M2.5 11H4M7.5 11h6M10.2 3.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6M5.8 9.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6",
  check: "M3 8.5l3.3 3.3L13 4.7",
  close: "M4 4l8 8M12 4l-8 8",
  chevronDown: "M4 6l4 4 4-4",
  chevronRight: "M6 4l4 4-4 4",
  chevronLeft: "M10 4L6 8l4 4",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3l3.2 3.2",
  plus: "M8 3v10M3 8h10",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  external: "M9 2.5h4.5V7M13.5 2.5L7.5 8.5M11 9.5v4H2.5V5h4",
  clock: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 4.8V8l2.2 1.5",
  play: "M4.5 2.8l8 5.2-8 5.2z",
  undo: "M5 3L2 6l3 3M2 6h7.5a4 4 0 0 1 0 8H6",
  trash: "M2.5 4h11M6 4V2.5h4V4M4 4l.7 9.5h6.6L12 4M6.7 6.8v4M9.3 6.8v4",
  refresh: "M13.5 8a5.5 5.5 0 1 1-1.7-4M13.5 1.8V5h-3.2",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  moon: "M13.3 9.8A5.7 5.7 0 0 1 6.2 2.7a5.7 5.7 0 1 0 7.1 7.1",
  keyboard: "M1.5 4h13v8h-13zM4 6.7h.01M6.7 6.7h.01M9.3 6.7h.01M12 6.7h.01M5 9.5h6",
  logout: "M6 2.5H2.5v11H6M10 5l3 3-3 3M13 8H6",
  plug: "M5.5 2v3M10.5 2v3M3.5 5h9v2.5a4.5 4.5 0 0 1-9 0zM8 12v2.5",
  flask: "M6 2h4M6.8 2v4L3 13.8h10L9.2 6V2M5 10.5h6",
  gauge: "M2.5 12.5a6.2 6.2 0 1 1 11 0M8 9.2l2.6-3.4M8 9.4h.01",
  steps: "M3.5 3.5h.01M3.5 8h.01M3.5 12.5h.01M6.5 3.5h7M6.5 8h4.5M6.5 12.5h6M3.5 5.3v1M3.5 9.8v1",
  lifebuoy: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M8 5.4a2.6 2.6 0 1 0 0 5.2 2.6 2.6 0 0 0 0-5.2M3.8 3.8l2.3 2.3M9.9 9.9l2.3 2.3M12.2 3.8L9.9 6.1M6.1 9.9l-2.3 2.3",
  stop: "M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5zM5.5 5.5l5 5M10.5 5.5l-5 5",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  snow: "M8 1.8v12.4M2.6 4.9l10.8 6.2M13.4 4.9L2.6 11.1M6 2.8l2 1.6 2-1.6M6 13.2l2-1.6 2 1.6",
  doubt: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2M6.3 6.3a1.8 1.8 0 1 1 2.5 1.6c-.5.3-.8.6-.8 1.1M8 11.2h.01",
  dash: "M4.5 8h7",
  document: "M4 1.8h5.5L12.5 5v9.2H4zM9.5 1.8V5h3M6.3 8h3.9M6.3 11h3.9",
  download: "M8 2.5v7.5M5 7l3 3 3-3M2.5 13.5h11",
  route: "M3.5 3.5h5a2.25 2.25 0 0 1 0 4.5h-1a2.25 2.25 0 0 0 0 4.5h5M3.5 3.5h.01M12.5 12.5h.01",
  lock: "M3.5 7h9v6.5h-9zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
} as const;

export type IconName = keyof typeof PATHS;

/** Draws an icon for the eye only; the words beside it, or the label of its button, say the rest. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" width={size} height={size} aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}

/** The bell of the name, filled. */
export function Mark({ size = 22 }: { size?: number }) {
  return (
    <svg className="icon" viewBox="0 0 32 32" width={size} height={size} aria-hidden="true" focusable="false">
      <path d="M16 3.5a8.5 8.5 0 0 0-8.5 8.5v6.2L5 22.5V24h22v-1.5l-2.5-4.3V12A8.5 8.5 0 0 0 16 3.5z" fill="currentColor" />
      <path d="M12.2 26a3.8 3.8 0 0 0 7.6 0z" fill="currentColor" />
    </svg>
  );
}
