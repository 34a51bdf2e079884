import type { Param } from "../api/runs.ts";
import { formatDuration, parseDuration } from "./time.ts";

/** A name as the server takes it: letters, digits and . _ - :, at most as long as a name in DNS. */
const NAME = /^[A-Za-z0-9](?!.*\.\.)[A-Za-z0-9._:-]{0,252}$/;

/** Returns a value as text, for a field or for reading; structures are written as JSON. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// Durations come as a number of milliseconds or as PromQL writes them.
function duration(bound: string | number | null): number | null {
  if (bound === null) return null;
  return typeof bound === "number" ? bound : parseDuration(bound);
}

function number(bound: string | number | null): number | null {
  return bound === null || bound === "" || Number.isNaN(Number(bound)) ? null : Number(bound);
}

function boundText(param: Param, bound: string | number | null): string | null {
  if (bound === null) return null;
  if (param.type !== "duration") return textOf(bound);
  const milliseconds = duration(bound);
  return milliseconds === null ? textOf(bound) : formatDuration(milliseconds);
}

/** Returns what a parameter may be, in words. */
export function boundsOf(param: Param): string {
  const low = boundText(param, param.min);
  const high = boundText(param, param.max);
  const range = low !== null && high !== null ? `, ${low} to ${high}` : low !== null ? `, ${low} or more` : high !== null ? `, at most ${high}` : "";
  switch (param.type) {
    case "int":
      return `A whole number${range}`;
    case "float":
      return `A number${range}`;
    case "duration":
      return `A duration such as 30s or 1h30m${range}`;
    case "name":
      return param.of ? `The name of a ${param.of}` : "A name";
    case "bool":
      return "true or false";
    case "enum":
      return `One of ${(param.values ?? []).join(", ")}`;
  }
}

/** Returns what the field of a parameter starts with. */
export function startText(param: Param, given: Record<string, string>): string {
  const own = given[param.name];
  if (own !== undefined) return own;
  if (param.default !== null) return param.type === "duration" && typeof param.default === "number" ? formatDuration(param.default) : textOf(param.default);
  if (param.type === "bool") return param.required ? "" : "false";
  return param.type === "enum" && param.required && param.values?.length === 1 ? (param.values[0] ?? "") : "";
}

/** Returns why a text cannot be the value of a parameter, or null when it can. The server decides; this only spares the way. */
export function faultOf(param: Param, text: string): string | null {
  if (text === "") return param.required && param.default === null ? "A value is needed" : null;
  const outside = (value: number, low: number | null, high: number | null) => ((low !== null && value < low) || (high !== null && value > high) ? `Must be ${boundsOf(param).replace(/^[^,]*, /, "").replace(" to ", " to at most ")}` : null);
  switch (param.type) {
    case "int":
      if (!/^-?\d{1,18}$/.test(text)) return "Must be a whole number";
      return outside(Number(text), number(param.min), number(param.max));
    case "float":
      if (!/^-?\d+(\.\d+)?([eE]-?\d+)?$/.test(text)) return "Must be a number";
      return outside(Number(text), number(param.min), number(param.max));
    case "duration": {
      const value = parseDuration(text);
      return value === null ? "Must be a duration such as 30s or 1h30m" : outside(value, duration(param.min), duration(param.max));
    }
    case "bool":
      return text === "true" || text === "false" ? null : "Must be true or false";
    case "enum":
      return (param.values ?? []).includes(text) ? null : "Must be one of the list";
    case "name":
      return NAME.test(text) ? null : "Must be a name: letters, digits and . _ - :";
  }
}
