/** Returns the place in a text, in UTF-16 units as editors count, of an offset in UTF-8 bytes as the server counts. */
export function unitsOfBytes(text: string, bytes: number): number {
  let seen = 0;
  let units = 0;
  for (const char of text) {
    if (seen >= bytes) break;
    const code = char.codePointAt(0) ?? 0;
    seen += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    units += char.length;
  }
  return units;
}

export interface Span {
  from: number;
  to: number;
}

/**
 * Returns where in the query an error lies, at least one character wide where the query has one, or null.
 * Without the server's own offsets, the line and column that start the message are used.
 */
export function spanOfError(query: string, message: string, position: { start: number; end: number } | null): Span | null {
  const clamp = (at: number) => Math.max(0, Math.min(query.length, at));
  if (position) {
    const from = clamp(unitsOfBytes(query, position.start));
    const to = clamp(unitsOfBytes(query, position.end));
    return widened({ from, to: Math.max(from, to) }, query);
  }
  const named = /^(\d+):(\d+): parse error/.exec(message.replace(/^invalid parameter "query": /, ""));
  if (!named) return null;
  const lines = query.split("\n").slice(0, Number(named[1]) - 1);
  const from = clamp(lines.reduce((sum, line) => sum + line.length + 1, 0) + Number(named[2]) - 1);
  return widened({ from, to: from }, query);
}

function widened({ from, to }: Span, query: string): Span {
  if (to > from) return { from, to };
  return from < query.length ? { from, to: from + 1 } : { from: Math.max(0, query.length - 1), to: query.length };
}
