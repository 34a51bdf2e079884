// Runs before the first paint, so that the page never flashes in the wrong theme.
(function () {
  var choice = null;
  try {
    choice = localStorage.getItem("tocsin.theme");
  } catch {
    // Storage can be forbidden; the system's preference decides then.
  }
  var root = document.documentElement;
  var light = matchMedia("(prefers-color-scheme: light)");
  var theme = choice === "light" || choice === "dark" ? choice : light.matches ? "light" : "dark";
  root.setAttribute("data-theme", theme);
  root.setAttribute("data-mantine-color-scheme", theme);
})();
