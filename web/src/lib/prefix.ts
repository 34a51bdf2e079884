/** Returns the path below which all is served: empty where that is the root, else such as `/tocsin`. */
function read(): string {
  // A worker stands in the folder of the assets.
  if (typeof document === "undefined") return typeof location === "undefined" ? "" : without(new URL("..", location.href).pathname);
  const base = document.querySelector<HTMLMetaElement>("meta[name=tocsin-base]")?.content ?? "/";
  return without(new URL(base, document.location.href).pathname);
}

function without(path: string): string {
  return path.replace(/\/+$/, "");
}

export const PREFIX = read();
