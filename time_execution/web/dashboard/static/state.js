// The address is the state: range, filters and order. A link shows a colleague the same; back and forward work.
const root = document.body.dataset.root;
const listeners = new Set();
const RANGES = { "5m": "5 minutes", "1h": "hour", "24h": "24 hours", "7d": "7 days" };
const CARRIED = ["range", "from", "to"];

const parameters = () => new URLSearchParams(location.search);

export const get = (name) => parameters().get(name) ?? "";
export const isCustom = () => Boolean(get("from"));
export const range = () => (get("range") in RANGES ? get("range") : "1h");

export function rangeText() {
  return isCustom() ? "the time shown" : `the last ${RANGES[range()]}`;
}

// An address of one of our pages with the range of this one.
export function href(path, values = {}) {
  const kept = new URLSearchParams();
  for (const name of CARRIED) if (get(name)) kept.set(name, get(name));
  for (const [name, value] of Object.entries(values)) if (value !== "" && value !== null) kept.set(name, value);
  const query = kept.toString();
  return `${root}${path}${query ? `?${query}` : ""}`;
}

export function dataUrl(name, values) {
  const asked = new URLSearchParams();
  for (const key of CARRIED) if (get(key)) asked.set(key, get(key));
  for (const [key, value] of Object.entries(values))
    if (value !== "" && value !== null && value !== undefined) asked.set(key, value);
  return `${root}data/${name}?${asked}`;
}

// Changes the address: `quietly` without a step to go back to, as while somebody types; `silent` without telling.
export function set(changes, { quietly = false, silent = false } = {}) {
  const next = parameters();
  for (const [name, value] of Object.entries(changes)) {
    if (value === "" || value === null || value === undefined) next.delete(name);
    else next.set(name, value);
  }
  if (next.toString() === parameters().toString()) return;
  const query = next.toString();
  history[quietly ? "replaceState" : "pushState"](null, "", query ? `?${query}` : location.pathname);
  if (!silent) tell();
}

export const zoom = (from, to) => set({ range: "", from: Math.floor(from), to: Math.ceil(to) });
export const onChange = (listener) => listeners.add(listener);

function tell() {
  for (const listener of listeners) listener();
}

addEventListener("popstate", tell);
