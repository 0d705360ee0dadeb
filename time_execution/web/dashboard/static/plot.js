// Lines over time, with one cursor for all plots of a page; what is marked with the pointer goes to the address.
import { drawn, el, fill, say, table } from "./dom.js";
import { clock, count, day, exact, isMidnight, minute, moment, quantity, tick, utc, zone } from "./numbers.js";
import * as state from "./state.js";

const probe = el("span", { hidden: true });
document.body.append(probe);

// A token may say two colours; what counts is how the browser reads it.
function colour(token) {
  probe.style.color = `var(--${token})`;
  return getComputedStyle(probe).color;
}

const LOOKS = {
  main: { stroke: "accent", width: 1.75 },
  high: { stroke: "accent", width: 1.25, alpha: 0.6 },
  top: { stroke: "quiet", width: 1, dash: [2, 3] },
  calm: { stroke: "quiet", width: 1.25 },
  warn: { stroke: "warn", width: 1.5, dash: [6, 3] },
  bad: { stroke: "bad", width: 1.75 },
};

// Plots share the place of the pointer, not what is marked with it: that goes to the address, and so to all of them.
const SYNC = { key: "page", setSeries: false, filters: { pub: (kind) => /^mouse(move|enter|leave)$/.test(kind) } };

// How far apart the moments on an axis may be, in seconds.
const SHORT = [1, 2, 5, 10, 15, 30];
const HOURS = [1, 2, 3, 6, 12, 24, 48, 168, 336];
const STEPS = [...SHORT, ...SHORT.map((number) => number * 60), ...HOURS.map((number) => number * 3600)];
const WHOLE = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].flatMap((power) => [power, 2 * power, 5 * power]);

export class Plot {
  // `series`: for each line its key, label and look (see LOOKS), `fill` for a tint down to zero, `to` for one down to
  // another line, `bars` for columns. `top`: what the height stands for at least. `across`: texts of a scale that is
  // not time. `bare`: no axes. `onCursor` is told the place under the pointer, or null.
  constructor(figure, { series, unit, top = 0, across = null, bare = false, onCursor = null, summary = null }) {
    Object.assign(this, { figure, series, unit, top, across, bare, onCursor, summary, data: null });
    this.canvas = figure.querySelector(".canvas");
    this.legend = figure.querySelector(".legend");
    addEventListener("colours", () => requestAnimationFrame(() => this.again()));
    new ResizeObserver(() => this.fit()).observe(this.canvas);
    this.tableButton();
  }

  draw(times, columns, range) {
    this.data = [times, ...this.series.map(({ key }) => columns[key] ?? times.map(() => null))];
    this.range = range;
    if (!this.plot) this.again();
    else this.plot.setData(this.drawn());
    this.describe();
    this.tell(this.plot.cursor.idx ?? null);
    if (this.isOpen) this.fillTable();
  }

  // A column of nothing would still be a line.
  drawn() {
    return this.data.map((values, place) =>
      place && this.series[place - 1].bars ? values.map((value) => value || null) : values,
    );
  }

  again() {
    if (!this.data) return;
    this.plot?.destroy();
    fill(this.canvas);
    const { width, height } = this.size();
    this.plot = new uPlot(this.options(width, height), this.drawn(), this.canvas);
    this.drawLegend();
    this.tell(null);
  }

  size() {
    return { width: Math.max(60, this.canvas.clientWidth), height: this.canvas.clientHeight };
  }

  fit() {
    const { width, height } = this.size();
    if (this.plot && (width !== this.plot.width || height !== this.plot.height)) this.plot.setSize({ width, height });
  }

