// The page: which run or list is shown, in which language and light, and what arrives of it.

import { ask, fill, find, make, notice, said, show, toldBy, wordsOf } from "./base.js";
import { Charts, Past, RECENT } from "./charts.js";
import { chosenRuns, showComparison, showRuns } from "./runs.js";
import { Controls } from "./controls.js";
import { Rows } from "./rows.js";
import { clearRun, showRun } from "./run.js";

const RUNS = "runs";
const COMPARED = "compared:"; // and the names of two runs
const LIST_EVERY = 3000; // milliseconds
const SILENCE = 2500; // milliseconds without an event after which the connection counts as lost
const LOOK_EVERY = 500;
const AGAIN_AFTER = 1000;

const GONE = said("The page's command has ended, or cannot be reached. To look again: {command}");
const FINISHED = said("The load has finished, and this page with it. To look at it again: {command}");
const OVER = said("This page has ended with its command. To look again: {command}");
const SILENT = said(
  "No answer from the page's command since {since}: it may have been killed. Where the run stands is safe in its journal. To look again: {command}",
);
const RESUME = said("If nobody works on the run, this resumes it: {command}");
const OLD = said("The figures are those of {since}.");

/** What the server sends of a run, an event a second, through lost connections and restarts of the server.
 *  `readers` has the functions history(event), past(event), snapshot(event), closed(event), lost(sentence) and found(). */
async function follow(address, readers, closed) {
  let [last, failures, isLost, isOver] = ["", 0, false, false];
  while (!closed.aborted && !isOver) {
    // A connection that hangs would never be told from one on which there is nothing to say.
    const silent = new AbortController();
    let [heard, reason, text] = [performance.now(), "", ""];
    const watch = setInterval(() => {
      // A page that nobody sees is given no time by the browser, and hears late.
      if (document.hidden) heard = performance.now();
      else if (performance.now() - heard > SILENCE) silent.abort();
    }, LOOK_EVERY);
    try {
      const signal = AbortSignal.any([closed, silent.signal]);
      const answer = await fetch(address, { cache: "no-store", headers: last ? { "Last-Event-ID": last } : {}, signal });
      if (!answer.ok) reason = (await toldBy(answer)).said;
      const reader = answer.ok ? answer.body.pipeThrough(new TextDecoderStream()).getReader() : null;
      for (let part = await reader?.read(); part && !part.done; part = await reader.read()) {
        const events = (text + part.value).split("\n\n");
        text = events.pop();
        for (const event of events) {
          const told = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/, 2)));
          if (!told.event) continue;
          heard = performance.now();
          if (isLost) readers.found();
          [last, failures, isLost, isOver] = [told.id, 0, false, told.event === "closed"];
          // Apart: a fault in what is drawn is no lost connection.
          queueMicrotask(() => readers[told.event](JSON.parse(told.data)));
        }
      }
    } catch {
      // There is no server, or it says nothing.
    }
    clearInterval(watch);
    if (closed.aborted || isOver) return;
    failures += 1;
    // Once is a server that has closed a stream.
    if (reason || silent.signal.aborted || failures > 1) {
      isLost = true;
      readers.lost(reason);
    }
    await new Promise((again) => setTimeout(again, AGAIN_AFTER));
  }
}

class Page {
  #about = null;
  #words = null;
  #name = null;
  #snapshot = null;
  #isHeard = false;
  #focused = null;
  #stream = new AbortController();
  #timer = null;
  #charts = new Charts("recent-charts", RECENT);
  #past = new Past();
  #rows = new Rows();
  #controls = null;

