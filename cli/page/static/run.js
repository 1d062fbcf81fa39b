// One run: a snapshot of the server, put into the places of page.html.

import { asDate, fill, find, make, notice, renew, said, show, sign, timeOf, two } from "./base.js";

// The states in the order of the bar, from what is done to what is still to come, each with its sign.
const SIGNS = {
  applied: "✔",
  accepted: "✓",
  different: "≠",
  undone: "↶",
  skipped: "–",
  rejected: "✗",
  manual: "!",
  unconfirmed: "¿",
  unknown: "?",
  sending: "→",
  pending: "○",
  replaced: "↷",
};
// What stands above everything else: a sign, and the word in place of that for the stage of the run.
const STAGES = {
  ended: ["■"],
  silent: ["✗", said("nobody works on it")],
  stopped: ["■"],
  paused: ["Ⅱ", said("paused")],
  held: ["◷", said("waiting")],
  queued: ["◷"],
  works: ["▶"],
  unknown: ["?", said("what it does now is not known")],
};
const GIVEN_UP = "given up"; // the stage
const TOLD_EVERY = 10; // percent
const COMMANDS = 4; // that are shown at once

let told = null; // the stage and the tenth that who listens was told last

/** Forget another run. */
export function clearRun() {
  told = null;
  for (const id of ["over", "silent", "stopped", "paused"]) notice(id, "", "");
  for (const id of ["run", "profile", "stage"]) show(find(id), false);
}

/** Show the last that was known of a run; of a server that `isHeard` it is what the run does now. */
export function showRun(snapshot, isHeard, words) {
  const { run, asked, done, accepted, paused, ended, stopped, sample } = snapshot;
  const [idle, worker] = [snapshot.queued ? "queued" : stopped ? "stopped" : "silent", isHeard ? snapshot.worked_by : null];
  const working = !isHeard ? "unknown" : paused ? "paused" : snapshot.held ? "held" : "works";
  const kind = ended ? "ended" : snapshot.worked_by === null ? idle : working;
  const isEmpty = ended && asked.rows === 0;
  const percent = isEmpty ? "" : words.percent(done.rows, asked.rows);
  const [character, word] = STAGES[kind];
  const stage = word ? words.text(word) : run.stage_text;
  document.title = `${percent} ${run.run} – ${stage}`.trim();
  find("stage").dataset.kind = kind;
  renew(find("stage"), [kind, stage], () => [sign(character), make("span", "", stage)]);
  find("profile").classList.toggle("production", run.profile?.production ?? false);
  // The figures change each second; who listens is told what matters of it.
  const tenth = Math.floor((asked.rows ? done.rows / asked.rows : 0) * (100 / TOLD_EVERY));
  if (told && (kind !== told.kind || tenth > told.tenth)) {
    fill({ spoken: `${stage}. ${words.text("Done: {percent}.", { percent })}` });
  }
  told = { kind, tenth };
  for (const id of ["run", "stage"]) show(find(id), true);
  show(find("why"), !ended && worker !== null);
  facts({ ...snapshot, worked_by: worker }, words);
  const hasMoney = [asked, ...Object.values(snapshot.counts)].some(({ sum }) => Number(sum ?? 0) !== 0);
  const of = isEmpty ? said("nothing to send") : snapshot.has_steps ? said("of {rows} steps to be sent, {percent} done") : said("of {rows} rows to be sent, {percent} done");
  const standing = snapshot.standing && words.text(said("in the billing now, as sent: {rows}"), { rows: words.count(snapshot.standing.rows) });
  fill({
    title: `${run.job} · ${run.run}`,
    "end-title": words.text(run.stage === GIVEN_UP ? said("The run was given up: nothing was sent") : said("The run has ended")),
    profile: run.profile?.text ?? null,
    "accepted-rows": words.count(accepted.rows),
    "asked-rows": words.text(of, { rows: words.count(asked.rows), percent }),
    "accepted-sum": hasMoney ? words.money(accepted.sum) : null,
    standing: standing && [standing, ...(hasMoney && snapshot.standing.sum ? [words.money(snapshot.standing.sum)] : [])].join(", "),
    "asked-sum": hasMoney ? words.text("of {sum}", { sum: words.money(asked.sum) }) : null,
    "why-text": (snapshot.held ?? snapshot.why) || words.text("Nothing slows it down."),
  });
  for (const [id, { rows, sum }, mark] of [["in-doubt", snapshot.in_doubt, "?"], ["rejected", snapshot.rejected, "✗"]]) {
    find(id).classList.toggle("some", rows > 0);
    // It may be that all of them were held back.
    if (id in snapshot.state_texts) find(id).querySelector("dt").textContent = snapshot.state_texts[id];
    part(id, words.count(rows), hasMoney && rows ? words.money(sum) : "", rows ? mark : "");
  }
  const known = worker !== null && snapshot.knows_pace;
  const calls = { calls: words.count(snapshot.in_flight), window: words.count(snapshot.window) };
  const parallel = known ? words.text("in parallel: {calls} of {window}", calls) : words.text("not known here");
  part("pace", known ? words.rate(sample.rate) : "–", worker ? parallel : "");
  const eta = worker === null ? null : snapshot.eta;
  const until = eta === null ? "" : words.text("until about {time}", { time: words.minute(sample.t + eta) });
  part("left", eta === null ? "–" : words.duration(eta), until);
  for (const id of ["pace", "left"]) show(find(id), !ended);
  bar(snapshot, words);
  notices(snapshot, words, kind);
  show(find("end"), ended);
  find("report").href = `/api/runs/${encodeURIComponent(run.run)}/report?lang=${words.language}`;
  renew(find("closing"), snapshot.closing, () => (snapshot.closing ?? []).map((line) => make("p", "", ...two(...line))));
  errors(snapshot.errors, words);
  // A page without names has none of the rest.
  commands(snapshot.commands ?? [], words);
  verification(snapshot.worked_by === null ? (snapshot.verification ?? null) : null, words);
}

