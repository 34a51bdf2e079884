const SHAPE = /^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*$/s;

/** Returns the matcher written in Alertmanager's form, or null when the text is none. */
export function parseMatcher(text) {
  const found = SHAPE.exec(text);
  if (!found) return null;
  const raw = found[3];
  const value = raw.startsWith('"') ? JSON.parse(raw) : raw;
  return { name: found[1], value, isRegex: found[2].endsWith("~"), isEqual: !found[2].startsWith("!") };
}

/** Returns whether the labels satisfy the matcher; a label that is missing counts as empty. */
export function matches(matcher, labels) {
  const value = labels[matcher.name] ?? "";
  const hit = matcher.isRegex ? new RegExp(`^(?:${matcher.value})$`).test(value) : value === matcher.value;
  return hit === matcher.isEqual;
}
