// What does the log say? Newest first; what comes is put on top, and the reader's place stays.
import { announce, el, fill, find, say, sign } from "./dom.js";
import { Filter } from "./filter.js";
import { moment, plural, utc } from "./numbers.js";
import { open } from "./page.js";
import * as state from "./state.js";
import { shown } from "./table.js";

const LEVELS = { WARNING: "warn", ERROR: "bad", CRITICAL: "bad" };
const MOST = 2000;

const lines = find("lines");
let asked = null; // what the lines that are shown were asked for
let newer = null;
let older = null;
let before = null; // set while older lines are fetched

const question = () => ({
  q: state.get("q"),
  level: state.get("level"),
  request_id: state.get("request_id"),
  file: state.get("file"),
});

function values() {
  const wanted = JSON.stringify(question());
  if (wanted !== asked) return question();
  if (before) return { ...question(), before };
  return newer ? { ...question(), after: newer } : question();
}

function line(each) {
  const level = LEVELS[each.level] ?? "";
  const node = el(
    "details",
    {},
    el(
      "summary",
      { "data-row": "" },
      el(
        "time",
        { datetime: new Date(each.time * 1e3).toISOString(), title: utc(each.time) },
        `${moment(each.time)}.${String(Math.floor((each.time % 1) * 1e3)).padStart(3, "0")}`,
      ),
      el("span", { class: `level ${level}` }, level ? sign(level) : null, each.level),
      el("span", { class: "logger", title: each.logger }, each.logger),
      el("span", { class: "message" }, each.message),
    ),
  );
  node.addEventListener("toggle", () => node.childElementCount < 2 && node.append(within(each)));
  const item = el("li", {}, node);
  item.cursor = each.cursor;
  return item;
}

function within(each) {
  const fields = Object.entries({ ...(each.request_id ? { request_id: each.request_id } : {}), ...each.fields });
  const { exception } = each;
  const trace = exception ? (exception.traceback ?? []).join(exception.traceback?.[0]?.endsWith("\n") ? "" : "\n") : "";
  return el(
    "div",
    { class: "within" },
    el(
      "dl",
      { class: "data" },
      ...fields.flatMap(([name, value]) => [
        el("dt", {}, name),
        el(
          "dd",
          {},
          name === "request_id"
            ? el("a", { href: address({ request_id: value, q: "", level: "" }) }, String(value))
            : shown(value),
        ),
      ]),
    ),
    exception ? el("p", { class: "bad" }, `${exception.type}: ${exception.message}`) : null,
    trace ? el("pre", { class: "trace", tabindex: "0", role: "region", "aria-label": "Traceback" }, trace) : null,
  );
}

const address = (changes) => state.href("logs", { ...question(), ...changes });

function draw(answer) {
  const wanted = JSON.stringify(question());
  const isNew = wanted !== asked;
  const found = answer.lines.map(line);
  // A place that is lost cannot be gone on from: its lines and the newest would not join.
  if (isNew || answer.lost) {
    asked = wanted;
    fill(lines, found);
    older = answer.older;
    newer = answer.newer;
  } else if (before) {
    lines.append(...found);
    older = answer.older;
  } else {
    for (const node of found) node.classList.add("fresh");
    lines.prepend(...found);
    if (lines.childElementCount > MOST) {
      while (lines.childElementCount > MOST) lines.lastElementChild.remove();
      older = lines.lastElementChild.cursor;
    }
    newer = answer.newer ?? newer;
  }
  before = null;
  tell(answer);
  if (isNew) announce(find("told").textContent || find("lines-none").textContent, { isAsked: true });
}

function tell({ files }) {
  const number = lines.childElementCount;
  const none = find("lines-none");
  const hasFilter = Object.values(question()).some(Boolean);
  none.hidden = number > 0;
  say(
    none,
    older
      ? "Nothing in the newest part of the log. Older lines may have it."
      : hasFilter
        ? "No line of the log matches."
        : "The log is empty.",
  );
  find("older").hidden = !older;
  const told = [plural(number, "line"), older ? "and older ones" : "", files.length > 1 ? `${files.length} files` : ""];
  say(find("told"), number ? told.filter(Boolean).join(", ") : "");
  for (const link of document.querySelectorAll("[data-level]")) {
    link.setAttribute("href", address({ level: link.dataset.level }));
    if (link.dataset.level === state.get("level")) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  const id = state.get("request_id");
  find("request-chip").hidden = !id;
  say(find("request-text"), `request ${id}`);
}

new Filter(() => {}, { isRemote: true });
find("levels").addEventListener("click", (event) => {
  const link = event.target.closest("[data-level]");
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  state.set({ level: link.dataset.level });
});
find("request-clear").addEventListener("click", () => state.set({ request_id: "" }));
find("older").addEventListener("click", () => {
  before = older;
  live.refresh();
});

const live = open({
  data: "logs",
  values,
  draw,
  every: 2,
  usesRange: false,
  isEmpty: ({ files }) => !files.length,
  nothing: {
    heading: "There is no log to show",
    short: "There is no log",
    text: "With these lines in the application, its log appears here, followed as it grows.",
  },
});
