// Numbers as people read them: three significant figures with a unit, and the exact value for the pointer.
import { el } from "./dom.js";

const DURATIONS = [
  ["ns", 1e-6, 1e3],
  ["µs", 1e-3, 1e3],
  ["ms", 1, 1e3],
  ["s", 1e3, 120],
  ["min", 6e4, 120],
  ["h", 3.6e6, Infinity],
];
const SCALES = [
  [1e12, "T"],
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];
const NONE = "–";
// Words and numbers are English; dates and clocks are as the visitor's language writes them, with 24 hours and our
// figures, so that they agree with those of logs.
const ENGLISH = "en-GB";
const SETTLED = { hourCycle: "h23", calendar: "gregory", numberingSystem: "latn" };

export function figures(number) {
  const size = Math.abs(number);
  if (size >= 99.5 || size === 0) return number.toFixed(0);
  if (size >= 9.95) return number.toFixed(1);
  return size >= 0.995
    ? number.toFixed(2)
    : number
        .toFixed(size >= 0.0995 ? 3 : 4)
        .replace(/0+$/, "")
        .replace(/\.$/, "");
}

export function duration(ms) {
  if (ms === null || ms === undefined) return NONE;
  if (ms === 0) return "0 ms";
  for (const [unit, length, until] of DURATIONS) {
    const text = figures(ms / length);
    if (Math.abs(Number(text)) < until) return `${text} ${unit}`;
  }
  return NONE;
}

export function count(number) {
  if (number === null || number === undefined) return NONE;
  if (Math.abs(number) < 1e4) return Number.isInteger(number) ? number.toLocaleString(ENGLISH) : figures(number);
  const [scale, suffix] = SCALES.find(([each]) => Math.abs(Number(figures(number / each))) >= 1);
  return `${figures(number / scale)} ${suffix}`;
}

export function quantity(number, unit = "") {
  if (number === null || number === undefined) return NONE;
  if (unit === "ms") return duration(number);
  if (unit === "s") return duration(number * 1e3);
  if (unit === "%") return `${figures(number)} %`;
  const text = Number.isInteger(number) || Math.abs(number) >= 1e4 ? count(number) : figures(number);
  return unit ? `${text} ${unit}` : text;
}

// Of a share, what is less than a thousandth is close to nothing, and all of its figures say no more.
export function share(ratio) {
  if (ratio === null || ratio === undefined) return NONE;
  return ratio > 0 && ratio < 0.001 ? "< 0.1 %" : quantity(ratio * 100, "%");
}

export function exact(number, unit = "") {
  if (number === null || number === undefined) return "not known";
  return `${number.toLocaleString(ENGLISH, { maximumFractionDigits: 6 })} ${unit}`.trim();
}

export const plural = (number, thing, things = `${thing}s`) => `${count(number)} ${number === 1 ? thing : things}`;

// At the marks of an axis: round numbers, without the figures that only say so.
export const tick = (number, unit) =>
  number === 0
    ? "0"
    : quantity(number, unit)
        .replace(/\.0+(?= |$)/, "")
        .replace(/(\.\d*?)0+(?= |$)/, "$1");

// Number and unit apart, for large figures: the unit stands back.
export function parts(number, unit) {
  const text = quantity(number, unit);
  const at = text.lastIndexOf(" ");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

const format = (options) => new Intl.DateTimeFormat(undefined, { ...SETTLED, ...options });
const CLOCK = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const MINUTE = format({ hour: "2-digit", minute: "2-digit" });
const DAY = format({ day: "numeric", month: "short" });
const YEAR = format({ day: "numeric", month: "short", year: "numeric" });
const ZONE = format({ timeZoneName: "short" });

export const zone = (seconds = Date.now() / 1e3) =>
  ZONE.formatToParts(seconds * 1e3).find((part) => part.type === "timeZoneName").value;
export const clock = (seconds) => CLOCK.format(seconds * 1e3);
export const minute = (seconds) => MINUTE.format(seconds * 1e3);
export const day = (seconds) => DAY.format(seconds * 1e3);
export const isMidnight = (seconds) => new Date(seconds * 1e3).getHours() + new Date(seconds * 1e3).getMinutes() === 0;
export const utc = (seconds) => `${new Date(seconds * 1e3).toISOString().slice(0, 23).replace("T", " ")} UTC`;

// The clock alone for what happened today, the day before it for what did not.
export function moment(seconds, { seconds: hasSeconds = true } = {}) {
  const at = hasSeconds ? clock(seconds) : minute(seconds);
  const whole = YEAR.format(seconds * 1e3);
  if (whole === YEAR.format(Date.now())) return at;
  return `${Date.now() / 1e3 - seconds < 2e7 ? day(seconds) : whole}, ${at}`;
}

export function timeOf(seconds, { withZone = false, ...options } = {}) {
  if (seconds === null || seconds === undefined) return el("span", { class: "quiet" }, NONE);
  const text = moment(seconds, options) + (withZone ? ` ${zone(seconds)}` : "");
  return el("time", { datetime: new Date(seconds * 1e3).toISOString(), title: `${utc(seconds)}` }, text);
}

export function ago(seconds) {
  if (seconds < 1) return "just now";
  if (seconds < 100) return `${Math.floor(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} days ago`;
}