  options(width, height) {
    return {
      width,
      height,
      padding: this.bare ? [4, 2, 1, 2] : [8, 18, 0, 0],
      legend: { show: false },
      scales: {
        x: {
          time: !this.across,
          range: () => (this.across ? [-0.6, this.across.length - 0.4] : [this.range.from, this.range.to]),
        },
        y: { range: (_, __, highest) => [0, Math.max(this.top, (highest || 0) * 1.08) || 1] },
      },
      series: [{}, ...this.series.map((line) => this.line(line))],
      bands: this.series.flatMap(({ to }, place) =>
        to === undefined ? [] : [{ series: [place + 1, to + 1], fill: colour("accent-soft") }],
      ),
      axes: this.bare ? [{ show: false }, { show: false }] : this.axes(),
      cursor: {
        y: false,
        points: { size: 7, width: 2, fill: (_, place) => this.paint(place - 1), stroke: colour("panel") },
        drag: { x: !this.across, y: false, setScale: false },
        sync: this.across ? undefined : SYNC,
        bind: { dblclick: () => () => null },
      },
      hooks: {
        setCursor: [(plot) => this.tell(plot.cursor.idx ?? null)],
        setSelect: [(plot) => this.selected(plot)],
      },
    };
  }

  line({ look, fill: isFilled, bars }) {
    const { stroke, width, dash, alpha } = LOOKS[look];
    const own = colour(stroke);
    const isTrouble = stroke === "bad" || stroke === "warn";
    return {
      stroke: isTrouble && !bars ? (plot) => aboveZero(plot, own) : own,
      width,
      dash,
      alpha,
      fill: bars ? own : isFilled ? colour(`${stroke}-soft`) : undefined,
      paths: bars ? uPlot.paths.bars({ size: [0.72, 26], gap: 0 }) : undefined,
      points: {
        show: false,
        size: 4,
        filter: (plot, place) => (bars ? null : alone(plot.data[place])),
        fill: own,
      },
      spanGaps: false,
    };
  }

  paint(place) {
    return colour(LOOKS[this.series[place].look].stroke);
  }

  axes() {
    const shared = {
      stroke: colour("quiet"),
      font: `11px ${getComputedStyle(document.body).fontFamily}`,
      ticks: { show: false },
    };
    const across = this.across
      ? {
          splits: () => this.marks.map((_, place) => place - 0.5),
          values: (_, places) => places.map((place) => (place === null ? "" : this.marks[place + 0.5])),
          filter: (plot, places) => thin(places, plot.width, 62),
        }
      : {
          space: 66,
          incrs: STEPS,
          values: (_, moments, __, ___, step) => moments.map((each) => mark(each, step)),
        };
    return [
      { ...shared, ...across, size: 26, gap: 6, grid: { show: false } },
      {
        ...shared,
        size: 58,
        gap: 8,
        space: 36,
        // Half a call there is none.
        incrs: this.unit ? undefined : WHOLE,
        grid: { stroke: colour("line"), width: 1 },
        border: { show: false },
        // A unit that takes more room than the number stands in the heading only.
        values: (_, marks) => marks.map((each) => tick(each, this.unit.length > 3 ? "" : this.unit)),
      },
    ];
  }

  // The legend says the last values, or those under the pointer.
  drawLegend() {
    if (!this.legend) return;
    this.told = this.series.map(() => el("b"));
    if (this.series.length === 1) return fill(this.legend, el("span", { class: "only" }, this.told[0]));
    const entries = this.series.map(({ label, look, bars }, place) => {
      const swatch = drawn(
        { viewBox: "0 0 16 8" },
        bars ? "M5 8V1M10 8V3" : LOOKS[look].dash ? "M0 4h4m2 0h4m2 0h4" : "M0 4h16",
      );
      swatch.style.stroke = `var(--${LOOKS[look].stroke})`;
      swatch.style.opacity = LOOKS[look].alpha ?? 1;
      return el("span", {}, swatch, label, this.told[place]);
    });
    return fill(this.legend, ...entries);
  }

  tell(place) {
    if (!this.data) return;
    if (place >= this.data[0].length) place = null;
    if (this.onCursor) this.onCursor(place, this.data);
    if (!this.told) return;
    this.told.forEach((node, line) => say(node, this.number(this.data[line + 1], place)));
    const under = place === null ? this.text : this.across ? this.across[place] : `At ${moment(this.data[0][place])}`;
    say(this.figure.querySelector(".summary"), under ?? "");
  }

