// Two runs beside each other: their figures, and the rows in which they differ.

import { find, fill, make, said, show, sign, two } from "./base.js";

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
