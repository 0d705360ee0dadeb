// How is the machine?
import { find, say } from "./dom.js";
import { duration, exact } from "./numbers.js";
import { open } from "./page.js";
import { Plot } from "./plot.js";
import { Table, pairs } from "./table.js";

const PLOTS = [
  { id: "cpu", keys: ["cpu_percent"], top: 100 },
  { id: "memory", keys: ["memory_percent"], top: 100 },
  { id: "disk", keys: ["disk_percent"], top: 100 },
  { id: "load", keys: ["load_1m", "load_5m", "load_15m"], top: 1 },
  { id: "files", keys: ["open_files"], top: 10 },
  { id: "connections", keys: ["network_connections"], top: 10 },
];
const LOOKS = ["main", "high", "top"];
const plots = new Map();

const table = new Table("processes", {
  key: ({ owner }) => owner,
  none: "No process has told of itself yet.",
  cells: {
    owner: { draw: (cell, { owner }) => say(cell, owner) },
    uptime: {
      draw: (cell, { uptime }) => (
        say(cell, uptime === null ? "–" : duration(uptime * 1e3)),
        (cell.title = exact(uptime, "s"))
      ),
    },
    versions: { draw: (cell, { versions }) => cell.firstChild ?? cell.append(pairs(versions)) },
  },
});

function draw(answer) {
  for (const { id, keys, top } of PLOTS) {
    const found = answer.series.filter(({ key }) => keys.includes(key));
    find(id).hidden = !found.length;
    if (!found.length) continue;
    if (!plots.has(id)) {
      const series = found.map(({ key, label }, place) => ({
        key,
        label: label.replace(/^.*, /, "").replace(/minutes?$/, "min"),
        look: LOOKS[place] ?? "calm",
        fill: found.length === 1,
      }));
      plots.set(id, new Plot(find(id), { unit: found[0].unit, top, series }));
    }
    plots.get(id).draw(answer.times, Object.fromEntries(found.map(({ key, points }) => [key, points])), answer.range);
  }
  table.update(answer.processes);
}

open({
  data: "system",
  draw,
  isEmpty: ({ series, processes }) =>
    !processes.length && series.every(({ points }) => points.every((point) => point === null)),
  nothing: {
    heading: "The system has not been watched yet",
    short: "Nothing was told of the system",
    text: "With these lines in the application, the figures appear here by themselves.",
  },
});
