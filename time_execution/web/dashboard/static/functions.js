// Where does the time go?
import { find, say } from "./dom.js";
import { Filter } from "./filter.js";
import { duration, plural } from "./numbers.js";
import { open } from "./page.js";
import * as state from "./state.js";
import { Table, meter, named, number, trend, trouble } from "./table.js";

const time = (field) => number(field, "ms");
const table = new Table("functions", {
  key: ({ name }) => name,
  open: ({ name }) => state.href("functions/detail", { name }),
  sort: "-total",
  cells: {
    name: named,
    calls: number("calls"),
    errors: trouble("errors", { of: "calls" }),
    mean: time("mean"),
    p50: time("p50"),
    p95: time("p95"),
    p99: time("p99"),
    max: time("max"),
    total: time("total"),
    share: meter("share"),
    spark: trend("spark", "ms"),
  },
});
let answer = { rows: [], total_ms: 0 };

const filter = new Filter(show);

function show() {
  const { rows, total_ms: total, truncated } = answer;
  const shown = table.show((row) => filter.finds(row.name));
  const of = shown === rows.length ? plural(shown, "function") : `${shown} of ${plural(rows.length, "function")}`;
  const cut = truncated ? " (the most costly; a filter finds others)" : "";
  const calls = rows.reduce((sum, row) => sum + row.calls, 0);
  if (total) say(find("told"), `${of}${cut}, ${plural(calls, "call")}, ${duration(total)} in all`);
}

const live = open({
  data: "functions",
  values: () => filter.values(),
  draw: (found) => {
    answer = found;
    table.update(found.rows);
    show();
    filter.saw(found, () => live.refresh());
  },
  isEmpty: ({ rows }) => !rows.length && !filter.text,
  nothing: {
    heading: "No function has been measured yet",
    short: "No function ran",
    text: "With these lines in the application, its functions appear here by themselves.",
  },
});
