// Elements from names and texts. What came from outside is a text, or the value of an attribute that cannot run.
const HARMLESS =
  /^(?:class|id|title|type|role|tabindex|scope|colspan|datetime|hidden|open|viewBox|d|aria-[a-z]+|data-[a-z-]+)$/;
const SVG = "http://www.w3.org/2000/svg";
// A ring, a triangle, an octagon, and a dash for what nobody knows: what is wrong shows without a colour.
const SIGNS = {
  ok: "M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zm0 2a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9z",
  unknown: "M3 7h10v2H3z",
  warn: "M8 1 15.5 14.5H.5zM7.1 6v4.4h1.8V6zm0 5.4v1.7h1.8v-1.7z",
  bad: "M5 .8h6L15.2 5v6L11 15.2H5L.8 11V5zM7.1 3.6v5.6h1.8V3.6zm0 7v1.8h1.8v-1.8z",
};
export const LEVELS = { healthy: "ok", degraded: "warn", unhealthy: "bad", unknown: "unknown" };

export const find = (id) => document.getElementById(id);

function put(node, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name === "href") {
    // Only what lies on this host: no scheme that runs, no other address.
    const url = new URL(value, document.baseURI);
    if (url.origin !== location.origin || !url.protocol.startsWith("http")) return;
  } else if (!HARMLESS.test(name)) throw new Error(`no attribute of a page: ${name}`);
  node.setAttribute(name, value === true ? "" : String(value));
}

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) put(node, name, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export function drawn(attributes, ...paths) {
  const node = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries(attributes)) put(node, name, value);
  node.setAttribute("aria-hidden", "true");
  for (const shape of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", shape);
    node.append(path);
  }
  return node;
}

export const sign = (level) => drawn({ class: `sign ${level}`, viewBox: "0 0 16 16" }, SIGNS[level] ?? SIGNS.ok);

// What does not change is not touched: selections, focus and the reader's place stay.
export function say(node, text) {
  if (node.childElementCount || node.textContent !== text) node.textContent = text;
}

// Tells those who hear the page what is new. Figures that change all the time are not, unless they were asked for.
export function announce(text, { isAsked = false } = {}) {
  const node = find("said");
  const words = text.replace(/\d[\d.,]*( ([µmn]?s|min|h|%|[kMGT])\b)?/g, "");
  if (isAsked || node.words !== words) node.textContent = text;
  node.words = words;
}

export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
}

// A line of 96 by 22; a gap in the values is a gap in the line, and a value alone is a dot. Its height stands for most
// of the greatest value at least, so that noise stays a ripple.
export function spark(values) {
  const known = values.filter((value) => value !== null);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const span = Math.max(high - low, high * 0.75) || 1;
  const across = (place) => ((place / Math.max(values.length - 1, 1)) * 96).toFixed(1);
  const down = (value) => (11 - ((value - (low + high) / 2) / span) * 19).toFixed(1);
  let shape = "";
  values.forEach((value, place) => {
    if (value === null) return;
    const before = place > 0 && values[place - 1] !== null;
    shape += `${before ? "L" : "M"}${across(place)} ${down(value)}`;
    if (!before && (values[place + 1] ?? null) === null) shape += "h.1";
  });
  return shape;
}

// A table of texts and nodes: the first of each row is its head. A head may come with a class, as [text, class].
export function table(caption, heads, rows) {
  const named = heads.map((head) => [].concat(head));
  const line = (row) =>
    row.map((each, place) => el(place ? "td" : "th", { scope: place ? null : "row", class: named[place][1] }, each));
  return el(
    "table",
    {},
    el("caption", { class: "hidden" }, caption),
    el("thead", {}, el("tr", {}, ...named.map(([text, kind]) => el("th", { scope: "col", class: kind }, text)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...line(row)))),
  );
}

// A text that may break after its dots, slashes and the like, which reads better than a break anywhere.
export const breaking = (text) =>
  text.split(/(?<=[./:(_])|(?<=[a-z])(?=[A-Z])/).flatMap((piece, place) => (place ? [el("wbr"), piece] : [piece]));

// Children by their keys: those that stay are kept as they are, and drawn again by `update`.
export function keep(parent, items, key, make, update) {
  const old = new Map(
    [...parent.children].filter((node) => node.dataset.key !== undefined).map((node) => [node.dataset.key, node]),
  );
  const wanted = items.map((item) => {
    const name = key(item);
    const node = old.get(name) ?? make(item);
    old.delete(name);
    node.dataset.key = name;
    update(node, item);
    return node;
  });
  for (const node of [...parent.children]) if (!wanted.includes(node)) node.remove();
  order(parent, wanted);
}

// Puts children in order without moving the one that has the focus, which would lose it.
export function order(parent, wanted) {
  let place = parent.firstElementChild;
  for (const node of wanted) {
    if (node === place) place = place.nextElementSibling;
    else if (place && node.contains(document.activeElement)) {
      while (place !== node) {
        const next = place.nextElementSibling;
        parent.append(place);
        place = next;
      }
      place = node.nextElementSibling;
    } else parent.insertBefore(node, place);
  }
}
