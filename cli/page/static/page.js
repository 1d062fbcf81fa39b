// The page: which run or list is shown, in which language and light, and what arrives of it.

import { answerText, ask, fill, find, make, notice, said, show, wordsOf } from "./base.js";
import { Charts } from "./charts.js";
import { Controls } from "./controls.js";
import { clearRun, showRun } from "./run.js";
import { showRuns } from "./runs.js";

const RUNS = "runs";
const LIST_EVERY = 3000; // milliseconds
const SILENCE = 2500; // milliseconds without an event after which the connection counts as lost
const LOOK_EVERY = 500;
const AGAIN_AFTER = 1500;

const LOST = said("No connection to the page's server. The page tries again by itself.");
const OLD = said("No connection to the page's server: the figures are those of {since}. The page tries again by itself.");

/** What the server sends of a run, an event a second, through lost connections and restarts of the server. */
class Stream {
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
        this.#heard = performance.now();
        if (this.#isLost) this.#readers.found();
        this.#isLost = false;
        this.#failures = 0;
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
    const given = new AbortController();
    try {
      const answer = await fetch(this.#address, { signal: given.signal, cache: "no-store" });
      if (!answer.ok) this.#lost(await answerText(answer));
    } catch {
      // There is no server to say why.
    } finally {
      given.abort();
    }
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
}

class Page {
  #about = null;
  #words = null;
  #name = null;
  #snapshot = null;
  #stream = null;
  #timer = null;
  #charts = new Charts();
  #controls = null;

  async start() {
    this.#chooseLight(localStorage.getItem("theme") ?? "auto");
    find("theme").addEventListener("change", (event) => this.#chooseLight(event.target.value));
    find("language").addEventListener("change", (event) => this.#speak(event.target.value));
    find("billing").addEventListener("change", () => this.#list());
    window.addEventListener("hashchange", () => this.#go());
    await this.#speak(localStorage.getItem("language"));
  }

  /** Take the words of a language, of the server's own for null, and show everything in it. */
  async #speak(language) {
    try {
      this.#about = await ask(`/api/page${language ? `?lang=${encodeURIComponent(language)}` : ""}`);
    } catch (error) {
      notice("trouble", "✗", error.message);
      return;
    }
    if (language) localStorage.setItem("language", language);
    const words = wordsOf(this.#about.language, this.#about.texts);
    this.#words = words;
    this.#controls ??= new Controls(this.#about.read_only);
    document.documentElement.lang = words.language;
    for (const element of document.querySelectorAll("[data-text]")) {
      element.dataset.text ||= element.textContent;
      element.textContent = words.text(element.dataset.text);
    }
    const options = this.#about.languages.map((code) => {
      // Each by its own name: who cannot read this page finds it.
      const name = new Intl.DisplayNames(code, { type: "language" }).of(code);
      const option = make("option", "", name.charAt(0).toLocaleUpperCase(code) + name.slice(1));
      option.value = code;
      option.lang = code;
      return option;
    });
    find("language").replaceChildren(...options);
    find("language").value = words.language;
    show(find("tunnel"), Boolean(this.#about.tunnel));
    fill({ "tunnel-command": this.#about.tunnel ?? "" });
    this.#go();
  }

  #chooseLight(theme) {
    localStorage.setItem("theme", theme);
    document.documentElement.dataset.theme = theme;
    find("theme").value = theme;
    this.#charts.redraw();
  }

  /** Show what the address names: a run, or the list of all. */
  #go() {
    this.#stream?.close();
    this.#stream = null;
    clearTimeout(this.#timer);
    show(find("runs"), false);
    const wanted = decodeURIComponent(location.hash.slice(1)) || this.#about.run || RUNS;
    notice("trouble", "", "");
    this.#found();
    show(find("to-runs"), wanted !== RUNS);
    if (wanted !== this.#name) {
      this.#snapshot = null;
      this.#charts.clear();
      this.#controls.clear();
      clearRun();
    }
    this.#name = wanted;
    if (wanted !== RUNS) {
      this.#follow(wanted);
      return;
    }
    const title = this.#words.text("All runs");
    fill({ title });
    document.title = `${title} – carbon-migrate`;
    this.#list();
  }

  /** Show the list, and keep it up to date while it is shown. */
  async #list() {
    clearTimeout(this.#timer);
    const [words, billing] = [this.#words, find("billing").value];
    // An answer about another billing or in another language than what is chosen by now comes too late.
    const isLate = () => this.#name !== RUNS || this.#words !== words || find("billing").value !== billing;
    let told = "";
    try {
      const found = await ask(`/api/runs?lang=${words.language}&billing=${encodeURIComponent(billing)}`);
      if (isLate()) return;
      showRuns(found, words);
    } catch (error) {
      if (isLate()) return;
      told = error instanceof TypeError ? words.text(LOST) : error.message;
    }
    notice("lost", "✗", told);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#list(), LIST_EVERY);
  }

  #follow(name) {
    if (this.#snapshot) this.#draw();
    else fill({ title: name });
    this.#stream = new Stream(`/api/runs/${encodeURIComponent(name)}/events?lang=${this.#words.language}`, {
      history: ({ samples }) => {
        this.#charts.take(samples);
        if (this.#snapshot) this.#charts.draw(this.#words);
      },
      snapshot: (snapshot) => {
        this.#snapshot = snapshot;
        // A gap, not a zero, where nothing is known of the pace; no charts where it never was.
        if (snapshot.knows_pace) this.#charts.take([snapshot.sample]);
        this.#draw();
      },
      lost: (reason) => this.#lost(reason),
      found: () => this.#found(),
    });
  }

  #draw() {
    showRun(this.#snapshot, this.#words);
    this.#controls.show(this.#name, this.#snapshot, this.#words);
    show(find("charts"), !this.#charts.isEmpty);
    // Last: a chart is as wide as its place, which the lines above have shown.
    this.#charts.draw(this.#words);
  }

  #lost(reason) {
    document.documentElement.dataset.lost = "";
    const since = this.#snapshot && this.#words.moment(this.#snapshot.sample.t);
    const lost = since ? this.#words.text(OLD, { since }) : reason ? "" : this.#words.text(LOST);
    notice("lost", "✗", `${lost} ${reason}`.trim());
  }

  #found() {
    delete document.documentElement.dataset.lost;
    notice("lost", "", "");
  }
}

new Page().start();