  // What the legend says of a line: the value under the pointer; without one the last, or of counts all together.
  number(values, place) {
    if (place !== null) return quantity(values[place], this.unit);
    if (this.across) return "";
    if (this.unit) return quantity(values[lastKnown(this.data)], this.unit);
    return `${count(values.reduce((sum, value) => sum + value, 0))} in all`;
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width < 6 || this.across) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (to - from >= 10) state.zoom(from, to);
  }

  describe() {
    this.text = this.summary ? this.summary(this.data) : this.extremes();
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${this.figure.getAttribute("aria-label")}. ${this.text}`);
  }

  extremes() {
    const [times] = this.data;
    const main = this.series.find(({ isMain }) => isMain) ?? this.series[0];
    const values = this.data[this.series.indexOf(main) + 1];
    const label = main.isMain ? `${main.label} ` : "";
    const known = values.map((value, place) => [value, place]).filter(([value]) => value !== null);
    if (!known.length) return "No value in the time shown.";
    const [high, place] = known.reduce((best, each) => (each[0] > best[0] ? each : best));
    if (!high && !this.unit) return "None in the time shown.";
    if (!high) return `${main.isMain ? `${main.label} always` : "Always"} ${quantity(0, this.unit)}`;
    const at = moment(times[place], { seconds: times[1] - times[0] < 60 });
    return `Highest ${label}${quantity(high, this.unit)} at ${at}`;
  }

  tableButton() {
    const button = this.figure.querySelector(".as-table");
    if (!button) return;
    const box = this.figure.querySelector(".values");
    button.addEventListener("click", () => {
      this.isOpen = !this.isOpen;
      box.hidden = !this.isOpen;
      button.setAttribute("aria-expanded", String(this.isOpen));
      say(button.firstElementChild, this.isOpen ? "Hide table" : "Show as table");
      if (this.isOpen && this.data) this.fillTable();
    });
  }

  fillTable() {
    fillValues(this.figure.querySelector(".values"), {
      caption: this.figure.getAttribute("aria-label"),
      data: this.data,
      series: this.series.map(({ label }) => ({ label, unit: this.unit })),
      across: this.across,
    });
  }
}

// A data table of what a plot shows, the latest first; `across` are the texts of a scale that is not time.
export function fillValues(box, { caption, data, series, across = null }) {
  const places = data[0].map((_, place) => place);
  if (!across) places.reverse();
  const first = (place) =>
    across ? across[place] : el("span", { title: utc(data[0][place]) }, moment(data[0][place]));
  const rows = places.map((place) => [
    first(place),
    ...series.map(({ unit }, line) => {
      const value = data[line + 1][place];
      return el("span", { title: exact(value, unit) }, quantity(value, unit));
    }),
  ]);
  const scroll = box.scrollTop;
  fill(box, table(caption, [across ? "Range" : `Time (${zone()})`, ...series.map(({ label }) => [label, "n"])], rows));
  box.setAttribute("tabindex", "0");
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", `Values: ${caption}`);
  box.scrollTop = scroll;
}

// What stands at a moment on the axis: midnight is a day.
function mark(seconds, step) {
  if (step < 60) return clock(seconds);
  return step >= 86400 || isMidnight(seconds) ? day(seconds) : minute(seconds);
}

// Trouble has its colour where there is some: at zero its line is as quiet as an axis.
function aboveZero(plot, stroke) {
  const zero = plot.valToPos(0, "y", true);
  if (!Number.isFinite(zero)) return stroke;
  const [high, low] = [1.2, 1].map((above) => zero - above * devicePixelRatio);
  const blend = plot.ctx.createLinearGradient(0, high, 0, low);
  blend.addColorStop(0, stroke);
  blend.addColorStop(1, colour("faint"));
  return blend;
}

// Values with a gap on each side, which no line reaches.
function alone(values) {
  const found = [];
  values.forEach((value, place) => {
    const isAlone = (values[place - 1] ?? null) === null && (values[place + 1] ?? null) === null;
    if (value !== null && isAlone) found.push(place);
  });
  return found;
}

function thin(places, width, room) {
  const every = Math.ceil((places.length * room) / Math.max(width - 70, room));
  return places.map((place, number) => (number % every ? null : place));
}

function lastKnown(data) {
  let place = data[0].length - 1;
  while (place > 0 && data.slice(1).every((values) => (values[place] ?? null) === null)) place -= 1;
  return place;
}
