// What all pages do: navigation, range, colours, keys, and the states without figures.
import { el, fill, find, say } from "./dom.js";
import { keys } from "./keys.js";
import { Live } from "./live.js";
import { ago, zone } from "./numbers.js";
import * as state from "./state.js";

const LENGTHS = { "5m": 300, "1h": 3600, "24h": 86400, "7d": 604800 };
const SAYS = { "5m": "5 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days" };

// Runs the page: `data` is its name, `values` what else is asked for, `draw` what is done with the answer; `isEmpty`
// whether there is nothing to draw in it, and `nothing` what to say then.
export function open({ data, values = () => ({}), draw, isEmpty = () => false, nothing, every, usesRange = true }) {
  menu();
  colours();
  copying();
  if (usesRange) ranges();
  const live = new Live({
    every,
    ask: () => state.dataUrl(data, values()),
    draw: (answer) => {
      // Still being read: what is not there yet is not missing.
      if (answer.warming && isEmpty(answer)) return;
      find("content").removeAttribute("aria-busy");
      const blank = blankOf(answer, isEmpty, nothing);
      find("blank").hidden = !blank;
      find("content").hidden = Boolean(blank);
      if (blank) tell(blank);
      else draw(answer);
      reach();
    },
  });
  keys(live);
  links();
  state.onChange(() => {
    links();
    if (usesRange) ranges();
    live.refresh();
  });
  addEventListener("resize", reach);
  live.refresh();
  return live;
}

function blankOf({ store, now }, isEmpty, nothing) {
  const answer = arguments[0];
  if (store.state === "broken") return { heading: "The figures cannot be read", text: store.message, paste: false };
  if (isEmpty(answer) && (store.state !== "ok" || !store.last)) return { ...nothing, paste: true };
  if (!isEmpty(answer)) return null;
  const age = store.last ? now - store.last : Infinity;
  const wider = Object.entries(LENGTHS).find(
    ([, seconds]) => seconds > age && seconds > (state.isCustom() ? 0 : LENGTHS[state.range()]),
  );
  const heading = `${nothing.short} in ${state.rangeText()}`;
  return {
    heading,
    text: `Whatever was stored last is from ${ago(age)}. ${nothing.text}`,
    paste: true,
    wider: wider?.[0],
  };
}

function tell({ heading, text, paste, wider }) {
  say(find("blank-heading"), heading);
  say(find("blank-text"), text);
  find("blank-paste").hidden = !paste;
  fill(
    find("blank-acts"),
    wider
      ? el("a", { class: "button", href: `?range=${wider}`, "data-range-link": wider }, `Show the last ${SAYS[wider]}`)
      : null,
  );
}

// What scrolls in its own box can be scrolled by keys as well.
function reach() {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth <= box.clientWidth) {
      box.removeAttribute("tabindex");
      box.removeAttribute("role");
    } else {
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", `Table: ${box.querySelector("caption")?.textContent ?? ""}`);
    }
  }
}

// Links between pages take the range along.
function links() {
  for (const link of document.querySelectorAll("[data-page-link]"))
    link.setAttribute("href", state.href(link.dataset.pageLink));
}

function menu() {
  const button = find("menu");
  button.addEventListener("click", () => {
    const isOpen = find("pages").classList.toggle("open");
    button.setAttribute("aria-expanded", String(isOpen));
  });
}

function colours() {
  const buttons = [...document.querySelectorAll("[data-theme-choice]")];
  const show = () => {
    const chosen = document.documentElement.dataset.theme ?? "system";
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.themeChoice === chosen));
  };
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const chosen = button.dataset.themeChoice;
      if (chosen === "system") delete document.documentElement.dataset.theme;
      else document.documentElement.dataset.theme = chosen;
      try {
        localStorage.setItem("time-execution-theme", chosen);
      } catch {
        // Storage is switched off: the choice holds for this page.
      }
      show();
      dispatchEvent(new Event("colours"));
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("colours")));
  show();
}

function copying() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const source = find(button.dataset.copy);
      try {
        await navigator.clipboard.writeText(source.textContent);
        say(button, "Copied");
      } catch {
        // Not over plain HTTP from afar: mark it, so that one key copies it.
        getSelection().selectAllChildren(source);
        say(button, "Marked");
      }
      setTimeout(() => say(button, "Copy"), 2000);
    });
  }
}

const local = (seconds) =>
  new Date(seconds * 1e3 - new Date(seconds * 1e3).getTimezoneOffset() * 6e4).toISOString().slice(0, 19);

function ranges() {
  for (const link of document.querySelectorAll("[data-range]")) {
    const isShown = !state.isCustom() && link.dataset.range === state.range();
    link.toggleAttribute("aria-current", isShown);
    if (isShown) link.setAttribute("aria-current", "true");
  }
  const button = find("custom");
  button.setAttribute("aria-pressed", String(state.isCustom()));
  if (button.dataset.ready) return;
  button.dataset.ready = "yes";
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-range], [data-range-link]");
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    state.set({ range: link.dataset.range ?? link.dataset.rangeLink, from: "", to: "" });
  });
  const form = find("custom-range");
  const toggle = (isOpen) => {
    form.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) return;
    const until = Number(state.get("to")) || Date.now() / 1e3;
    form.elements.from.value = local(Number(state.get("from")) || until - LENGTHS[state.range()]);
    form.elements.to.value = local(until);
    say(find("zone"), `Times are local: ${zone()}.`);
    say(find("custom-problem"), "");
    form.elements.from.focus();
  };
  button.addEventListener("click", () => toggle(form.hidden));
  find("custom-close").addEventListener("click", () => (toggle(false), button.focus()));
  form.addEventListener("keydown", (event) => event.key === "Escape" && (toggle(false), button.focus()));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [from, to] = ["from", "to"].map((name) => new Date(form.elements[name].value) / 1e3);
    if (!(from < to)) return say(find("custom-problem"), "The end lies before the beginning.");
    toggle(false);
    button.focus();
    return state.zoom(from, to);
  });
}
