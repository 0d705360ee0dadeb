// Which errors are there, and which requests met them?
import { drawn, el, fill, find, keep, say, spark, table } from "./dom.js";
import { Filter } from "./filter.js";
import { count, moment, plural, timeOf, utc, zone } from "./numbers.js";
import { open } from "./page.js";
import { Plot } from "./plot.js";
import * as state from "./state.js";

const plot = new Plot(find("count"), {
  unit: "",
  top: 4,
  series: [{ key: "count", label: "Errors", look: "bad", bars: true }],
});
let answer = { groups: [] };
let wasDrawn = false;

function group(node, each) {
  const signature = `${each.count} ${each.last} ${each.spark}`;
  if (node.dataset.shown === signature) return;
  node.dataset.shown = signature;
  const parts = node.parts;
  say(parts.message, each.message || "no message");
  say(parts.count, count(each.count));
  parts.count.title = plural(each.count, "time");
  parts.spark.setAttribute("d", spark(each.spark ?? []));
  for (const [name, value] of [
    ["first", each.first],
    ["last", each.last],
  ]) {
    say(parts[name], moment(value, { seconds: false }));
    parts[name].title = utc(value);
  }
  if (node.open) within(node, each);
  node.each = each;
}

function made(each) {
  const parts = {
    message: el("p", { class: "more-text" }),
    count: el("span", { class: "n count" }),
    first: el("span", { class: "w2" }),
    last: el("span", { class: "w1" }),
    trace: el("div"),
    calls: el("div", { class: "scroll" }),
  };
  const line = drawn({ viewBox: "0 0 96 22" }, "");
  parts.spark = line.firstChild;
  const node = el(
    "details",
    { class: "group" },
    el(
      "summary",
      { "data-row": "" },
      el(
        "div",
        { class: "what" },
        el(
          "p",
          { title: `${each.type} in ${each.place}` },
          el("span", { class: "type" }, each.type),
          el("span", { class: "place" }, each.place),
        ),
        parts.message,
      ),
      el("span", { class: "spark w2" }, line),
      parts.count,
      parts.first,
      parts.last,
    ),
    el("div", { class: "within" }, parts.trace, parts.calls),
  );
  node.parts = parts;
  node.each = each;
  node.addEventListener("toggle", () => {
    if (!node.open) return;
    within(node, node.each);
    // What went wrong stands at the end of a traceback.
    const trace = parts.trace.firstElementChild;
    trace.scrollTop = trace.scrollHeight;
  });
  return node;
}

// A request that met the error later adds a row, and leaves who reads the traceback where they are.
function within({ parts }, { traceback, calls: found }) {
  const told = traceback || "";
  if (parts.trace.told !== told)
    fill(
      parts.trace,
      told
        ? el("pre", { class: "trace", tabindex: "0", role: "region", "aria-label": "Traceback" }, trace(told))
        : el("p", { class: "quiet" }, "No traceback was kept."),
    );
  parts.trace.told = told;
  const signature = JSON.stringify(found);
  if (parts.calls.told !== signature) fill(parts.calls, found.length ? calls(found) : null);
  parts.calls.told = signature;
}

// Where a frame is stands back; what it ran, and the error itself, stand out.
function trace(text) {
  return text
    .trimEnd()
    .split("\n")
    .map((line) =>
      /^\s*File "|^Traceback |^\s+[~^]+$/.test(line) ? el("span", { class: "dim" }, `${line}\n`) : `${line}\n`,
    );
}

function calls(found) {
  const heads = [`Time (${zone()})`, "Request", "Lines of its log", "Message"];
  const rows = found.map(({ time, method, route, request_id: id, message }) => [
    timeOf(time),
    route ? code(state.href("requests/detail", { method, route }), `${method ?? ""} ${route}`) : "–",
    id ? code(state.href("logs", { request_id: id }), id) : "–",
    el("span", { class: "wraps" }, message ?? ""),
  ]);
  return table("The latest of them", heads, rows);
}

const code = (href, text) => el("a", { class: "mono link", href }, text);

const filter = new Filter(show);

function show() {
  const { groups, truncated } = answer;
  const chosen = groups.filter((each) => filter.finds(`${each.type} ${each.place} ${each.message}`));
  keep(find("groups"), chosen, ({ id }) => String(id), made, group);
  const none = find("groups-none");
  none.hidden = chosen.length > 0 || !answer.store || Boolean(answer.warming);
  say(none, filter.text ? `No error contains “${filter.text}”.` : `No errors in ${state.rangeText()}.`);
  const total = chosen.reduce((sum, each) => sum + each.count, 0);
  const cut = truncated ? ", and more that are not shown" : "";
  say(find("told"), chosen.length ? `${plural(total, "error")} of ${plural(chosen.length, "kind")}${cut}` : "");
}

// One traceback is open, so that nobody has to look for where they are.
function openFirst() {
  const first = find("groups").firstElementChild;
  if (wasDrawn || !first) return;
  within(first, first.each);
  first.open = true;
  wasDrawn = true;
}

const live = open({
  data: "errors",
  values: () => filter.values(),
  draw: (found) => {
    answer = found;
    plot.draw(found.times, found, found.range);
    show();
    openFirst();
    filter.saw(found, () => live.refresh());
  },
  isEmpty: ({ groups, store }) => !groups.length && (store.state !== "ok" || !store.last),
  nothing: {
    heading: "No error has been told yet",
    short: "No error",
    text: "With these lines in the application, its errors appear here by themselves, those of requests without them.",
  },
});
