// Keys, for whoever does not care for a mouse. None of them works while somebody writes.
import { el, fill, find } from "./dom.js";
import * as state from "./state.js";

const PLACES = {
  o: "",
  f: "functions",
  r: "requests",
  e: "errors",
  d: "delivery",
  s: "system",
  h: "services",
  l: "logs",
};
const RANGES = { 1: "5m", 2: "1h", 3: "24h", 4: "7d" };
const TOLD = [
  ["/", "Filter or search"],
  ["j  k", "Next and previous row"],
  ["Enter", "Open the row"],
  ["Esc", "Leave the filter; close"],
  ["1 – 4", "5 minutes, 1 hour, 24 hours, 7 days"],
  ["Space", "Pause and resume"],
  ["u", "Update now"],
  ["g  o", "Overview"],
  ["g  f", "Functions"],
  ["g  r", "Requests"],
  ["g  e", "Errors"],
  ["g  d", "Delivery"],
  ["g  s", "System"],
  ["g  h", "Services (health)"],
  ["g  l", "Logs"],
  ["?", "These keys"],
];

export function keys(live) {
  const dialog = find("keys");
  const filter = find("filter");
  fill(
    find("keys-list"),
    ...TOLD.map(([key, what]) => [
      el("dt", {}, ...key.split("  ").map((each) => el("kbd", {}, each))),
      el("dd", {}, what),
    ]).flat(),
  );
  const show = () => dialog.open || dialog.showModal();
  find("show-keys").addEventListener("click", show);
  let isGoing = false;
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (target.matches("input, select, textarea")) {
      if (key === "Escape" && target === filter) leave(filter);
      return;
    }
    const wasGoing = isGoing;
    isGoing = key === "g";
    if (wasGoing && key in PLACES) location.href = state.href(PLACES[key]);
    else if (key === "/" && filter) (filter.focus(), filter.select());
    else if (key === "?") show();
    else if (key === "u") live.refresh();
    else if (key === "j" || key === "k") step(key === "j" ? 1 : -1);
    else if (key in RANGES && find("ranges")) state.set({ range: RANGES[key], from: "", to: "" });
    else if (key === " " && !target.matches("button, a, summary")) live.toggle();
    else return;
    event.preventDefault();
  });
}

// Empties the field first, and leaves it when it is empty.
function leave(filter) {
  if (!filter.value) return filter.blur();
  filter.value = "";
  return filter.dispatchEvent(new Event("input", { bubbles: true }));
}

function step(by) {
  const rows = [...document.querySelectorAll("main [data-row]")].filter((row) => row.offsetParent !== null);
  const now = rows.findIndex((row) => row === document.activeElement);
  rows[now < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(rows.length - 1, now + by))]?.focus();
}
