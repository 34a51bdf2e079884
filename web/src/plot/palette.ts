/** Colours of one theme, read from the style sheet: a canvas does not know variables. */
export interface Palette {
  lines: string[];
  grey: string;
  grid: string;
  text: string;
  limit: string;
  surface: string;
  cursor: string;
}

const COUNT = 8;
const DASHES: readonly (readonly number[])[] = [[], [6, 4], [2, 3], [8, 3, 2, 3]];

export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(name).trim();
  return {
    lines: Array.from({ length: COUNT }, (_, index) => read(`--plot-${index + 1}`)),
    grey: read("--plot-grey"),
    grid: read("--plot-grid"),
    text: read("--text3"),
    limit: read("--critical"),
    surface: read("--bg1"),
    cursor: read("--text3"),
  };
}

/** Returns a colour of the style sheet by its name without dashes. */
export function readColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Returns the variable that holds the colour of a series, for what is drawn by style sheets. */
export function lineVariable(index: number): string {
  return `var(--plot-${(index % COUNT) + 1})`;
}

/** Returns the dashes of a series: after eight colours the pattern changes, since the colours start again. */
export function dashOf(index: number): number[] {
  return [...(DASHES[Math.floor(index / COUNT) % DASHES.length] ?? [])];
}
