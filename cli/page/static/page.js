// The page: which run or list is shown, in which language and light, and what arrives of it.

import { Charts } from "./charts.js";
import { Controls } from "./controls.js";
import { find, make, notice, show, write } from "./dom.js";
import { ask } from "./requests.js";
import { RunView } from "./run.js";
import { RunsView } from "./runs.js";
import { Stream } from "./stream.js";
import { Words } from "./words.js";

const RUNS = "runs";

class Page {
  #about = null;
  #words = null;
  #name = null;
  #snapshot = null;
  #stream = null;
  #charts = new Charts();
  #controls = null;
  #run = new RunView();
  #runs = new RunsView();

  async start() {
    this.#chooseLight(localStorage.getItem("theme") ?? "auto");
    find("theme").addEventListener("change", (event) => this.#chooseLight(event.target.value));
    find("language").addEventListener("change", (event) => this.#speak(event.target.value));
    window.addEventListener("hashchange", () => this.#go());
    await this.#speak(localStorage.getItem("language"));
  }

  /** Take the words of a language, of the server's own for null, and show everything in it. */
  async #speak(language) {
    try {
      this.#about = await ask(`/api/page${language ? `?lang=${encodeURIComponent(language)}` : ""}`);
    } catch (error) {
      notice(find("trouble"), "✗", error.message);
      return;
    }
    if (language) localStorage.setItem("language", language);
    const words = new Words(this.#about.language, this.#about.texts);
    this.#words = words;
    this.#controls ??= new Controls(this.#about.read_only);
    document.documentElement.lang = words.language;
    for (const element of document.querySelectorAll("[data-text]")) write(element, words.text(element.dataset.text));
    this.#offerLanguages();
    show(find("tunnel"), Boolean(this.#about.tunnel));
    write(find("tunnel-command"), this.#about.tunnel ?? "");
    this.#go();
  }

  #offerLanguages() {
    const names = (code) => new Intl.DisplayNames(code, { type: "language" }).of(code);
    const options = this.#about.languages.map((code) => {
      // Each by its own name: who cannot read this page finds it.
      const name = names(code);
      const option = make("option", "", name.charAt(0).toLocaleUpperCase(code) + name.slice(1));
      option.value = code;
      option.lang = code;
      return option;
    });
    find("language").replaceChildren(...options);
    find("language").value = this.#words.language;
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
    this.#runs.close();
    const wanted = decodeURIComponent(location.hash.slice(1)) || this.#about.run || RUNS;
    notice(find("trouble"), "", "");
    this.#found();
    show(find("to-runs"), wanted !== RUNS);
    if (wanted !== this.#name) this.#forget();
    this.#name = wanted;
    if (wanted === RUNS) this.#list();
    else this.#follow(wanted);
  }

  #forget() {
    this.#snapshot = null;
    this.#charts.clear();
    this.#controls.clear();
    this.#run.clear();
    show(find("stage"), false);
  }

  #list() {
    const title = this.#words.text("runs");
    write(find("title"), title);
    document.title = `${title} – carbon-migrate`;
    this.#runs.open(this.#words, (error) => {
      const said = error instanceof TypeError ? this.#words.text("lost.list") : (error?.message ?? "");
      notice(find("lost"), "✗", said);
    });
  }

  #follow(name) {
    if (this.#snapshot) this.#draw();
    else write(find("title"), name);
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
    this.#run.show(this.#snapshot, this.#words);
    this.#controls.show(this.#name, this.#snapshot, this.#words);
    show(find("charts"), !this.#charts.isEmpty);
    // Last: a chart is as wide as its place, which the lines above have shown.
    this.#charts.draw(this.#words);
  }

  #lost(reason) {
    document.documentElement.dataset.lost = "";
    if (this.#snapshot === null) {
      notice(find("lost"), "✗", reason || this.#words.text("lost.list"));
      return;
    }
    const lost = this.#words.text("lost", { since: this.#words.moment(this.#snapshot.sample.t) });
    notice(find("lost"), "✗", reason ? `${lost} ${reason}` : lost);
  }

  #found() {
    delete document.documentElement.dataset.lost;
    notice(find("lost"), "", "");
  }
}

new Page().start();
