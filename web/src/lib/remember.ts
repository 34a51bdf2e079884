const MOST = 20;

/** Returns what this browser remembers under a name, newest first. */
export function recall(name: string): string[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(`tocsin.${name}`) ?? "[]");
    return Array.isArray(found) ? found.filter((each): each is string => typeof each === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
}

/** Remembers a text at the front, once. */
export function remember(name: string, text: string): void {
  try {
    const kept = [text, ...recall(name).filter((each) => each !== text)].slice(0, MOST);
    localStorage.setItem(`tocsin.${name}`, JSON.stringify(kept));
  } catch {
    // Storage can be forbidden or full; the history is a comfort, not a promise.
  }
}
