// Can I trust these numbers?
import { announce, breaking, el, fill, find, keep, say, sign } from "./dom.js";
import { ago, count, duration, exact, moment, plural, share, zone } from "./numbers.js";
import { open } from "./page.js";

const COLUMNS = [
  ["name", "Backend"],
  ["offered", "Offered"],
  ["delivered", "Delivered"],
  ["pending", "Pending"],
  ["spooled", "Spooled"],
  ["retried", "Retried"],
  ["dropped", "Dropped"],
  ["rejected", "Rejected"],
  ["dead_letters", "Dead letters"],
  ["oldest_age", "Oldest waits"],
  ["worker_restarts", "Restarts"],
];
const NARROW = {
  spooled: "w4",
  retried: "w4",
  dead_letters: "w2",
  oldest_age: "w2",
  worker_restarts: "w4",
  offered: "w2",
  pending: "w2",
};
const LOST = new Set(["dropped", "rejected", "dead_letters"]);

const total = (value) =>
  value && typeof value === "object" ? Object.values(value).reduce((sum, each) => sum + each, 0) : (value ?? 0);
const reasons = (value) =>
  Object.entries(value ?? {})
    .filter(([, number]) => number)
    .map(([reason, number]) => `${count(number)} ${reason.replaceAll("_", " ")}`);

function verdict({ totals, processes }) {
  const [dropped, rejected, pending, delivered] = ["dropped", "rejected", "pending", "delivered"].map((key) =>
    total(totals[key]),
  );
  const lost = dropped + rejected;
  const silent = processes.filter(({ alive }) => !alive).length;
  const level = lost > totals.offered / 100 ? "bad" : lost || totals.troubled ? "warn" : "ok";
  const place = find("verdict-sign");
  if (place.dataset.level !== level) {
    place.dataset.level = level;
    fill(place, sign(level));
  }
  const told = sentence(lost, totals);
  say(find("verdict-text"), told);
  announce(told);
  const gone = silent ? `, ${silent} of which ${silent === 1 ? "is" : "are"} gone` : "";
  const whole = [
    `${count(delivered)} delivered`,
    pending ? `${count(pending)} waiting, the oldest for ${duration(totals.oldest_age * 1e3)}` : "none waiting",
    `${plural(processes.length, "process", "processes")}${gone}`,
  ];
  say(find("verdict-more"), whole.join(" · "));
}

function sentence(lost, { offered, troubled }) {
  if (lost)
    return `${plural(lost, "metric")} never arrived: ${share(lost / offered).replace("<", "less than")} of all are missing from the figures.`;
  if (troubled)
    return `Nothing is lost so far, but ${plural(troubled, "backend")} ${troubled === 1 ? "is" : "are"} in trouble.`;
  return "Every metric is accounted for: none was dropped or rejected.";
}

function figures(totals) {
  for (const box of document.querySelectorAll("#totals [data-figure]")) {
    const { figure } = box.dataset;
    const value = total(totals[figure]);
    const cell = box.querySelector("dd");
    say(cell, count(value));
    cell.title = [exact(value, "metrics"), ...reasons(typeof totals[figure] === "object" ? totals[figure] : {})].join(
      "; ",
    );
    cell.classList.toggle("bad", LOST.has(figure) && value > 0);
  }
}

function made(process) {
  const tables = el(
    "table",
    {},
    el("caption", { class: "hidden" }, `Backends of ${process.owner}`),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        ...COLUMNS.map(([key, label], place) =>
          el("th", { scope: "col", class: place ? `n ${NARROW[key] ?? ""}` : "backend" }, label),
        ),
      ),
    ),
    el("tbody"),
  );
  return el(
    "section",
    { class: "panel flush", "aria-label": `Process ${process.owner}` },
    el("header", {}, el("h2"), el("span", { class: "quiet" })),
    el("div", { class: "scroll" }, tables),
  );
}

function process(node, each, now) {
  const [head, beside] = node.querySelector("header").children;
  const state = each.alive ? "ok" : "warn";
  if (head.dataset.shown !== `${each.alive}`) {
    head.dataset.shown = `${each.alive}`;
    fill(
      head,
      `${each.app ? `${each.app} · ` : ""}process ${each.pid} on ${each.hostname}`,
      each.alive ? null : el("span", { class: `gone ${state}` }, sign(state), "gone"),
    );
  }
  say(beside, each.alive ? `told ${ago(now - each.updated)}` : `told last at ${moment(each.updated)} ${zone()}`);
  const body = node.querySelector("tbody");
  const rows = each.backends.flatMap((backend) => [
    { backend, key: backend.name },
    ...(backend.last_error || backend.remedy || total(backend.dropped) || total(backend.rejected)
      ? [{ backend, key: `${backend.name} told`, isTold: true }]
      : []),
  ]);
  keep(
    body,
    rows,
    ({ key }) => key,
    ({ isTold }) =>
      isTold
        ? el("tr", { class: "told-row" }, el("td", { colspan: COLUMNS.length }))
        : el(
            "tr",
            {},
            ...COLUMNS.map(([key], place) =>
              place ? el("td", { class: `n ${NARROW[key] ?? ""}` }) : el("th", { scope: "row", class: "backend" }),
            ),
          ),
    row,
  );
}

function row(node, { backend, isTold }) {
  if (isTold) return told(node.cells[0], backend);
  COLUMNS.forEach(([key], place) => {
    const cell = node.cells[place];
    const value = key === "name" ? backend.name : key === "oldest_age" ? backend.oldest_age : total(backend[key]);
    if (key === "name") {
      if (cell.textContent !== value) fill(cell, breaking(value));
      return;
    }
    say(cell, key === "oldest_age" ? (value ? duration(value * 1e3) : "–") : count(value));
    cell.title = key === "oldest_age" ? exact(value, "s") : exact(value, "metrics");
    cell.classList.toggle("zero", !value);
    cell.classList.toggle("bad", LOST.has(key) && value > 0);
  });
  return node;
}

function told(cell, backend) {
  const lines = [
    ...[
      ["Dropped", backend.dropped],
      ["Rejected", backend.rejected],
    ].flatMap(([what, by]) => (reasons(by).length ? [{ what: `${what}: `, why: reasons(by).join(", ") }] : [])),
  ];
  const signature = JSON.stringify([lines, backend.last_error, backend.remedy]);
  if (cell.dataset.shown === signature) return;
  cell.dataset.shown = signature;
  fill(
    cell,
    ...lines.map((line) => el("p", {}, el("b", {}, line.what), line.why)),
    backend.last_error
      ? el("p", { class: "told-error" }, el("b", {}, "Last error: "), String(backend.last_error))
      : null,
    backend.remedy ? el("p", {}, el("b", {}, "What helps: "), backend.remedy) : null,
  );
}

open({
  data: "delivery",
  every: 5,
  usesRange: false,
  draw: (answer) => {
    verdict(answer);
    figures(answer.totals);
    keep(
      find("processes"),
      answer.processes,
      ({ owner }) => owner,
      made,
      (node, each) => process(node, each, answer.now),
    );
  },
  isEmpty: ({ processes }) => !processes.length,
  nothing: {
    heading: "No process has told of its deliveries yet",
    short: "No process told of its deliveries",
    text: "With these lines in the application, its processes tell every ten seconds what became of their metrics.",
  },
});
