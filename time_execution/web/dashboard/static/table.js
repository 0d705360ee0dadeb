// Tables that are sorted and filtered here. A refresh changes cells, never rows: scroll, selection and focus stay.
import { breaking, drawn, el, fill, find, order, say, spark } from "./dom.js";
import { exact, figures, quantity, share, zone } from "./numbers.js";
import * as state from "./state.js";

export class Table {
  // `cells`: for each column's key what it sorts by (`by`) and how a cell is drawn (`draw(cell, row, told)`).
  // `key` tells rows apart; `open` gives the address behind a row; `sort` is the key of the usual order, with `-` the
  // most first: without it rows stay as they come.
  constructor(id, { cells, key, open, sort = "", none = "Nothing here." }) {
    Object.assign(this, { cells, key, open, none, usual: sort, rows: [], known: new Map(), isWanted: () => true });
    this.table = find(id);
    this.body = this.table.tBodies[0];
    this.nothing = find(`${id}-none`);
    this.columns = [...this.table.tHead.rows[0].cells].map((head) => ({
      key: head.dataset.key,
      head,
      classes: head.className,
    }));
    for (const column of this.columns) this.prepare(column);
    if (sort) state.onChange(() => this.show());
    if (open) this.body.addEventListener("click", (event) => this.click(event));
  }

  prepare({ key, head }) {
    if (head.classList.contains("moment")) head.append(` (${zone()})`);
    if (!this.usual || !this.cells[key].by) return;
    const button = el("button", { type: "button" }, ...head.childNodes);
    fill(head, button);
    button.addEventListener("click", () => {
      const [now, descending] = this.sorting();
      const isText = typeof this.cells[key].by(this.rows[0] ?? {}) === "string";
      state.set({ sort: (now === key ? !descending : !isText) ? `-${key}` : key });
    });
  }

  sorting() {
    const wanted = state.get("sort") || this.usual;
    const key = wanted.replace(/^-/, "");
    return this.cells[key]?.by
      ? [key, wanted.startsWith("-")]
      : [this.usual.replace(/^-/, ""), this.usual.startsWith("-")];
  }

  update(rows, told) {
    this.rows = rows;
    this.told = told;
    this.show();
  }

  // Returns how many rows are shown.
  show(isWanted = this.isWanted) {
    this.isWanted = isWanted;
    const chosen = this.rows.filter(isWanted);
    if (this.usual) this.arrange(chosen);
    const left = new Map(this.known);
    const nodes = chosen.map((row) => {
      const key = this.key(row);
      const node = left.get(key) ?? this.row(row);
      left.delete(key);
      this.known.set(key, node);
      if (node.told !== row)
        this.columns.forEach(({ key: column }, place) => this.cells[column].draw(node.cells[place], row, this.told));
      node.told = row;
      return node;
    });
    const shown = new Set(nodes);
    for (const node of [...this.body.rows]) if (!shown.has(node)) node.remove();
    const current = new Set(this.rows.map(this.key));
    for (const key of left.keys()) if (!current.has(key)) this.known.delete(key);
    order(this.body, nodes);
    if (this.nothing) {
      this.nothing.hidden = nodes.length > 0;
      say(this.nothing, this.rows.length ? "Nothing here matches the filter." : this.none);
    }
    return nodes.length;
  }

