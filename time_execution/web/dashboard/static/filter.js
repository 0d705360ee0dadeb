// The field to filter by, which the address remembers.
import { announce, find } from "./dom.js";
import * as state from "./state.js";

const TYPING = 250;

// `changed` is told each text at once. Of a long list the server sends a part: then it is asked for what was meant.
export class Filter {
  constructor(changed, { isRemote = false } = {}) {
    Object.assign(this, { changed, isRemote, field: find("filter"), timer: 0 });
    this.field.value = state.get("q");
    state.onChange(() => this.read());
    this.field.addEventListener("input", () => this.typed());
  }

  get text() {
    return this.field.value.trim();
  }

  // What to ask the server for.
  values() {
    return { q: this.isRemote ? this.text : "" };
  }

  // Takes note of whether an answer was a part, and asks again where that matters.
  saw({ truncated }, again) {
    if (!truncated || this.isRemote) return;
    this.isRemote = true;
    if (this.text) again();
  }

  // Whether a text has what is wanted in it, in whatever case.
  finds(text) {
    return text.toLowerCase().includes(this.text.toLowerCase());
  }

  read() {
    if (document.activeElement === this.field) return;
    this.field.value = state.get("q");
    this.changed();
  }

  // How much was found is heard as well as seen.
  tell() {
    announce(find("told").textContent.split(",")[0] || "Nothing was found.", { isAsked: true });
  }

  typed() {
    this.changed();
    if (!this.isRemote) this.tell();
    clearTimeout(this.timer);
    const settle = () => state.set({ q: this.text }, { quietly: true, silent: !this.isRemote });
    if (this.isRemote) this.timer = setTimeout(settle, TYPING);
    else settle();
  }
}
