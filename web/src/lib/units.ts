const STEPS: [number, string][] = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

function significant(value: number, digits = 3): string {
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  const decimals = Math.max(0, Math.min(12, digits - 1 - size));
  const text = value.toFixed(decimals);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Returns a number with three significant digits and a metric prefix: "18.2 k", "0.0042", "3". */
export function formatNumber(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  const size = Math.abs(value);
  if (size !== 0 && size < 1e-4) return value.toExponential(2);
  const step = STEPS.find(([from]) => size >= from * 0.99995);
  if (step && size >= 10_000) return `${significant(value / step[0])} ${step[1]}`;
  return size >= 1000 ? String(Math.round(value)) : significant(value);
}

/** Returns a whole count with thin gaps between thousands: "48 213". */
export function formatCount(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Returns bytes in binary units: "70 MiB". */
export function formatBytes(bytes: number): string {
  const names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let index = 0;
  while (Math.abs(value) >= 1024 && index < names.length - 1) {
    value /= 1024;
    index += 1;
  }
  return `${significant(value)} ${names[index]}`;
}

/** Returns a measured time in the unit that reads best: "4.1 ms", "1.5 s". */
export function formatSeconds(seconds: number): string {
  if (seconds < 0.001) return `${significant(seconds * 1e6)} µs`;
  if (seconds < 1) return `${significant(seconds * 1000)} ms`;
  return `${significant(seconds)} s`;
}

/** Returns "1 alert", "2 alerts". */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** Returns the value of an alert for reading; texts that are no number stay as they are. */
export function formatValue(text: string): string {
  const value = Number(text);
  return text.trim() === "" || (Number.isNaN(value) && text !== "NaN") ? text : formatNumber(value);
}

/** Returns the text with its spans held together, so that no line ends between a number and its unit. */
export function keepSpans(text: string): string {
  return text.replace(/(\d) (?=(?:s|min|h|d)\b)/g, "$1\u00a0");
}
