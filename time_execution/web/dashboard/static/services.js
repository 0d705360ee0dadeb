// How are the services that the application needs?
import { LEVELS, announce, el, fill, find, keep, say, sign } from "./dom.js";
import { ago, clock, count, duration, moment, plural, share, timeOf, zone } from "./numbers.js";
import { open } from "./page.js";

const level = (status) => LEVELS[status] ?? "ok";

function verdict(checks) {
  const number = (status) => checks.filter((check) => check.status === status).length;
  const [bad, weak, unknown] = [number("unhealthy"), number("degraded"), number("unknown")];
  const worst = bad ? "bad" : weak ? "warn" : unknown ? "unknown" : "ok";
  const place = find("verdict-sign");
  if (place.dataset.level !== worst) {
    place.dataset.level = worst;
    fill(place, sign(worst));
  }
  const parts = [bad ? `${bad} unhealthy` : "", weak ? `${weak} degraded` : "", unknown ? `${unknown} unknown` : ""];
  const services = plural(checks.length, "service");
  const well = checks.length === 1 ? "The one service is healthy." : `All ${services} are healthy.`;
  const told = parts.filter(Boolean).join(", ");
  const text = told ? `${told} of ${services}.` : well;
  say(find("verdict-text"), text);
  announce(text);
}

function made() {
  return el(
    "article",
    { class: "panel check" },
    el("div", {}, el("h2"), el("p", { class: "since" })),
    el(
      "div",
      {},
      el("div", { class: "history", role: "img" }),
      el("p", { class: "facts" }, el("span"), el("span"), el("span")),
    ),
  );
}

function check(node, each, now) {
  const [left, right] = node.children;
  const signature = `${each.status} ${each.type} ${each.critical}`;
  if (left.dataset.shown !== signature) {
    left.dataset.shown = signature;
    fill(
      left.firstChild,
      sign(level(each.status)),
      each.name,
      el("span", { class: `word ${level(each.status)}` }, each.status),
    );
  }
  const about = [each.type, each.critical ? "" : "not critical"].filter(Boolean).join(", ");
  const since = each.since ? ["since ", timeOf(each.since, { withZone: true })] : [];
  const told = JSON.stringify([about, each.since, each.output, each.failures]);
  if (left.lastChild.dataset.shown !== told) {
    left.lastChild.dataset.shown = told;
    fill(
      left.lastChild,
      about,
      since.length ? [about ? " · " : "", ...since] : null,
      each.failures ? ` · ${each.failures} ${each.failures === 1 ? "failure" : "failures"} in a row` : null,
      each.output ? el("span", { class: "output" }, each.output) : null,
    );
  }
  history(right.firstChild, each);
  const [first, middle, last] = right.lastChild.children;
  say(first, each.history.length ? moment(each.history[0].from, { seconds: false }) : "");
  say(
    middle,
    each.uptime === null || each.uptime === undefined
      ? "not checked in the time shown"
      : `${share(each.uptime)} of checks passed`,
  );
  say(
    last,
    each.time
      ? `${each.duration_ms === null ? "" : `took ${duration(each.duration_ms)}, `}${ago(now - each.time)}`
      : "not checked yet",
  );
  last.title = each.time ? `${clock(each.time)} ${zone()}` : "";
}

function history(box, { name, history: found }) {
  const signature = JSON.stringify(found);
  if (box.dataset.shown === signature) return;
  box.dataset.shown = signature;
  fill(
    box,
    found.map(({ from, to, ok, failed }) => {
      const kind = ok + failed === 0 ? "gap" : failed === 0 ? "" : ok ? "some" : "all";
      const said =
        kind === "gap"
          ? "not checked"
          : failed
            ? `${count(failed)} of ${count(ok + failed)} checks failed`
            : `${count(ok)} checks passed`;
      return el("i", {
        class: kind,
        title: `${moment(from, { seconds: false })} to ${moment(to, { seconds: false })}: ${said}`,
      });
    }),
  );
  const times = found.filter(({ failed }) => failed);
  const part = `failures in ${times.length} of ${found.length} intervals`;
  const told = times.length ? `${part}, first at ${moment(times[0].from)}` : "no failures";
  box.setAttribute("aria-label", `History of ${name}: ${told}`);
}

function byProcess(processes) {
  const owners = Object.entries(processes ?? {});
  find("by-process").hidden = owners.length < 2;
  const names = [...new Set(owners.flatMap(([, { checks }]) => Object.keys(checks ?? {})))];
  const table = find("process-table");
  const signature = JSON.stringify(processes);
  if (table.dataset.shown === signature) return;
  table.dataset.shown = signature;
  fill(
    table.tHead.rows[0],
    ["Process", "Told", ...names].map((name) => el("th", { scope: "col" }, name)),
  );
  fill(
    table.tBodies[0],
    owners.map(([owner, { updated, alive, checks }]) =>
      el(
        "tr",
        {},
        el("th", { scope: "row", class: "mono" }, owner),
        el("td", { class: "quiet" }, timeOf(updated), alive ? "" : ", gone"),
        ...names.map((name) =>
          el(
            "td",
            {},
            checks?.[name]
              ? el("span", { class: `state ${level(checks[name])}` }, sign(level(checks[name])), checks[name])
              : "–",
          ),
        ),
      ),
    ),
  );
}

open({
  data: "services",
  draw: (answer) => {
    verdict(answer.checks);
    keep(
      find("checks"),
      answer.checks,
      ({ name }) => name,
      made,
      (node, each) => check(node, each, answer.now),
    );
    byProcess(answer.by_process);
  },
  isEmpty: ({ checks }) => !checks.length,
  nothing: {
    heading: "No service is checked yet",
    short: "No service was checked",
    text: "With these lines in the application, its services appear here by themselves.",
  },
});
