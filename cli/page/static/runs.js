// The list of the runs of all billings, or of the one that is chosen; and two of them beside each other.

import { fill, find, make, renew, said, show, sign, titledRow, two } from "./base.js";

const chosen = new Set(); // the names of runs to be compared, also of those that another billing hides
let listed = [];

/** The runs that are chosen to be compared, the older one first. */
export function chosenRuns() {
  const runs = listed.filter(({ run }) => chosen.has(run));
  return runs.sort((one, other) => one.begun.localeCompare(other.begun)).map(({ run }) => run);
}

/** Show the list; `words` writes it. */
export function showRuns({ runs, more, billings, summary }, words) {
  const place = find("runs");
  const choice = find("billing");
  const chosen = choice.value;
  show(place, true);
  renew(choice, [billings, words.language], () => {
    const all = make("option", "", words.text("All billings"));
    all.value = "";
    return [all, ...billings.map((name) => make("option", "", name))];
  });
  choice.value = billings.includes(chosen) ? chosen : "";
  show(find("billing-choice"), billings.length > 1);
  show(find("no-runs"), runs.length === 0);
  show(place.querySelector("table"), runs.length > 0);
  renew(find("fleet-sums"), summary, () => summary.map((line) => make("p", "", line)));
  const left = words.text("Runs that are not shown here: {n}. `carbon-migrate status` shows all.", { n: words.count(more) });
  fill({ "more-runs": more ? left : null });
  listed = runs;
  const focused = document.activeElement.id;
  renew(place.querySelector("tbody"), [runs, words.language], () => runs.map((run) => row(run, words)));
  // The row that had it may be another one by now.
  if (focused && document.activeElement.id !== focused) find(focused)?.focus();
  choose(words);
}

function choose(words) {
  const isReady = chosenRuns().length === 2;
  show(find("to-compare"), listed.length > 1);
  find("compare").setAttribute("aria-disabled", String(!isReady));
  fill({ compare: words.text(isReady ? said("Compare these two runs") : said("Choose two runs to compare them")) });
}

function row(run, words) {
  const link = make("a", "", run.run);
  link.href = `#${encodeURIComponent(run.run)}`;
  const box = make("input");
  [box.type, box.id, box.checked] = ["checkbox", `compare-${run.run}`, chosen.has(run.run)];
  box.setAttribute("aria-label", words.text("Compare run {run}", run));
  box.addEventListener("change", () => {
    chosen[box.checked ? "add" : "delete"](run.run);
    choose(words);
  });
  const partOf = (part, whole) => two(part, words.text("of {whole}", { whole }));
  const hasMoney = Number(run.asked_sum ?? 0) !== 0;
  const left = run.seconds_left === null ? "" : words.text("{duration} left", { duration: words.duration(run.seconds_left) });
  const profile = run.profile && make("span", run.profile.production ? "profile production" : "profile", run.profile.text);
  const needs = run.needs.map((text) => make("span", "need", sign("!"), ` ${text}`));
  // The address and the place are left out where what stands above says them already.
  const target = run.target.includes(run.billing) ? "" : run.target;
  const cells = {
    "Run": ["", make("span", "first", box, link, ` ${run.job}`), make("span", "second", run.source ?? "")],
    "Billing": ["", ...two(run.billing, target), ...(profile ? [profile] : [])],
    "Stage": ["", ...two(run.stage_text, run.where === run.stage_text ? "" : run.where), ...needs],
    "Begun": ["figure", words.fullMoment(run.begun)],
    "Rows accepted": ["number figure", ...partOf(words.count(run.accepted), words.count(run.asked))],
    "Sum accepted": ["number figure", ...(hasMoney ? partOf(words.money(run.accepted_sum), words.money(run.asked_sum)) : ["–"])],
    "Rows a second": ["number figure", ...(run.is_held ? two(words.rate(run.per_second), left) : ["–"])],
  };
  return titledRow(cells, words);
}

// ---- two runs beside each other: their figures, and the rows in which they differ --------------------------------

// Rows in which they differ, by the word of the server.
const KINDS = {
  changed: said("with another sum"),
  other_outcome: said("with another outcome"),
  only_first: said("only in {first}"),
  only_second: said("only in {second}"),
};

export function showComparison({ runs, lines, errors, both, rows }, words) {
  const [first, second] = runs.map(({ run }) => run);
  const heads = find("figures").tHead.querySelectorAll("th");
  runs.forEach(({ run, job, source, begun }, at) => {
    const link = make("a", "", run);
    link.href = `#${run}`;
    const about = [job, source, words.fullMoment(begun)].filter(Boolean).join(", ");
    heads[at].replaceChildren(make("span", "first", link), make("span", "second", about));
  });
  const figure = (unit, value) => make("td", "number figure", value === null ? "–" : words[unit](value));
  const line = (name, unit, one, other) => make("tr", "", head("", name), figure(unit, one), figure(unit, other));
  const faults = errors.map(([text, one, other]) => line(text, "count", one, other));
  const title = make("tr", "", head("title", words.text("Errors by kind")), make("td"), make("td"));
  find("figures").tBodies[0].replaceChildren(...lines.map((one) => line(...one)), ...(faults.length ? [title, ...faults] : []));
  show(find("no-rows"), rows === null);
  show(find("different"), rows !== null);
  if (rows !== null) {
    const same = make("tr", "", head("", sign("="), " ", words.text("in both")), figure("count", both), make("td", "named"));
    const different = Object.entries(KINDS).map(([kind, text]) => difference(rows[kind], words.text(text, { first, second }), words));
    find("different").tBodies[0].replaceChildren(same, ...different);
  }
  fill({ comparing: null });
  show(find("comparison"), true);
}

function head(style, ...content) {
  const cell = make("th", style, ...content);
  cell.scope = "row";
  return cell;
}

/** How many rows differ in one way, and the first of them where the server names them. */
function difference({ rows, sum, first = [] }, text, words) {
  const name = [sign(rows ? "≠" : "="), " ", text];
  const listed = first.map(({ line, label, state, amount, before }) => {
    const place = line === null ? "" : words.text("line {line}", { line });
    const sums = [before === amount ? null : before, amount].filter((one) => one !== null).map((one) => words.money(one));
    return make("li", "", ...two(label, [place, state, sums.join(" → ")].filter(Boolean).join(", ")));
  });
  if (rows > first.length && first.length) listed.push(make("li", "quiet", words.text("… and {n} more", { n: words.count(rows - first.length) })));
  const details = make("details", "", make("summary", "", ...name), make("ul", "", ...listed));
  const money = sum === undefined || !rows ? "" : words.money(sum);
  return make("tr", "", head("", ...(listed.length ? [details] : name)), make("td", "number figure", words.count(rows)), make("td", "number figure named", money));
}
