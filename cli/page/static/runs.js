// The list of the runs of all billings, or of the one that is chosen.

import { find, make, renew, show, sign, write } from "./dom.js";
import { ask } from "./requests.js";

const EVERY = 3000; // milliseconds

export class RunsView {
  #timer = null;
  #isOpen = false;
  #look = null;

  constructor() {
    find("billing").addEventListener("change", () => this.#look?.());
  }

  /** Show the list and keep it up to date until it is closed; `said` takes what the server refuses with, null for nothing. */
  open(words, said) {
    this.close();
    this.#isOpen = true;
    const look = async () => {
      clearTimeout(this.#timer);
      const billing = find("billing").value;
      try {
        const found = await ask(`/api/runs?lang=${words.language}&billing=${encodeURIComponent(billing)}`);
        // An answer about another billing than the one that is chosen by now comes too late.
        if (!this.#isOpen || this.#look !== look || find("billing").value !== billing) return;
        said(null);
        draw(found, words);
      } catch (error) {
        said(error);
      }
      if (this.#isOpen && this.#look === look) this.#timer = setTimeout(look, EVERY);
    };
    this.#look = look;
    look();
  }

  close() {
    this.#isOpen = false;
    this.#look = null;
    clearTimeout(this.#timer);
    show(find("runs"), false);
  }
}

function draw({ runs, more, billings, summary }, words) {
  const place = find("runs");
  show(place, true);
  offer(billings, words);
  show(find("no-runs"), runs.length === 0);
  show(place.querySelector("table"), runs.length > 0);
  renew(find("fleet-sums"), summary, () => summary.map((line) => make("p", "", line)));
  write(find("more-runs"), more ? words.text("runs.more", { n: words.count(more) }) : "");
  show(find("more-runs"), Boolean(more));
  renew(place.querySelector("tbody"), [runs, words.language], () => runs.map((run) => row(run, words)));
}

/** The billings to choose from, where there are several. */
function offer(billings, words) {
  const choice = find("billing");
  const chosen = choice.value;
  renew(choice, [billings, words.language], () => {
    const all = make("option", "", words.text("runs.every"));
    all.value = "";
    return [all, ...billings.map((name) => make("option", "", name))];
  });
  choice.value = billings.includes(chosen) ? chosen : "";
  show(find("billing-choice"), billings.length > 1);
}

function row(run, words) {
  const link = make("a", "", run.run);
  link.href = `#${encodeURIComponent(run.run)}`;
  const cells = [
    ["runs.run", make("td", "", make("span", "first", link, ` ${run.job}`), make("span", "second", run.source))],
    ["runs.billing", make("td", "", make("span", "first", run.billing), ...origin(run))],
    ["runs.stage", make("td", "", make("span", "first", run.stage_text), ...where(run), ...run.needs.map(need))],
    ["runs.begun", make("td", "figure", words.fullMoment(run.begun))],
    ["runs.rows", make("td", "number figure", ...partOf(words.count(run.accepted), words.count(run.asked), words))],
    ["runs.sum", make("td", "number figure", ...sums(run, words))],
    ["runs.pace", make("td", "number figure", ...pace(run, words))],
  ];
  return make("tr", "", ...cells.map(([label, cell]) => {
    // On a telephone there is no head of the table.
    cell.dataset.label = words.text(label);
    return cell;
  }));
}

/** The address of the billing, where its name is not of it, and the profile of settings that the run was begun by. */
function origin(run) {
  const target = run.target.includes(run.billing) ? [] : [make("span", "second", run.target)];
  if (!run.profile) return target;
  return [...target, make("span", run.profile.production ? "profile production" : "profile", run.profile.text)];
}

/** Who works on it, or what it waits for, where the stage does not say it. */
function where(run) {
  return run.where === run.stage_text ? [] : [make("span", "second", run.where)];
}

function need(text) {
  return make("span", "need", sign("!"), ` ${text}`);
}

function sums(run, words) {
  if (Number(run.asked_sum ?? 0) === 0) return ["–"];
  return partOf(words.money(run.accepted_sum), words.money(run.asked_sum), words);
}

function pace(run, words) {
  if (!run.is_held) return ["–"];
  const parts = [make("span", "first", words.rate(run.per_second))];
  if (run.seconds_left === null) return parts;
  return [...parts, make("span", "second", words.text("runs.left", { duration: words.duration(run.seconds_left) }))];
}

function partOf(part, whole, words) {
  return [make("span", "first", part), make("span", "second", words.text("runs.of", { whole }))];
}
