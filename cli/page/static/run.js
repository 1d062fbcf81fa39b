// One run: a snapshot of the server, put into the places of page.html.

import { asDate } from "./words.js";
import { find, make, notice, renew, show, sign, write } from "./dom.js";

// The states in the order of the bar, from what is done to what is still to come, each with its sign.
const SIGNS = {
  applied: "✔",
  accepted: "✓",
  skipped: "–",
  replaced: "↷",
  rejected: "✗",
  manual: "!",
  unconfirmed: "¿",
  unknown: "?",
  sending: "→",
  pending: "○",
};
const STAGES = { ended: "■", silent: "✗", paused: "Ⅱ", held: "◷", works: "▶" };
const TOLD_EVERY = 10; // percent
const COMMANDS = 4; // that are shown at once

export class RunView {
  #kind = "";
  #tenth = 0;

  /** Forget another run. */
  clear() {
    this.#kind = "";
    this.#tenth = 0;
    for (const id of ["silent", "paused"]) notice(find(id), "", "");
    show(find("run"), false);
    show(find("profile"), false);
  }

  show(snapshot, words) {
    const kind = kindOf(snapshot);
    this.#head(snapshot, words, kind);
    facts(snapshot, words);
    figures(snapshot, words);
    bar(snapshot, words);
    notices(snapshot, words, kind);
    end(snapshot, words);
    why(snapshot, words, kind);
    errors(snapshot.errors, words);
    commands(snapshot.commands, words);
    show(find("run"), true);
  }

  #head({ run, accepted, asked }, words, kind) {
    const stage = stageText(run, words, kind);
    write(find("title"), `${run.job} · ${run.run}`);
    document.title = `${words.percent(accepted.rows, asked.rows)} ${run.run} – ${stage}`;
    const shown = find("stage");
    shown.dataset.kind = kind;
    renew(shown, [kind, stage], () => [sign(STAGES[kind]), make("span", "", stage)]);
    show(shown, true);
    const badge = find("profile");
    write(badge, run.profile?.text ?? "");
    badge.classList.toggle("production", run.profile?.production ?? false);
    show(badge, Boolean(run.profile));
    const tenth = Math.floor((asked.rows ? accepted.rows / asked.rows : 0) * (100 / TOLD_EVERY));
    // The figures change each second; who listens is told what matters of it.
    if (this.#kind !== "" && (kind !== this.#kind || tenth > this.#tenth)) {
      write(find("spoken"), `${stage}. ${words.text("spoken", { percent: words.percent(accepted.rows, asked.rows) })}`);
    }
    this.#kind = kind;
    this.#tenth = tenth;
  }
}

function kindOf({ ended, worked_by: worker, paused, held }) {
  if (ended) return "ended";
  if (worker === null) return "silent";
  if (paused !== null) return "paused";
  return held ? "held" : "works";
}

function stageText(run, words, kind) {
  return words.has(`stage.${kind}`) ? words.text(`stage.${kind}`) : run.stage_text;
}

function facts({ run, worked_by: worker, sample }, words) {
  const begun = asDate(run.begun);
  const given = Object.entries(run.parameters ?? {}).filter(([, value]) => value !== "" && value !== null);
  const works = worker ? words.text("fact.process", { process: worker.process, host: worker.host ?? "" }) : "";
  two(find("fact-who"), run.who, works);
  two(find("fact-what"), run.source, given.map(([name, value]) => `${name}=${value}`).join(", "));
  const passed = begun ? words.text("fact.passed", { duration: words.duration(sample.t - begun / 1000) }) : "";
  two(find("fact-since"), words.fullMoment(run.begun), passed);
  two(find("fact-billing"), run.target, run.version ? words.text("fact.version", { version: run.version }) : "");
}

/** A text, and a smaller one below it. */
function two(element, first, second) {
  renew(element, [first, second], () => [
    make("span", "first", first ?? "–"),
    ...(second ? [make("span", "second", second)] : []),
  ]);
}