  async start() {
    this.#chooseLight(localStorage.getItem("theme") ?? "auto");
    find("theme").addEventListener("change", (event) => this.#chooseLight(event.target.value));
    find("language").addEventListener("change", (event) => this.#speak(event.target.value));
    find("billing").addEventListener("change", () => this.#list());
    find("compare").addEventListener("click", () => {
      const runs = chosenRuns();
      if (runs.length === 2) location.hash = `${COMPARED}${runs.join(":")}`;
    });
    window.addEventListener("hashchange", () => this.#go());
    await this.#speak(localStorage.getItem("language"));
  }

  /** Take the words of a language, of the server's own for null, and show everything in it. */
  async #speak(language) {
    try {
      this.#about = await ask(`/api/page${language ? `?lang=${encodeURIComponent(language)}` : ""}`);
    } catch (error) {
      notice("trouble", "✗", this.#words ? this.#unanswered(error) : error.message);
      return;
    }
    if (language) localStorage.setItem("language", language);
    const words = wordsOf(this.#about.language, this.#about.texts);
    this.#words = words;
    find("spoken").textContent = "";
    this.#controls ??= new Controls(this.#about);
    document.documentElement.lang = words.language;
    document.documentElement.toggleAttribute("data-nameless", !this.#about.names);
    show(find("nameless"), !this.#about.names);
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
    for (const charts of [this.#charts, this.#past]) charts.redraw();
  }

  /** Show what the address names: a run, or the list of all. */
  #go() {
    this.#stream.abort();
    clearTimeout(this.#timer);
    for (const id of ["runs", "compared"]) show(find(id), false);
    const wanted = decodeURIComponent(location.hash.slice(1)) || this.#about.run || RUNS;
    notice("trouble", "", "");
    show(find("to-runs"), wanted !== RUNS);
    if (wanted !== this.#name) {
      this.#snapshot = null;
      this.#charts.clear();
      this.#past.take(null);
      this.#controls.clear();
      this.#rows.clear();
      clearRun();
    }
    this.#name = wanted;
    this.#connect();
    if (wanted.startsWith(COMPARED)) {
      this.#compare(wanted.slice(COMPARED.length).split(":"));
    } else if (wanted === RUNS) {
      this.#title(this.#words.text("All runs"));
      this.#list();
    } else {
      this.#follow(wanted);
    }
  }

  #title(title) {
    fill({ title });
    document.title = `${title} – carbon-migrate`;
  }

  /** Show two runs beside each other, as they are at this moment. */
  async #compare([first, second]) {
    const [wanted, words] = [this.#name, this.#words];
    this.#title(words.text("{first} and {second}", { first, second }));
    show(find("compared"), true);
    show(find("comparison"), false);
    fill({ comparing: words.text("Comparing the rows of two runs…") });
    try {
      const found = await ask(`/api/runs/${encodeURIComponent(first)}/compared/${encodeURIComponent(second)}?lang=${words.language}`);
      if (wanted === this.#name && words === this.#words) showComparison(found, words);
    } catch (error) {
      if (wanted === this.#name && words === this.#words) fill({ comparing: this.#unanswered(error) });
    }
  }

  /** Why the server has not answered. */
  #unanswered(error) {
    return error instanceof TypeError ? this.#words.text(GONE, { command: this.#about.again }) : error.message;
  }

  /** Show the list, and keep it up to date while it is shown. */
  async #list() {
    clearTimeout(this.#timer);
    const [words, billing] = [this.#words, find("billing").value];
    // An answer about another billing or in another language than what is chosen by now comes too late.
    const isLate = () => this.#name !== RUNS || this.#words !== words || find("billing").value !== billing;
    try {
      const found = await ask(`/api/runs?lang=${words.language}&billing=${encodeURIComponent(billing)}`);
      if (isLate()) return;
      showRuns(found, words);
      this.#connect();
    } catch (error) {
      if (isLate()) return;
      this.#connect(error instanceof TypeError ? "over" : "lost", this.#unanswered(error));
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#list(), LIST_EVERY);
  }

  #follow(name) {
    if (!this.#snapshot) fill({ title: name });
    this.#stream = new AbortController();
    const readers = {
      history: ({ samples }) => {
        this.#charts.take(samples);
        if (this.#snapshot) this.#draw();
      },
      past: (past) => this.#past.take(past),
      snapshot: (snapshot) => {
        this.#snapshot = snapshot;
        // A gap, not a zero, where nothing is known of the pace; no charts where it never was.
        if (snapshot.knows_pace) this.#charts.take([snapshot.sample]);
        this.#draw();
      },
      closed: ({ command }) => this.#connect("over", this.#words.text(this.#snapshot?.ended ? FINISHED : OVER, { command })),
      lost: (reason) => this.#lost(reason),
      found: () => this.#connect(),
    };
    follow(`/api/runs/${encodeURIComponent(name)}/events?lang=${this.#words.language}`, readers, this.#stream.signal);
  }

  #draw() {
    this.#controls.show(this.#name, this.#snapshot, this.#isHeard, this.#words);
    showRun(this.#snapshot, this.#isHeard, this.#words);
    this.#rows.show(this.#name, this.#snapshot, this.#isHeard, this.#words);
    this.#past.show(this.#snapshot.worked_by === null, this.#words);
    show(find("charts"), !this.#charts.isEmpty);
    // Last: a chart is as wide as its place, which the lines above have shown.
    this.#charts.draw(this.#words, this.#isHeard && this.#snapshot.worked_by !== null);
  }

  /** The server is heard, or it is "lost" or "over", in order: then what is shown is the last that was known, and nothing
   *  can be asked. All that is shown of a run follows from this and its last snapshot. */
  #connect(state = "open", told = "") {
    this.#isHeard = state === "open";
    document.documentElement.dataset.server = state;
    for (const id of ["lost", "over"]) notice(id, id === "lost" ? "✗" : "■", id === state ? told : "");
    const { activeElement: focused } = document;
    for (const element of document.querySelectorAll(".live")) {
      // Who is there with the keyboard comes back to it.
      if (!this.#isHeard && element.contains(focused)) this.#focused = focused;
      element.inert = !this.#isHeard;
    }
    if (this.#snapshot) this.#draw();
    if (!this.#isHeard) return;
    if (document.activeElement === document.body) this.#focused?.focus();
    this.#focused = null;
  }

  #lost(reason) {
    const told = [reason];
    if (this.#snapshot) {
      const { sample, again, resume, ended } = this.#snapshot;
      const since = this.#words.moment(sample.t);
      told.push(this.#words.text(reason ? OLD : SILENT, { since, command: again }));
      if (!reason && !ended) told.push(this.#words.text(RESUME, { command: resume }));
    } else if (!reason) {
      told.push(this.#words.text(GONE, { command: this.#about.again }));
    }
    this.#connect("lost", told.filter(Boolean).join("\n"));
  }
}

new Page().start();
