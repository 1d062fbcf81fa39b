// The list of all runs of the journal.

import { find, make, renew, show, write } from "./dom.js";
import { ask } from "./requests.js";

const EVERY = 3000; // milliseconds

export class RunsView {
  #timer = null;
  #isOpen = false;

  /** Show the list and keep it up to date until it is closed; `said` takes what the server refuses with, null for nothing. */
  open(words, said) {
    this.close();
    this.#isOpen = true;
    const look = async () => {
      try {
        const found = await ask(`/api/runs?lang=${words.language}`);
        if (!this.#isOpen) return;
        said(null);
        draw(found, words);
      } catch (error) {
        said(error);
      }
      if (this.#isOpen) this.#timer = setTimeout(look, EVERY);
    };
    look();
  }

  close() {
    this.#isOpen = false;
    clearTimeout(this.#timer);
    show(find("runs"), false);
  }
}

function draw({ runs, more }, words) {
  const place = find("runs");
  show(place, true);
  show(find("no-runs"), runs.length === 0);
  show(place.querySelector("table"), runs.length > 0);
  write(find("more-runs"), more ? words.text("runs.more", { n: words.count(more) }) : "");
  show(find("more-runs"), Boolean(more));
  renew(place.querySelector("tbody"), [runs, words.language], () => runs.map((run) => row(run, words)));
}

function row(run, words) {
  const link = make("a", "", run.run);
  link.href = `#${encodeURIComponent(run.run)}`;
  const cells = [
    ["runs.run", make("td", "", make("span", "first", link, ` ${run.job}`), ...origin(run))],
    ["runs.source", make("td", "", run.source)],
    ["runs.stage", make("td", "", run.stage_text)],
    ["runs.begun", make("td", "figure", words.fullMoment(run.begun))],
    ["runs.rows", make("td", "number figure", ...partOf(words.count(run.accepted), words.count(run.asked), words))],
    ["runs.sum", make("td", "number figure", ...sums(run, words))],
  ];
  return make("tr", "", ...cells.map(([label, cell]) => {
    // On a telephone there is no head of the table.
    cell.dataset.label = words.text(label);
    return cell;
  }));
}

/** The billing of a run, and the profile of settings that it was begun by. */
function origin(run) {
  const target = make("span", "second", run.target);
  if (!run.profile) return [target];
  return [target, make("span", run.profile.production ? "profile production" : "profile", run.profile.text)];
}

function sums(run, words) {
  if (Number(run.asked_sum ?? 0) === 0) return ["–"];
  return partOf(words.money(run.accepted_sum), words.money(run.asked_sum), words);
}

function partOf(part, whole, words) {
  return [make("span", "first", part), make("span", "second", words.text("runs.of", { whole }))];
}
