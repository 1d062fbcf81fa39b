// The whole load, of a run that nobody works on: its charts, its figures, and what came between.

import { Charts, WHOLE } from "./charts.js";
import { fill, find, make, renew, said, show, sign, timeOf } from "./base.js";

// What came between: a sign and a word.
const MARKS = {
  begun: ["▶", said("started")],
  resumed: ["▶", said("resumed")],
  paused: ["Ⅱ", said("paused")],
  continued: ["▷", said("continued")],
  away: ["◷", said("waits: the billing is away or busy")],
  doubt: ["◷", said("waits: rows in doubt are looked up")],
  waits: ["◷", said("waits")],
  waited: ["▷", said("goes on after the wait")],
  killed: ["✗", said("killed at about this time")],
  stopped: ["■", said("stopped")],
  ended: ["■", said("ended")],
};

export class Past {
  #past = null;
  #charts = new Charts(WHOLE);

  constructor() {
    find("to-past").addEventListener("click", () => {
      find("past").scrollIntoView();
      find("past-title").focus({ preventScroll: true });
    });
  }

  /** Take what the server says of it; null for a run that has sent nothing, or for another run. */
  take(past) {
    this.#past = past;
    this.#charts.put(past?.points ?? [], (past?.marks ?? []).map(([moment, kind]) => [moment, MARKS[kind][0]]));
  }

  show(isIdle, words) {
    const isShown = isIdle && this.#past !== null;
    for (const id of ["past", "to-past"]) show(find(id), isShown);
    if (!isShown) return;
    const { points, marks, seconds, average, peak, worked, held, idle, repeated } = this.#past;
    const rate = (value) => words.text("{rate} rows a second", { rate: words.rate(value) });
    show(find("past-money"), points.some(({ sum }) => Number(sum ?? 0) !== 0));
    show(find("past-peak").parentElement, peak !== null);
    show(find("past-idle").parentElement, idle >= 1);
    show(find("past-repeated").parentElement, repeated > 0);
    fill({
      "past-average": rate(average),
      "past-peak": peak === null ? null : words.text("{rate}, over {duration}", { rate: rate(peak), duration: words.duration(seconds) }),
      "past-worked": words.duration(worked),
      "past-held": words.duration(held),
      "past-idle": words.duration(idle),
      "past-repeated": words.count(repeated),
    });
    renew(find("marks"), [marks, words.language], () =>
      marks.map(([moment, kind]) => {
        const [character, word] = MARKS[kind];
        return make("li", "", timeOf(moment, words), sign(character), make("span", "", words.text(word)));
      }),
    );
    // Last: a chart is as wide as its place, which the lines above have shown.
    this.#charts.draw(words);
  }

  redraw() {
    this.#charts.redraw();
  }
}
