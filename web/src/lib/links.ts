/** Returns the address when it is safe to follow, or null: what an alert says must not run as script. */
export function safeLink(text: string | undefined): string | null {
  if (!text) return null;
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}
