"use strict";
// Before the first paint, so that nothing flashes: the colours that were chosen here, or those of the system.
try {
  const chosen = localStorage.getItem("time-execution-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is switched off: the system's colours it is.
}
