export interface Threshold {
  /** The part of the rule that has a value to draw. */
  expr: string;
  operator: ">" | ">=" | "<" | "<=" | "==" | "!=";
  limit: number;
}

const TAIL = /^(.*?[^\s=!<>])\s*(>=|<=|==|!=|>|<)\s*(?:bool\s+)?(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*$/is;

function depthAfter(text: string): number {
  let depth = 0;
  let quote: string | null = null;
  for (let index = 0; index < text.length; index += 1) {
    const char = text[index] ?? "";
    if (quote !== null) {
      if (char === "\\" && quote !== "`") index += 1;
      else if (char === quote) quote = null;
    } else if (char === '"' || char === "'" || char === "`") quote = char;
    else if ("([{".includes(char)) depth += 1;
    else if (")]}".includes(char)) depth -= 1;
  }
  return quote === null ? depth : -1;
}

/** Returns a rule's expression apart from the limit it is compared with at its end, or null when it has no such form. */
export function splitThreshold(rule: string): Threshold | null {
  const found = TAIL.exec(rule.trim());
  const [, expr, operator, limit] = found ?? [];
  if (!expr || !operator || !limit) return null;
  // A comparison inside brackets, or beside "and" and "or", says nothing about the value of the whole.
  if (depthAfter(expr) !== 0 || /\b(and|or|unless)\b/i.test(expr)) return null;
  return { expr: expr.trim(), operator: operator as Threshold["operator"], limit: Number(limit) };
}
