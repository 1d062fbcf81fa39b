// Pause, continue, stop, and the three settings that are changed most.

import { asDate, fill, find, make, renew, said, show, sign, toldBy } from "./base.js";

// A setting: what stands for an empty field on the wire.
const SETTINGS = { rate: "none", "in-flight": "auto", hours: "always" };

const UNKNOWN = said(
  "No connection to the page's server: whether the command was taken is not known. See what the run does.",
);

const LASTS = 30; // seconds for which it is told that something was done
const answers = new Map(); // that stand on the page, by their places

/** What an answer is about, besides what the run was told last: it is of the past when one of them changes. */
const about = ({ worked_by: worker, verification: found }) => JSON.stringify([worker?.process, found?.at, (found?.read ?? null) === null]);
const lastTold = ({ commands = [] }) => commands.at(-1)?.at;

const fields = () => [...find("settings").querySelectorAll("input")];
const edited = () => fields().filter((field) => "edited" in field.dataset);
const isDisabled = (button) => button.getAttribute("aria-disabled") === "true";

/** Not `disabled`: that would take the focus away from whoever has just pressed it. */
function disable(id, isSo) {
  find(id).setAttribute("aria-disabled", String(isSo));
}

export class Controls {
  #run = null;
  #words = null;
  #snapshot = null;
  #isReadOnly;
  #verifies;

  constructor({ read_only: isReadOnly, verifies }) {
    [this.#isReadOnly, this.#verifies] = [isReadOnly, verifies];
    find("verify").addEventListener("click", () => this.#press("verify", "verify", {}, "verify-answer"));
    find("now").addEventListener("click", () => this.#press("now", "continue", { now: "yes" }, "now-answer"));
    for (const name of ["pause", "continue"]) find(name).addEventListener("click", () => this.#press(name, name));
    find("stop").addEventListener("click", () => this.#askToStop());
    find("stop-dialog").addEventListener("close", (event) => {
      if (event.target.returnValue === "yes") this.#press("stop", "stop");
    });
    find("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#set();
    });
    for (const field of fields()) {
      field.addEventListener("input", () => this.#edited(field));
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Escape") return;
        field.value = this.#now(field);
        this.#edited(field);
      });
    }
  }

  /** Forget what was typed and answered for another run. */
  clear() {
    this.#run = this.#snapshot = null;
    find("stop-dialog").close("no");
    for (const id of answers.keys()) this.#answer(id);
    for (const field of fields()) {
      delete field.dataset.edited;
      field.value = "";
    }
  }

  /** Draw the controls of a run; nothing can be asked of a server that is not heard. */
  show(run, snapshot, isHeard, words) {
    [this.#run, this.#snapshot, this.#words] = [run, snapshot, words];
    const works = snapshot.worked_by !== null;
    if (!works || !isHeard) find("stop-dialog").close("no");
    for (const [id, { at, of, until }] of answers) {
      if (of !== about(snapshot) || asDate(lastTold(snapshot)) > asDate(at) || snapshot.sample.t > until) this.#answer(id);
    }
    const silent = works ? null : words.text("Only a run that somebody works on can be stopped or set.");
    const reason = this.#isReadOnly ? words.text("This page only shows: it was opened as read-only.") : silent;
    show(find("controls"), !snapshot.ended);
    show(find("control"), !this.#isReadOnly);
    fill({ "no-control": reason });
    disable("pause", snapshot.paused !== null);
    disable("continue", snapshot.paused === null);
    disable("stop", !works);
    disable("verify", works || (snapshot.verification?.read ?? null) !== null);
    show(find("verify"), this.#verifies);
    show(find("now"), !this.#isReadOnly && snapshot.asks_again);
    disable("now", false);
    for (const field of fields()) {
      field.placeholder = words.text(field.dataset.hint);
      // Nobody could apply them; what is typed already can still be copied.
      field.readOnly = !works;
      if (!("edited" in field.dataset)) field.value = this.#now(field);
    }
    this.#refreshSet();
  }

  /** A setting as it is now and as a person reads it: an empty field where nothing is limited. */
  #now({ name }) {
    const text = this.#snapshot?.settings?.[name] ?? "";
    return text === SETTINGS[name] ? "" : text;
  }

  #edited(field) {
    if (field.value.trim() === this.#now(field)) delete field.dataset.edited;
    else field.dataset.edited = "";
    field.removeAttribute("aria-invalid");
    this.#refreshSet();
  }

  #refreshSet() {
    disable("set", this.#snapshot?.worked_by === null || edited().length === 0);
  }

  #askToStop() {
    if (isDisabled(find("stop"))) return;
    const run = this.#run;
    fill({
      "stop-question": this.#words.text("Stop run {run}?", { run }),
      "stop-resume": this.#words.text("To resume it: {command}", { command: this.#snapshot.resume }),
    });
    find("stop-dialog").returnValue = "no";
    find("stop-dialog").showModal();
  }

  async #set() {
    const changed = edited();
    if (isDisabled(find("set")) || changed.length === 0) return;
    const values = Object.fromEntries(changed.map((field) => [field.name, field.value.trim() || SETTINGS[field.name]]));
    const isDone = await this.#press("set", "set", values);
    for (const field of changed) {
      if (isDone) delete field.dataset.edited;
      else field.setAttribute("aria-invalid", "true");
    }
    this.#refreshSet();
  }

  /** Give the command by its button and show the answer; whether it was taken. */
  async #press(id, name, values = {}, place = "answer") {
    if (isDisabled(find(id))) return false;
    disable(id, true);
    const run = this.#run;
    // Whether it was taken is not known, until the server says so.
    let [told, isRefused] = [{ said: this.#words.text(UNKNOWN) }, true];
    try {
      const answer = await fetch(`/api/runs/${encodeURIComponent(run)}/commands?lang=${this.#words.language}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ command: name, arguments: values }),
      });
      [told, isRefused] = [await toldBy(answer), !answer.ok];
    } catch {
      // There is no server.
    }
    // Another run may be shown by now.
    if (run !== this.#run) return false;
    // What the buttons may do next follows from the next snapshot.
    const [seen, until] = [this.#snapshot, isRefused ? Infinity : this.#snapshot.sample.t + LASTS];
    answers.set(place, { at: told.at ?? lastTold(seen), of: about(seen), until });
    this.#answer(place, told.said, isRefused);
    if (isRefused) disable(id, false);
    return !isRefused;
  }

  /** Show what was answered, or that nothing is. */
  #answer(place, told = "", isRefused = false) {
    if (!told) answers.delete(place);
    find(place).classList.toggle("refused", isRefused);
    renew(find(place), [told, Date.now()], () => (told ? [sign(isRefused ? "✗" : "✓"), make("span", "", told)] : []));
  }
}
