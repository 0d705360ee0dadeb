// Which requests fail, and which take long?
import { breaking, el, fill, find, say } from "./dom.js";
import { Filter } from "./filter.js";
import { plural, quantity } from "./numbers.js";
import { open } from "./page.js";
import { Plot } from "./plot.js";
import * as state from "./state.js";
import { Table, meter, number, trend, trouble } from "./table.js";

const rate = new Plot(find("rate"), {
  unit: "/s",
  series: [
    { key: "2xx", label: "2xx", look: "main", fill: true, isMain: true },
    { key: "3xx", label: "3xx", look: "calm" },
    { key: "4xx", label: "4xx", look: "warn" },
    { key: "5xx", label: "5xx", look: "bad" },
  ],
});
const latency = new Plot(find("latency"), {
  unit: "ms",
  series: [
    { key: "p50", label: "p50", look: "main" },
    { key: "p95", label: "p95", look: "high", to: 0, isMain: true },
    { key: "p99", label: "p99", look: "top" },
  ],
});

const time = (field) => number(field, "ms");

const route = {
  by: ({ method, route: template }) => `${template} ${method}`,
  draw: (cell, { method, route: template }) => {
    if (cell.title === `${method} ${template}`) return;
    cell.title = `${method} ${template}`;
    fill(cell.firstChild, el("span", { class: "verb" }, method), el("span", { class: "leaf" }, breaking(template)));
  },
};

const statuses = {
  draw: (cell, { statuses: found, calls }) => {
    const entries = Object.entries(found ?? {});
    cell.title = entries.map(([status, number_]) => `${status}: ${number_}`).join(", ");
    if (!cell.firstChild) cell.append(el("span", { class: "statuses-bar" }), el("span", { class: "hidden" }));
    fill(
      cell.firstChild,
      entries.map(([status, number_]) => {
        const piece = el("i", { class: `s${status[0]}` });
        piece.style.flexGrow = String(number_ / (calls || 1));
        return piece;
      }),
    );
    say(cell.lastChild, cell.title);
  },
};

const table = new Table("routes", {
  key: ({ method, route: template }) => `${method} ${template}`,
  open: ({ method, route: template }) => state.href("requests/detail", { method, route: template }),
  sort: "-share",
  cells: {
    name: route,
    calls: number("calls"),
    rate: number("rate", "/s"),
    errors: trouble("errors", { of: "calls" }),
    error_rate: number("error_rate", "%"),
    statuses,
    mean: time("mean"),
    p50: time("p50"),
    p95: time("p95"),
    p99: time("p99"),
    max: time("max"),
    share: meter("share"),
    spark: trend("spark", "ms"),
  },
});
let answer = { rows: [] };

const filter = new Filter(show);

function show() {
  const { rows, truncated } = answer;
  const shown = table.show((row) => filter.finds(`${row.method} ${row.route}`));
  const of = shown === rows.length ? plural(shown, "route") : `${shown} of ${plural(rows.length, "route")}`;
  const cut = truncated ? " (the most costly; a filter finds others)" : "";
  const [calls, errors] = ["calls", "errors"].map((key) => rows.reduce((sum, row) => sum + row[key], 0));
  const failed = errors ? `${quantity((errors / calls) * 100, "%")} failed` : "none failed";
  if (calls) say(find("told"), `${of}${cut}, ${plural(calls, "request")}, ${failed}`);
}

const live = open({
  data: "requests",
  values: () => filter.values(),
  draw: (found) => {
    answer = found;
    rate.draw(found.times, found.rate, found.range);
    latency.draw(found.times, found, found.range);
    table.update(found.rows);
    show();
    filter.saw(found, () => live.refresh());
  },
  isEmpty: ({ rows }) => !rows.length && !filter.text,
  nothing: {
    heading: "No request has been measured yet",
    short: "No request came in",
    text: "With these lines in the application, its requests appear here by themselves.",
  },
});
