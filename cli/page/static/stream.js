// What the server sends of a run, an event a second, through lost connections and restarts of the server.

import { answerText } from "./requests.js";

const SILENCE = 2500; // milliseconds without an event after which the connection counts as lost
const LOOK_EVERY = 500;
const AGAIN_AFTER = 1500;

export class Stream {
  #address;
  #readers;
  #source = null;
  #heard = performance.now();
  #isLost = false;
  #failures = 0;
  #watch;
  #again;

  /** `readers` has the functions history(event), snapshot(event), lost(sentence) and found(). */
  constructor(address, readers) {
    this.#address = address;
    this.#readers = readers;
    this.#open();
    this.#watch = setInterval(() => this.#look(), LOOK_EVERY);
  }

  close() {
    clearInterval(this.#watch);
    clearTimeout(this.#again);
    this.#source.close();
  }

  #open() {
    this.#source?.close();
    const source = new EventSource(this.#address);
    this.#source = source;
    for (const name of ["history", "snapshot"]) {
      source.addEventListener(name, (event) => {
        this.#found();
        this.#readers[name](JSON.parse(event.data));
      });
    }
    source.addEventListener("error", () => {
      // After an answer that is no stream the browser gives up: the server may be another one by now, or say why not.
      if (source.readyState === EventSource.CLOSED) this.#ask();
      // Once is a server that has closed a stream; the browser comes again by itself.
      this.#failures += 1;
      if (this.#failures > 1) this.#lost("");
    });
  }

  async #ask() {
    const reason = await refusalOf(this.#address);
    if (reason) this.#lost(reason);
    this.#again = setTimeout(() => this.#open(), AGAIN_AFTER);
  }

  #look() {
    // A page that nobody sees is given no time by the browser, and hears late.
    if (document.hidden) this.#heard = performance.now();
    else if (performance.now() - this.#heard > SILENCE) {
      this.#lost("");
      // A connection that hangs would never be told from one on which there is nothing to say.
      if (this.#source.readyState === EventSource.OPEN) this.#open();
    }
  }

  #lost(reason) {
    if (this.#isLost && !reason) return;
    this.#isLost = true;
    this.#readers.lost(reason);
  }

  #found() {
    this.#heard = performance.now();
    if (this.#isLost) this.#readers.found();
    this.#isLost = false;
    this.#failures = 0;
  }
}

/** Why the server does not send: its own sentence, or "" where it is not there or would send after all. */
async function refusalOf(address) {
  const given = new AbortController();
  try {
    const answer = await fetch(address, { signal: given.signal, cache: "no-store" });
    if (answer.ok) return "";
    return await answerText(answer);
  } catch {
    return "";
  } finally {
    given.abort();
  }
}