  arrange(rows) {
    const [key, descending] = this.sorting();
    const { by } = this.cells[key];
    const way = descending ? -1 : 1;
    const missing = (value) => value === null || value === undefined;
    rows.sort((left, right) => {
      const [a, b] = [by(left), by(right)];
      if (missing(a) || missing(b)) return missing(a) - missing(b);
      return way * (typeof a === "string" ? a.localeCompare(b) : a - b);
    });
    for (const { key: each, head } of this.columns) {
      if (each === key) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  row(row) {
    const node = el(
      "tr",
      { class: this.open ? "opens" : null },
      ...this.columns.map(({ classes }) => el("td", { class: classes })),
    );
    if (!this.open) return node;
    const link = el("a", { href: this.open(row), "data-row": "" });
    node.cells[0].append(link);
    return node;
  }

  // A click anywhere in a row opens it, unless it ends the marking of a text.
  click(event) {
    const link = event.target.closest("tr")?.querySelector("a[data-row]");
    if (!link || event.target.closest("a, button") || !getSelection().isCollapsed) return;
    if (event.metaKey || event.ctrlKey) window.open(link.href, "_blank", "noopener");
    else link.click();
  }
}

// ---- cells

export const number = (field, unit = "") => ({
  by: (row) => row[field],
  draw: (cell, row) => {
    say(cell, quantity(row[field], unit));
    cell.title = exact(row[field], unit);
    cell.classList.toggle("zero", row[field] === 0);
  },
});

// Trouble has a shape before it as well as a colour.
export const trouble = (field, { unit = "", of = "" } = {}) => ({
  by: (row) => row[field],
  draw: (cell, row) => {
    const value = row[field];
    const text = quantity(value, unit);
    if (cell.dataset.shown === text) return;
    cell.dataset.shown = text;
    const about = of && value ? `, ${figures((value / row[of]) * 100)} % of calls` : "";
    cell.title = `${exact(value, unit)}${about}`;
    fill(
      cell,
      value > 0
        ? el("span", { class: "bad" }, drawn({ class: "flag", viewBox: "0 0 8 8" }, "M4 .5 7.8 7.5H.2z"), text)
        : el("span", { class: "zero" }, text),
    );
  },
});

export const meter = (field) => ({
  by: (row) => row[field],
  draw: (cell, row) => {
    if (!cell.firstChild) cell.append(el("span", { class: "meter" }, el("span"), el("i", {}, el("b"))));
    const ratio = row[field] ?? 0;
    say(cell.firstChild.firstChild, share(ratio));
    cell.title = exact(ratio * 100, "%");
    cell.querySelector("b").style.width = `${Math.min(100, ratio * 100).toFixed(1)}%`;
  },
});

export const trend = (field, unit) => ({
  draw: (cell, row) => {
    if (!cell.firstChild) cell.append(drawn({ viewBox: "0 0 96 22" }, ""));
    cell.querySelector("path").setAttribute("d", spark(row[field] ?? []));
    const known = (row[field] ?? []).filter((value) => value !== null);
    cell.title = known.length
      ? `from ${quantity(Math.min(...known), unit)} to ${quantity(Math.max(...known), unit)}`
      : "nothing known";
  },
});

// A dotted name: where it lies stands back, what it is called stays readable when there is no room.
export function nameParts(name) {
  const pieces = name.split(".");
  let own = pieces.length > 1 && /^[A-Z]/.test(pieces[pieces.length - 2]) ? 2 : 1;
  if (pieces[pieces.length - own] === "") own = pieces.length;
  const module = pieces.slice(0, -own).join(".");
  return [
    module ? el("span", { class: module.length < 6 ? "module short" : "module" }, breaking(`${module}.`)) : null,
    el("span", { class: "leaf" }, breaking(pieces.slice(-own).join("."))),
  ];
}

export const named = {
  by: (row) => row.name,
  draw: (cell, row) => {
    const place = cell.firstChild ?? cell;
    if (cell.title === row.name && place.childElementCount) return;
    cell.title = row.name;
    fill(place, nameParts(row.name));
  },
};

export function pairs(fields, link) {
  const entries = Object.entries(fields ?? {});
  return el(
    "span",
    { class: "pairs" },
    ...entries.map(([name, value]) => el("span", {}, el("b", {}, `${name}=`), link?.(name, value) ?? shown(value))),
  );
}

export const shown = (value) => (typeof value === "string" ? value : (JSON.stringify(value) ?? ""));
