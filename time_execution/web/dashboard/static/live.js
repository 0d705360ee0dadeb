// One request a refresh. Says how old the figures are, rests while nobody looks, and goes on when the server is back.
import { ago, clock, zone } from "./numbers.js";
import { el, fill, find, say, sign } from "./dom.js";
import * as state from "./state.js";

const PAUSES = { "5m": 2, "1h": 5, "24h": 30, "7d": 60 };
const SOON = 0.25;
const LONGEST = 30;
const PATIENCE = 20;

// What went wrong, in words, and what can be done: `act` is "again", "reload" or "reset".
class Trouble extends Error {
  constructor(heading, text = "", act = "again") {
    super([heading, text].filter(Boolean).join(" "));
    this.act = act;
  }
}

const late = () => new Trouble("The server took too long to answer.", "This page asks again by itself.");

export class Live {
  // `ask` returns the address of the data, `draw` is given them; `every`: seconds between two requests, else by range.
  constructor({ ask, draw, every }) {
    Object.assign(this, {
      ask,
      draw,
      every,
      paused: false,
      failures: 0,
      reading: 0,
      last: null,
      timer: 0,
      controller: null,
    });
    this.button = find("live");
    this.button.addEventListener("click", () => this.toggle());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.rest() : this.wake()));
    setInterval(() => this.tell(), 1000);
  }

  toggle() {
    if (state.isCustom()) return state.set({ from: "", to: "", range: "" });
    this.paused = !this.paused;
    if (this.paused) this.rest();
    else this.refresh();
    return this.tell();
  }

  rest() {
    clearTimeout(this.timer);
  }

  wake() {
    if (!this.paused && (this.timer || this.failures) && !state.isCustom()) this.refresh();
  }

  pause() {
    return this.every ?? PAUSES[state.range()];
  }

  async refresh() {
    clearTimeout(this.timer);
    this.controller?.abort();
    const controller = new AbortController();
    this.controller = controller;
    const limit = setTimeout(() => controller.abort("late"), PATIENCE * 1e3);
    try {
      const data = await this.fetched(controller.signal);
      if (controller !== this.controller) return;
      this.failures = 0;
      this.last = Date.now();
      fill(find("notice"));
      this.draw(data);
      // A server that is still reading is asked again soon, but ever less soon: asking costs it time, too.
      this.reading = data.warming ? this.reading + 1 : 0;
      this.later(data.warming ? Math.min(SOON * 2 ** (this.reading - 1), this.pause()) : this.pause());
    } catch (problem) {
      if (controller !== this.controller) return;
      this.failures += 1;
      this.fail(controller.signal.reason === "late" ? late() : problem);
    } finally {
      clearTimeout(limit);
    }
    this.tell();
  }

  async fetched(signal) {
    let answer;
    try {
      answer = await fetch(this.ask(), {
        signal,
        headers: { Accept: "application/json" },
        credentials: "same-origin",
        redirect: "manual",
      });
    } catch (problem) {
      if (signal.aborted) throw problem;
      throw new Trouble(
        "The server does not answer.",
        "Is the application running? This page goes on by itself as soon as it is.",
      );
    }
    if (answer.status === 401 || answer.status === 403 || answer.type === "opaqueredirect") {
      throw new Trouble("You are not signed in any more.", "Load the page again to sign in.", "reload");
    }
    const body = await answer.json().catch(() => ({}));
    if (answer.status === 400)
      throw new Trouble("This address asks for something that is not there.", body.error, "reset");
    if (!answer.ok)
      throw new Trouble(
        `The server answered with an error (${answer.status}).`,
        "The application's log tells more. This page asks again by itself.",
      );
    return body;
  }

  later(seconds) {
    clearTimeout(this.timer);
    if (this.paused || state.isCustom()) return;
    this.timer = setTimeout(() => {
      if (!document.hidden) this.refresh();
    }, seconds * 1e3);
  }

  // The first failure hides nothing that was drawn: it turns grey, with since when.
  fail(problem) {
    find("content").removeAttribute("aria-busy");
    const wait = Math.min(LONGEST, this.pause() * 2 ** Math.min(this.failures - 1, 4));
    const since = this.last ? `The figures are those of ${clock(this.last / 1e3)} ${zone()}.` : "";
    const text = [problem instanceof Trouble ? problem.message : "These figures could not be shown.", since]
      .filter(Boolean)
      .join(" ");
    if (!(problem instanceof Trouble)) console.error(problem);
    const told = find("notice").querySelector("p");
    if (told?.textContent !== text)
      fill(
        find("notice"),
        el("div", { class: "note bad-note" }, sign("bad"), el("p", {}, text), this.way(problem.act)),
      );
    if (problem.act !== "reload" && problem.act !== "reset") this.later(wait);
  }

  way(act) {
    if (act === "reset")
      return el("a", { class: "button", href: location.pathname + this.subject() }, "Show the last hour");
    const button = el("button", { type: "button", class: "button" }, act === "reload" ? "Load again" : "Try again");
    button.addEventListener("click", () => (act === "reload" ? location.reload() : this.refresh()));
    return button;
  }

  // What a page is about stays when its range is given up.
  subject() {
    const kept = new URLSearchParams();
    for (const name of ["name", "method", "route"]) if (state.get(name)) kept.set(name, state.get(name));
    return kept.size ? `?${kept}` : "";
  }

  tell() {
    const age = this.last === null ? null : ago((Date.now() - this.last) / 1e3);
    const [mode, text, act] = this.failures
      ? ["stale", this.last ? `Since ${clock(this.last / 1e3)} no answer` : "No answer", ""]
      : age === null
        ? ["loading", "Loading", "Pause"]
        : state.isCustom()
          ? ["fixed", "A fixed range", "Go live"]
          : this.paused
            ? ["paused", `Paused at ${clock(this.last / 1e3)}`, "Resume"]
            : ["live", `Updated ${age}`, "Pause"];
    document.body.dataset.live = mode;
    say(find("live-text"), text);
    say(this.button, act);
    this.button.hidden = !act;
  }
}
