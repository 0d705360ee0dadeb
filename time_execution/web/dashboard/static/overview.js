// Is something wrong right now?
import { LEVELS, announce, el, fill, find, keep, say, sign } from "./dom.js";
import { ago, count, moment, parts, quantity, timeOf, zone } from "./numbers.js";
import { open } from "./page.js";
import { Plot, fillValues } from "./plot.js";
import * as state from "./state.js";
import { nameParts } from "./table.js";

const TOPS = { cpu: 100, memory: 100, health: 1, error_rate: 1 };
const plots = new Map();
let shown = null;

function verdict({ level, text, more }) {
  const place = find("verdict-sign");
  if (place.dataset.level !== level) {
    place.dataset.level = level;
    fill(place, sign(level));
  }
  say(find("verdict-text"), text);
  announce(text);
  keep(
    find("verdict-more"),
    more.map((each) => ({ each })),
    ({ each }) => each,
    ({ each }) => el("li", {}, each),
    () => {},
  );
}

// The figure of a tile: number, unit, and how bad it is.
function told(each, services) {
  if (each.key !== "health") return each.last === null ? ["–", "", ""] : [...parts(each.last, each.unit), ""];
  const number = (wanted) => services.filter(({ status }) => status === wanted).length;
  if (number("unknown") === services.length) return ["–", services.length ? "not known" : "", ""];
  const level = number("unhealthy") ? "bad" : number("degraded") ? "warn" : "";
  return [`${number("healthy")} of ${services.length}`, "healthy", level];
}

function tile(figure, each, answer) {
  const [text, unit, level] = told(each, answer.services);
  const place = figure.querySelector(".figure");
  const signature = [text, unit, level].join();
  if (place.dataset.shown !== signature) {
    place.dataset.shown = signature;
    place.className = `figure ${level}`;
    fill(place, level ? sign(level) : null, text, unit ? [" ", el("small", {}, unit)] : null);
  }
  if (!plots.has(each.key)) {
    const at = figure.querySelector(".at");
    plots.set(
      each.key,
      new Plot(figure, {
        unit: each.unit,
        top: TOPS[each.key] ?? 0,
        bare: true,
        series: [{ key: "points", label: each.label, look: each.key === "health" ? "bad" : "main", fill: true }],
        onCursor: (spot, data) =>
          say(at, spot === null ? "" : `${quantity(data[1][spot] ?? null, each.unit)} at ${moment(data[0][spot])}`),
      }),
    );
  }
  plots.get(each.key).draw(answer.times, { points: each.points }, answer.range);
}

const nothing = (text) => el("li", { class: "nothing", "data-key": "nothing" }, text);

// While a server is still reading, that nothing is there yet means nothing.
function list(id, items, key, make, none) {
  const place = find(id);
  if (!items.length && shown.warming) return;
  if (items.length) keep(place, items, key, () => el("li"), make);
  else if (!place.querySelector(".nothing")) fill(place, nothing(none));
}

function service(node, { name, status, since, output }) {
  const signature = JSON.stringify([status, since, output]);
  if (node.dataset.shown === signature) return;
  node.dataset.shown = signature;
  const level = LEVELS[status] ?? "ok";
  fill(
    node,
    el("span", { class: "cut" }, name),
    el("span", { class: `state ${level === "ok" ? "quiet" : level}` }, sign(level), status),
    level === "ok"
      ? null
      : el(
          "span",
          { class: "sub", title: output },
          since ? ["since ", timeOf(since), output ? `: ${output}` : ""] : output,
        ),
  );
}

function slow(node, { name, method, route, p95, before }) {
  const signature = `${p95} ${before}`;
  if (node.dataset.shown === signature) return;
  node.dataset.shown = signature;
  const href = route ? state.href("requests/detail", { method, route }) : state.href("functions/detail", { name });
  fill(
    node,
    el("a", { class: "name-text", href, title: name, "data-row": "" }, route ? name : nameParts(name)),
    el("span", {}, quantity(p95, "ms")),
    el(
      "span",
      { class: "sub" },
      before ? `p95 was ${quantity(before, "ms")}: ${quantity(p95 / before)} times as long` : "p95",
    ),
  );
}

function error(node, { type, place, count: number, last }, now) {
  const signature = `${number} ${last} ${ago(now - last)}`;
  if (node.dataset.shown === signature) return;
  node.dataset.shown = signature;
  fill(
    node,
    el("a", { class: "cut", href: state.href("errors", { q: type }), title: type, "data-row": "" }, type),
    el("span", { title: "times" }, `${count(number)} ×`),
    el(
      "span",
      { class: "sub mono", title: place },
      place,
      " · ",
      el("span", { title: `${moment(last)} ${zone()}` }, ago(now - last)),
    ),
  );
}

function draw(answer) {
  shown = answer;
  verdict(answer.sentence);
  const figures = new Map([...document.querySelectorAll("[data-tile]")].map((figure) => [figure.dataset.tile, figure]));
  for (const each of answer.tiles) if (figures.has(each.key)) tile(figures.get(each.key), each, answer);
  say(
    find("tiles-span"),
    `${moment(answer.range.from, { seconds: false })} to ${moment(answer.range.to, { seconds: false })} ${zone()}`,
  );
  list("services", answer.services, ({ name }) => name, service, "No health checks are registered.");
  list("slow", answer.slow, ({ name }) => name, slow, "Nothing is slower than before.");
  list(
    "errors",
    answer.errors,
    ({ type, place }) => `${type} ${place}`,
    (node, each) => error(node, each, answer.now),
    `No errors in ${state.rangeText()}.`,
  );
  if (!find("tiles-values").hidden) values();
}

function values() {
  if (!shown) return;
  const { tiles, times } = shown;
  fillValues(find("tiles-values"), {
    caption: "The figures over time",
    data: [times, ...tiles.map(({ points }) => points)],
    series: tiles.map(({ label, unit }) => ({ label, unit })),
  });
}

find("tiles-table").addEventListener("click", ({ currentTarget: button }) => {
  const box = find("tiles-values");
  box.hidden = !box.hidden;
  button.setAttribute("aria-expanded", String(!box.hidden));
  say(button, box.hidden ? "Show as table" : "Hide table");
  values();
});

open({
  data: "overview",
  draw,
  isEmpty: ({ tiles, services, errors }) =>
    !services.length && !errors.length && tiles.every(({ points }) => points.every((point) => point === null)),
  nothing: {
    heading: "Nothing has been measured yet",
    short: "Nothing was measured",
    text: "With these lines in the application, the figures appear here by themselves.",
  },
});