function facts({ run, worked_by: worker, sample }, words) {
  const begun = asDate(run.begun);
  const given = Object.entries(run.parameters ?? {}).filter(([name, value]) => value && value !== "no" && !/(_sha256|^secrets)$/.test(name)); // what tells a person something
  const works = worker ? words.text("works: process {process} on {host}", worker) : "";
  const passed = begun ? words.text("{duration} ago", { duration: words.duration(sample.t - begun / 1000) }) : "";
  for (const [id, first, second] of [
    ["fact-who", run.who, works],
    ["fact-what", run.source, given.map(([name, value]) => `${name}=${value}`).join(", ")],
    ["fact-since", words.fullMoment(run.begun), passed],
    ["fact-billing", run.target, run.version ? words.text("version {version}", { version: run.version }) : ""],
  ]) {
    renew(find(id), [first, second], () => two(first, second));
  }
}

/** A figure, behind a sign if it has one, and what is said below it. */
function part(id, figure, below, character = "") {
  const [first, second] = find(id).querySelectorAll("p");
  renew(first, [character, figure], () => [...(character ? [sign(character), " "] : []), figure]);
  renew(second, below, () => [below]);
}

function bar({ counts: { replaced, ...counts }, refused, state_texts: names }, words) {
  const texts = { ...names, different: words.text("not as sent"), undone: words.text("taken back since") };
  const known = Object.keys(SIGNS);
  const states = Object.entries(counts).filter(([, { rows }]) => rows > 0);
  states.sort(([one], [other]) => known.indexOf(one) - known.indexOf(other));
  const counted = ([state, { rows }]) => `${texts[state] ?? state}: ${words.count(rows)}`;
  const drawn = find("bar");
  drawn.setAttribute("aria-label", words.joined(states.map(counted)) || words.text("Accepted"));
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
  // These have no part in the bar: a corrected row counts once, and what was refused never became a row of the run.
  if (replaced) legend.push(["replaced", SIGNS.replaced, words.text("replaced by corrected rows"), replaced.rows]);
  if (refused) legend.push(["refused", "⊘", words.text("refused before sending"), refused]);
  renew(find("states"), [legend, words.language], () =>
    legend.map(([state, character, text, rows]) => {
      const swatch = make("span", `swatch state-${state}`, sign(character));
      return make("li", "", swatch, make("span", "", `${text} `), make("b", "figure", words.count(rows)));
    }),
  );
}

function notices({ resume, paused, queued, silent_for: silence, sample }, words, kind) {
  const idle = { since: words.moment(sample.t - silence), command: resume };
  const silent = words.text("Nobody works on this run since {since}. To resume it: {command}", idle);
  const stopped = words.text("The run was stopped at {since}. To resume it: {command}", idle);
  notice("silent", "✗", kind === "silent" ? silent : "");
  notice("stopped", STAGES[kind][0], { stopped, queued }[kind]);
  const since = { since: words.moment(paused?.since), by: paused?.by };
  const isPaused = words.text(paused?.by ? said("Paused since {since} by {by}.") : said("Paused since {since}."), since);
  notice("paused", "Ⅱ", paused && kind !== "ended" ? isPaused : "");
}

function errors(kinds, words) {
  show(find("no-errors"), kinds.length === 0);
  show(find("errors"), kinds.length > 0);
  renew(find("errors").tBodies[0], [kinds, words.language], () =>
    kinds.map(({ text, rows, example }) =>
      make("tr", "", make("td", "number figure", words.count(rows)), make("td", "", ...two(text, example))),
    ),
  );
}

/** What was read back last, how far it is now, and what the page has found. */
function verification(found, words) {
  show(find("verification"), found !== null);
  if (found === null) return;
  const { at, who, is_good: isGood, lines, differences, error, read, rows, command } = found;
  // Who has no button for it is told the command.
  const not = find("verify").hidden ? said("Not yet. The command: {command}") : said("Not yet.");
  const told = at ? words.text("{time} by {who}", { time: words.fullMoment(at), who }) : words.text(not, { command });
  renew(find("verification-at"), [told, isGood], () => [...(at ? [sign(isGood ? "✓" : "!"), " "] : []), told]);
  for (const [id, some] of [["verification-lines", lines], ["difference-list", differences]]) {
    renew(find(id), some, () => some.map((line) => make("li", "", line)));
  }
  show(find("differences"), differences.length > 0);
  fill({
    "verify-error": error || null,
    "verify-read": read === null ? null : words.text("read back: {read} of {rows}", { read: words.count(read), rows: words.count(rows) }),
  });
  show(find("verify-progress"), read !== null);
  [find("verify-progress").max, find("verify-progress").value] = [rows, read ?? 0];
}

function commands(given, words) {
  const newest = [...given].reverse();
  const older = newest.slice(COMMANDS);
  for (const [id, some] of [["commands", newest.slice(0, COMMANDS)], ["earlier-commands", older]]) {
    renew(find(id), [some, words.language], () =>
      some.map(({ at, what, who, answer }) => {
        const answered = answer ? [make("span", "second", answer)] : [];
        return make("li", "", timeOf(at, words), make("span", "", ...two(what, who), ...answered));
      }),
    );
  }
  show(find("no-commands"), given.length === 0);
  show(find("earlier"), older.length > 0);
  fill({ "earlier-title": words.text("Earlier ones: {n}", { n: words.count(older.length) }) });
}
