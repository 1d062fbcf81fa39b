// Pause, continue, stop, and the three settings that are changed most.

import { find, isDisabled, make, renew, setDisabled, show, sign, write } from "./dom.js";
import { command } from "./requests.js";

// A setting: what stands for an empty field on the wire.
const SETTINGS = { rate: "none", "in-flight": "auto", hours: "always" };

export class Controls {
  #run = null;
  #words = null;
  #snapshot = null;
  #isReadOnly;

  constructor(isReadOnly) {
    this.#isReadOnly = isReadOnly;
    for (const name of ["pause", "continue"]) {
      find(name).addEventListener("click", (event) => this.#press(event.currentTarget, name));
    }
    find("stop").addEventListener("click", () => this.#askToStop());
    find("stop-dialog").addEventListener("close", (event) => {
      if (event.target.returnValue === "yes") this.#press(find("stop"), "stop");
    });
    find("settings").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#set();
    });
    for (const field of fields()) {
      field.addEventListener("input", () => this.#edited(field));
      field.addEventListener("keydown", (event) => {
        if (event.key === "Escape") this.#restore(field);
      });
    }
  }

  /** Forget what was typed and answered for another run. */
  clear() {
    this.#snapshot = null;
    find("answer").replaceChildren();
    for (const field of fields()) {
      delete field.dataset.edited;
      field.value = "";
    }
  }

  show(run, snapshot, words) {
    this.#run = run;
    this.#snapshot = snapshot;
    this.#words = words;
    const works = snapshot.worked_by !== null;
    const reason = this.#isReadOnly ? "control.read_only" : works ? "" : "control.silent";
    show(find("controls"), !snapshot.ended);
    show(find("control"), !this.#isReadOnly);
    show(find("no-control"), Boolean(reason));
    write(find("no-control"), reason ? words.text(reason) : "");
    setDisabled(find("pause"), snapshot.paused !== null);
    setDisabled(find("continue"), snapshot.paused === null);
    setDisabled(find("stop"), !works);
    for (const field of fields()) {
      field.placeholder = words.text(field.dataset.hint);
      // Nobody could apply them; what is typed already can still be copied.
      field.readOnly = !works;
      if (!("edited" in field.dataset)) field.value = shown(field.name, snapshot.settings[field.name] ?? "");
    }
    this.#refreshSet();
  }

  #edited(field) {
    if (field.value.trim() === shown(field.name, this.#snapshot?.settings[field.name] ?? "")) delete field.dataset.edited;
    else field.dataset.edited = "";
    field.removeAttribute("aria-invalid");
    this.#refreshSet();
  }

  #restore(field) {
    field.value = shown(field.name, this.#snapshot?.settings[field.name] ?? "");
    this.#edited(field);
  }

  #refreshSet() {
    setDisabled(find("set"), this.#snapshot?.worked_by === null || edited().length === 0);
  }

  #askToStop() {
    if (isDisabled(find("stop"))) return;
    const run = this.#run;
    write(find("stop-question"), this.#words.text("stop.question", { run }));
    write(find("stop-resume"), this.#words.text("stop.resume", { command: `carbon-migrate resume ${run}` }));
    const dialog = find("stop-dialog");
    dialog.returnValue = "no";
    dialog.showModal();
  }

  async #set() {
    const changed = edited();
    if (isDisabled(find("set")) || changed.length === 0) return;
    const values = Object.fromEntries(changed.map((field) => [field.name, field.value.trim() || SETTINGS[field.name]]));
    const isDone = await this.#press(find("set"), "set", values);
    for (const field of changed) {
      if (isDone) delete field.dataset.edited;
      else field.setAttribute("aria-invalid", "true");
    }
    this.#refreshSet();
  }

  /** Give the command and show the answer; whether it was taken. */
  async #press(button, name, values = {}) {
    if (isDisabled(button)) return false;
    setDisabled(button, true);
    let answer;
    try {
      answer = await command(this.#run, this.#words.language, name, values);
    } catch {
      answer = { said: this.#words.text("answer.lost"), refused: true };
    }
    // What the buttons may do next follows from the next snapshot.
    const answered = find("answer");
    answered.classList.toggle("refused", answer.refused);
    renew(answered, [answer, Date.now()], () => [sign(answer.refused ? "✗" : "✓"), make("span", "", answer.said)]);
    if (answer.refused) setDisabled(button, false);
    return !answer.refused;
  }
}

function fields() {
  return [...find("settings").querySelectorAll("input")];
}

function edited() {
  return fields().filter((field) => "edited" in field.dataset);
}

/** The text of a setting as a person reads it: an empty field where nothing is limited. */
function shown(name, text) {
  return text === SETTINGS[name] ? "" : text;
}
