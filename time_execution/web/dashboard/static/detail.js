// One function, or one route, over time.
import { el, fill, find, say } from "./dom.js";
import { count, duration, exact, timeOf } from "./numbers.js";
import { open } from "./page.js";
import { Plot } from "./plot.js";
import * as state from "./state.js";
import { Table, meter, named, nameParts, number, pairs, shown } from "./table.js";

const isRoute = document.body.dataset.page === "request";
const subject = () =>
  isRoute ? { method: state.get("method"), route: state.get("route") } : { name: state.get("name") };

const time = new Plot(find("time"), {
  unit: "ms",
  series: [
    { key: "p50", label: "p50", look: "main" },
    { key: "p95", label: "p95", look: "high", to: 0, isMain: true },
    { key: "p99", label: "p99", look: "top" },
  ],
});
const calls = new Plot(find("count"), {
  unit: "",
  top: 1,
  series: [
    { key: "calls", label: "Calls", look: "main", fill: true },
    { key: "errors", label: "Errors", look: "bad" },
  ],
});
let buckets = null;

const moments = { draw: (cell, row) => cell.firstChild ?? cell.append(timeOf(row.time)) };
const text = (field) => ({ draw: (cell, row) => say(cell, row[field] ? String(row[field]) : "–") });
const link = (name, value) =>
  name === "request_id" ? el("a", { href: state.href("logs", { request_id: String(value) }) }, String(value)) : null;
// What the heading says is not said once more with every call.
const fields = {
  draw: (cell, { fields: { method, route, ...others } = {} }) =>
    cell.firstChild ?? cell.append(pairs(isRoute ? others : { method, route, ...others }, link)),
};
const failure = {
  draw: (cell, row) =>
    say(
      cell,
      shown(row.fields?.error_type ?? row.fields?.status_code ?? (row.error === true ? "error" : row.error || "error")),
    ),
};
const call = ({ time: at, value, hostname, fields: own }) =>
  `${at} ${value} ${hostname} ${own?.request_id ?? ""}${own?.call_id ?? ""}`;
const lists = {
  slowest: new Table("slowest", {
    key: call,
    cells: { time: moments, value: number("value", "ms"), hostname: text("hostname"), fields },
    none: "No single calls are kept for the time shown.",
  }),
  failed: new Table("failed", {
    key: call,
    cells: { time: moments, value: number("value", "ms"), error: failure, hostname: text("hostname"), fields },
    none: "No call failed.",
  }),
};
const side = isRoute
  ? new Table("statuses", {
      key: ({ status }) => status,
      none: "No answer in the time shown.",
      cells: {
        status: {
          draw: (cell, { status }) => (
            say(cell, status),
            cell.classList.toggle("bad", status >= "5"),
            cell.classList.toggle("warn", status[0] === "4")
          ),
        },
        calls: number("calls"),
        share: meter("share"),
      },
    })
  : new Table("callers", {
      key: ({ name }) => name,
      open: ({ name }) => state.href("functions/detail", { name }),
      cells: { name: named, calls: number("calls") },
      none: "No call tells who called it. The tracker and the profiler would.",
    });

function heading() {
  const { name, method, route } = subject();
  const node = find("name");
  if (node.title) return;
  node.title = name ?? `${method} ${route}`;
  fill(node, isRoute ? [el("span", { class: "verb" }, `${method} `), route] : nameParts(name));
  document.title = `${node.title} · ${document.title}`;
}

function summary(found) {
  for (const box of document.querySelectorAll("[data-figure]")) {
    const { figure } = box.dataset;
    const value = found[figure];
    const cell = box.querySelector("dd");
    const isCount = figure === "calls" || figure === "errors";
    say(cell, isCount ? count(value) : duration(value));
    cell.title = exact(value, isCount ? figure : "ms");
    cell.classList.toggle("bad", figure === "errors" && value > 0);
  }
}

function histogram(bins) {
  const texts = bins.map(({ low }) => duration(low));
  const whole = bins.map(({ low, high }) => `${duration(low)} to ${duration(high)}`);
  if (!buckets) {
    buckets = new Plot(find("histogram"), {
      unit: "",
      across: whole,
      series: [{ key: "count", label: "Calls", look: "main", bars: true }],
      summary: ([, counts]) => {
        const all = counts.reduce((sum, each) => sum + each, 0);
        const most = counts.indexOf(Math.max(...counts, 0));
        return all ? `Most often ${buckets.across[most]}` : "No call in the time shown.";
      },
    });
  }
  const isSame = buckets.across.join() === whole.join();
  Object.assign(buckets, { across: whole, marks: texts });
  buckets.draw(
    bins.map((_, place) => place),
    { count: bins.map((bin) => bin.count) },
    {},
  );
  if (!isSame) buckets.again();
}

function draw(found) {
  heading();
  summary(found.summary ?? {});
  time.draw(found.times, found, found.range);
  calls.draw(found.times, found, found.range);
  histogram(found.histogram);
  // While calls are still being read, that none is there yet means nothing.
  for (const name of ["slowest", "failed"]) if (!found.warming || found[name].length) lists[name].update(found[name]);
  if (isRoute) side.update(answers(found.statuses));
  else if (!found.warming || found.callers.length) side.update(found.callers);
}

function answers(statuses) {
  const all = Object.values(statuses).reduce((sum, each) => sum + each, 0);
  return Object.entries(statuses).map(([status, calls]) => ({ status, calls, share: calls / all }));
}

heading();
open({
  data: isRoute ? "request" : "function",
  values: subject,
  draw,
  isEmpty: (found) => !found.summary,
  nothing: {
    heading: isRoute ? "This route was not called yet" : "This function has not run yet",
    short: isRoute ? "No request to this route" : "No call of this function",
    text: "As soon as there is one, it appears here.",
  },
});