function figures(snapshot, words) {
  const { asked, accepted, sample } = snapshot;
  const hasMoney = [asked, ...Object.values(snapshot.counts)].some(({ sum }) => Number(sum ?? 0) !== 0);
  write(find("accepted-rows"), words.count(accepted.rows));
  write(find("asked-rows"), words.text(snapshot.has_steps ? "of_steps" : "of_rows", { rows: words.count(asked.rows), percent: words.percent(accepted.rows, asked.rows) }));
  show(find("accepted-sum").parentElement, hasMoney);
  if (hasMoney) {
    write(find("accepted-sum"), words.money(accepted.sum));
    write(find("asked-sum"), words.text("of_sum", { sum: words.money(asked.sum) }));
  }
  for (const [id, part, character] of [["in-doubt", snapshot.in_doubt, "?"], ["rejected", snapshot.rejected, "✗"]]) {
    const [rows, sum] = find(id).querySelectorAll("p");
    find(id).classList.toggle("some", part.rows > 0);
    renew(rows, part.rows, () => [...(part.rows ? [sign(character), " "] : []), words.count(part.rows)]);
    write(sum, hasMoney && part.rows ? words.money(part.sum) : "");
  }
  const [pace, window] = find("pace").querySelectorAll("p");
  const works = snapshot.worked_by !== null;
  const known = works && snapshot.knows_pace;
  write(pace, known ? words.rate(sample.rate) : "–");
  const parallel = known ? words.text("in_flight", { calls: words.count(snapshot.in_flight), window: words.count(snapshot.window) }) : words.text("pace.unknown");
  write(window, works ? parallel : "");
  const [left, at] = find("left").querySelectorAll("p");
  const eta = works ? snapshot.eta : null;
  write(left, eta === null ? "–" : words.duration(eta));
  write(at, eta === null ? "" : words.text("left.until", { time: words.minute(sample.t + eta) }));
  show(find("pace"), !snapshot.ended);
  show(find("left"), !snapshot.ended);
}

function bar({ counts, refused, state_texts: texts }, words) {
  const known = Object.keys(SIGNS);
  const states = Object.entries(counts).filter(([, { rows }]) => rows > 0);
  states.sort(([one], [other]) => known.indexOf(one) - known.indexOf(other));
  const said = ([state, { rows }]) => `${texts[state] ?? state}: ${words.count(rows)}`;
  const drawn = find("bar");
  drawn.setAttribute("aria-label", words.joined(states.map(said)) || words.text("accepted"));
  const parts = new Map([...drawn.children].map((part) => [part.dataset.state, part]));
  for (const [state, { rows }] of states) {
    const part = parts.get(state) ?? make("span", `state-${state}`);
    parts.delete(state);
    part.dataset.state = state;
    part.style.flexGrow = String(rows);
    drawn.append(part);
  }
  for (const gone of parts.values()) gone.remove();
  const legend = states.map(([state, { rows }]) => [state, SIGNS[state] ?? "•", texts[state] ?? state, rows]);
  // These never became rows of the run: they have no part in the bar.
  if (refused) legend.push(["refused", "⊘", words.text("refused"), refused]);
  renew(find("states"), [legend, words.language], () =>
    legend.map(([state, character, text, rows]) => {
      const swatch = make("span", `swatch state-${state}`, sign(character));
      return make("li", "", swatch, make("span", "", `${text} `), make("b", "figure", words.count(rows)));
    }),
  );
}

function notices({ run, paused, silent_for: silence, sample }, words, kind) {
  const since = silence === null || silence === undefined ? null : sample.t - silence;
  const resume = { command: `carbon-migrate resume ${run.run}` };
  const silent = since === null ? words.text("silent", resume) : words.text("silent.since", { since: words.moment(since), ...resume });
  notice(find("silent"), "✗", kind === "silent" ? silent : "");
  notice(find("paused"), "Ⅱ", paused && kind !== "ended" ? words.text("paused", { since: words.moment(paused.since), by: paused.by }) : "");
}

function end({ ended, closing, run }, words) {
  show(find("end"), ended);
  if (!ended) return;
  find("report").href = `/api/runs/${encodeURIComponent(run.run)}/report?lang=${words.language}`;
  renew(find("closing"), closing, () => (closing ?? []).map((line) => make("p", "", line)));
}

function why({ why: reason, held }, words, kind) {
  const text = held ?? reason;
  show(find("why"), kind === "works" || kind === "held" || kind === "paused");
  write(find("why-text"), text || words.text("why.nothing"));
}

function errors(kinds, words) {
  show(find("no-errors"), kinds.length === 0);
  show(find("errors"), kinds.length > 0);
  renew(find("errors").tBodies[0], [kinds, words.language], () =>
    kinds.map(({ text, rows, example }) =>
      make(
        "tr",
        "",
        make("td", "number figure", words.count(rows)),
        make("td", "", make("span", "first", text), ...(example ? [make("span", "second", example)] : [])),
      ),
    ),
  );
}

function commands(given, words) {
  show(find("no-commands"), given.length === 0);
  const newest = [...given].reverse();
  const items = (some) => some.map((one) => commandItem(one, words));
  renew(find("commands"), [newest.slice(0, COMMANDS), words.language], () => items(newest.slice(0, COMMANDS)));
  const older = newest.slice(COMMANDS);
  show(find("earlier"), older.length > 0);
  write(find("earlier-title"), words.text("commands.earlier", { n: words.count(older.length) }));
  renew(find("earlier-commands"), [older, words.language], () => items(older));
}

function commandItem({ at, what, who, answer }, words) {
  const time = make("time", "figure", words.moment(at));
  time.dateTime = asDate(at)?.toISOString() ?? "";
  const told = make("span", "", make("span", "first", what), make("span", "second", who));
  if (answer) told.append(make("span", "second", answer));
  return make("li", "", time, told);
}
