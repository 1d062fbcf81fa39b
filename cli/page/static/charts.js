// Charts: of the last quarter of an hour, calls a second and how long answers take; of the whole load, rows a second,
// roubles and errors, with what came between on the axis of time.

import { find, make, renew, said, show, sign, timeOf } from "./base.js";

const SPAN = 900; // seconds that are kept
const SHORTEST = 60; // seconds that are shown at least
const GAP = 3; // seconds without a sample after which a line is broken
const HEIGHT = 176;
const FONT = '11px "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", system-ui, sans-serif';
const TITLE = { labelFont: FONT, labelSize: 16, labelGap: 0 };
const [HOUR, DAY] = [3600, 86400];
const MOMENTS = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, ...[1, 2, 5, 10, 20, 50, 100].map((days) => days * DAY)]; // seconds
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000];

// Charts by their places: lines, each with the method of words that writes its figures, how it is drawn, and the title of
// its axis; the first has the caption of the chart.
export const RECENT = {
  speed: [
    { caption: said("Speed"), name: "rate", label: said("calls a second"), figure: "rate", side: 3, fill: true, title: said("Calls a second") },
    { name: "window", label: said("in parallel up to"), figure: "count", side: 1, dashed: true, steps: true, title: said("Parallel calls") },
  ],
  latency: [
    { caption: said("Answer time"), name: "p50", label: said("half within"), figure: "latency", side: 3, scale: "seconds", title: said("Answer time") },
    { name: "p95", label: said("95 % within"), figure: "latency", scale: "seconds", dashed: true },
  ],
};
const WHOLE = {
  "past-rate": [
    { caption: said("Speed"), name: "rate", label: said("sent a second"), figure: "rate", side: 3, axis: "compact", fill: true, steps: true, title: said("Sent a second") },
  ],
  "past-sum": [
    { caption: said("Roubles"), name: "sum", label: said("entered until then"), figure: "money", total: true, side: 3, axis: "compact", fill: true, title: said("Roubles") },
  ],
  "past-errors": [
    { caption: said("Errors"), name: "errors", label: said("rejected or in doubt"), figure: "count", total: true, side: 3, steps: true, title: said("How many") },
  ],
};

export class Charts {
  #samples = [];
  #marks = [];
  #charts;
  #words = null;
  #isLive = false;

