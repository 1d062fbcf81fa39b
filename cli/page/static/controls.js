// Pause, continue, stop, and the three settings that are changed most.

import { answerText, fill, find, make, renew, said, show, sign } from "./base.js";

// A setting: what stands for an empty field on the wire.
const SETTINGS = { rate: "none", "in-flight": "auto", hours: "always" };

const UNKNOWN = said(
  "No connection to the page's server: whether the command was taken is not known. See what the run does.",
);

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
    this.#snapshot = null;
    for (const id of ["answer", "verify-answer"]) find(id).replaceChildren();
    for (const field of fields()) {
      delete field.dataset.edited;
      field.value = "";
    }
  }

  show(run, snapshot, words) {
    [this.#run, this.#snapshot, this.#words] = [run, snapshot, words];
    const works = snapshot.worked_by !== null;
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
    let [told, isRefused] = [this.#words.text(UNKNOWN), true];
    try {
      const answer = await fetch(`/api/runs/${encodeURIComponent(this.#run)}/commands?lang=${this.#words.language}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ command: name, arguments: values }),
      });
      [told, isRefused] = [answer.ok ? (await answer.json()).said : await answerText(answer), !answer.ok];
    } catch {
      // Whether it was taken is not known.
    }
    // What the buttons may do next follows from the next snapshot.
    find(place).classList.toggle("refused", isRefused);
    renew(find(place), [told, Date.now()], () => (told ? [sign(isRefused ? "✗" : "✓"), make("span", "", told)] : []));
    if (isRefused) disable(id, false);
    return !isRefused;
  }
}