  constructor(where, charts) {
    this.#charts = Object.entries(charts).map(([id, lines]) => {
      const [caption, legend, place] = [make("span", "", lines[0].caption), make("ul", "legend"), make("div", "chart")];
      const figure = make("figure", "", make("figcaption", "", caption, " ", legend), place);
      [figure.id, legend.id, place.id, place.role, caption.dataset.text] = [`${id}-figure`, `${id}-legend`, id, "img", ""];
      find(where).append(figure);
      return { lines, place, legend };
    });
    const fit = ({ plot, place }) => plot && place.clientWidth && plot.setSize({ width: place.clientWidth, height: HEIGHT });
    const watch = new ResizeObserver(() => this.#charts.forEach(fit));
    for (const { place } of this.#charts) watch.observe(place);
    // Colours are those of the page: drawn anew when these change.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  /** Forget another run. */
  clear() {
    [this.#samples, this.#marks] = [[], []];
  }

  /** Take all that there is, with marks on the axis of time: each a moment and its sign. */
  put(samples, marks) {
    [this.#samples, this.#marks] = [samples, marks];
  }

  /** Take samples in the order of their time; what is known already is left out. */
  take(samples) {
    for (const sample of samples) {
      const last = this.#samples.at(-1);
      if (last && sample.t <= last.t) continue;
      if (last && sample.t - last.t > GAP) this.#samples.push({ t: last.t + 1 });
      this.#samples.push(sample);
    }
    const first = (this.#samples.at(-1)?.t ?? 0) - SPAN;
    const old = this.#samples.findIndex((sample) => sample.t >= first);
    if (old > 0) this.#samples.splice(0, old);
  }

  get isEmpty() {
    return this.#samples.length === 0;
  }

  /** Draw it in these words; what `isLive` has its last figures beside the names of its lines. */
  draw(words, isLive = false) {
    const isNew = words !== this.#words;
    [this.#words, this.#isLive] = [words, isLive];
    for (const chart of this.#charts) {
      if (isNew) this.#build(chart);
      chart.plot.setData(this.#data(chart));
      this.#tell(chart);
    }
  }

  redraw() {
    for (const { plot } of this.#charts) plot?.redraw(false, true);
  }

  #build(chart) {
    const { lines, place, legend } = chart;
    chart.plot?.destroy();
    chart.figures = lines.map(() => make("span", "figure"));
    const strokes = lines.map(({ name, dashed }) => make("span", `stroke ${name}${dashed ? " dashed" : ""}`));
    const named = ({ label }, at) => make("li", "", strokes[at], this.#words.text(label), " ", chart.figures[at]);
    legend.replaceChildren(...lines.map(named));
    chart.plot = new window.uPlot(this.#options(chart, strokes), this.#data(chart), place);
  }

  #data({ lines }) {
    return ["t", ...lines.map((line) => line.name)].map((name) => this.#samples.map((one) => (one[name] == null ? null : Number(one[name]))));
  }

  /** The figures beside the names of the lines: under the pointer, or the last ones, where these are of now or of all. */
  #tell({ lines, place, plot, figures }) {
    const last = this.#samples.findLast((one) => one[lines[0].name] != null);
    const pointed = this.#samples[plot?.cursor.idx ?? -1];
    const sample = pointed ?? last ?? {};
    const figureOf = ({ name, figure }) => (sample[name] == null ? "–" : this.#words[figure](sample[name]));
    const told = lines.map((line) => (pointed || this.#isLive || line.total ? figureOf(line) : ""));
    figures.forEach((figure, at) => (figure.textContent = told[at]));
    place.setAttribute("aria-label", lines.map(({ label }, at) => [this.#words.text(label), told[at]].filter(Boolean).join(": ")).join("; "));
  }

  /** Draw the marks: each a line, and its sign, below that of its neighbour where there is no room. */
  #mark(plot, place) {
    const { ctx, bbox } = plot;
    const scale = window.devicePixelRatio;
    const rows = [];
    ctx.save();
    ctx.font = `${12 * scale}px sans-serif`;
    ctx.textAlign = "center";
    ctx.textBaseline = "top";
    const { color: ink, backgroundColor: ground } = getComputedStyle(place);
    ctx.strokeStyle = ink;
    ctx.setLineDash([3 * scale, 3 * scale]);
    for (const [moment, character] of this.#marks) {
      const x = plot.valToPos(moment, "x", true);
      if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
      const free = rows.findIndex((last) => x - last > 13 * scale);
      const row = free < 0 ? Math.min(rows.length, 3) : free;
      rows[row] = x;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillStyle = ground;
      ctx.fillRect(x - 6 * scale, bbox.top + row * 13 * scale, 12 * scale, 12 * scale);
      ctx.fillStyle = ink;
      ctx.fillText(character, x, bbox.top + row * 13 * scale);
    }
    ctx.restore();
  }

  #options(chart, strokes) {
    const { lines, place } = chart;
    const words = this.#words;
    // Colours are read when it is drawn: the style sheet has them, and the reader may choose others at any time.
    const colour = (element, name) => () => getComputedStyle(element)[name];
    const grid = { stroke: colour(place, "borderTopColor"), width: 1 };
    const axis = { stroke: colour(place, "color"), font: FONT, grid, ticks: { show: false }, gap: 6, ...TITLE };
    const scale = (line) => line.scale ?? line.name;
    const scales = lines.map((line) => [scale(line), { range: (_, least, most) => [Math.min(least, 0) * 1.12, (most > 0 || least < 0 ? Math.max(most, 0) : 1) * 1.12] }]);
    const clock = (moment, all) => {
      if (all.length > 1 && all[1] - all[0] < 60) return words.clock(moment);
      // Where a day begins it is named.
      return new Date(moment * 1000).getHours() + new Date(moment * 1000).getMinutes() ? words.minute(moment) : words.day(moment);
    };
    // The title of an axis stands beside its widest figure: in Russian a thousand is a word.
    const ruler = make("canvas").getContext("2d");
    ruler.font = FONT;
    const widest = (figures) => Math.max(...figures.map((one) => ruler.measureText(one).width));
    const sides = lines.filter((line) => line.side).map((line) => ({
      ...axis,
      label: words.text(line.title),
      side: line.side,
      scale: scale(line),
      size: line.side === 3 ? (_, values) => Math.max(50, 10 + widest(values ?? [])) : 34,
      space: 36,
      grid: { ...grid, show: line.side === 3 },
      incrs: line.scale || line.axis ? undefined : STEPS,
      values: (_, values) => values.map((value) => words[line.axis ?? (line.scale ? "latency" : "count")](value)),
    }));
    const series = lines.map((line, at) => ({
      scale: scale(line),
      stroke: colour(strokes[at], "borderTopColor"),
      fill: line.fill ? colour(strokes[at], "backgroundColor") : undefined,
      width: 1.75,
      dash: line.dashed ? [6, 4] : undefined,
      points: { show: false },
      paths: line.steps ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
    }));
    return {
      width: place.clientWidth || 400,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, sync: { key: "time" } },
      hooks: { setCursor: [() => this.#tell(chart)], draw: [(plot) => this.#mark(plot, place)] },
      scales: { x: { range: (_, first, last) => [Math.min(first, last - SHORTEST), last] }, ...Object.fromEntries(scales) },
      // The last moment on the axis of time is not cut at the edge.
      padding: [null, lines.some((line) => line.side === 1) ? null : 26, null, null],
      axes: [{ ...axis, label: words.text("Time of day"), space: 60, incrs: MOMENTS, size: 24, values: (_, moments) => moments.map((one) => clock(one, moments)) }, ...sides],
      series: [{}, ...series],
    };
  }
}

// ---- the whole load, of a run that nobody works on: its charts, its figures, and what came between ---------------

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
  #charts = new Charts("past-charts", WHOLE);

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
    const rate = (value) => words.text("{rate} a second", { rate: words.rate(value) });
    show(find("past-sum-figure"), points.some(({ sum }) => Number(sum ?? 0) !== 0));
    const figures = {
      [said("Pace while sending")]: average !== null && rate(average),
      [said("Peak")]: peak !== null && words.text("{rate}, over {duration}", { rate: rate(peak), duration: words.duration(seconds) }),
      [said("Running")]: words.duration(worked),
      [said("Of which nothing was sent, 10 s or longer")]: words.duration(held),
      [said("Not running")]: idle >= 1 && words.duration(idle),
      [said("Calls that were repeated")]: repeated > 0 && words.count(repeated),
    };
    const there = Object.entries(figures).filter(([, figure]) => figure);
    renew(find("past-figures"), [there, words.language], () =>
      there.map(([title, figure]) => make("div", "", make("dt", "", words.text(title)), make("dd", "figure", figure))),
    );
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
