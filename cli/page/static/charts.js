// Two charts over the last quarter of an hour: calls a second with the window, and how long answers take.

import { find, make, said } from "./base.js";

const SPAN = 900; // seconds that are kept
const SHORTEST = 60; // seconds that are shown at least
const GAP = 3; // seconds without a sample after which a line is broken
const HEIGHT = 148;
const FONT = '11px "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", system-ui, sans-serif';
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000];

// A chart: its lines, each with the method of words that writes its figures, and how it is drawn.
const CHARTS = {
  speed: [
    { name: "rate", label: said("calls a second"), figure: "rate", side: 3, fill: true },
    { name: "window", label: said("in parallel up to"), figure: "count", side: 1, dashed: true, steps: true },
  ],
  latency: [
    { name: "p50", label: said("half within"), figure: "latency", side: 3, scale: "seconds" },
    { name: "p95", label: said("95 % within"), figure: "latency", scale: "seconds", dashed: true },
  ],
};

export class Charts {
  #samples = [];
  #charts = Object.entries(CHARTS).map(([id, lines]) => new Chart(id, lines));
  #words = null;

  constructor() {
    const watch = new ResizeObserver(() => this.#charts.forEach((chart) => chart.fit()));
    for (const id of Object.keys(CHARTS)) watch.observe(find(id));
    // Colours are those of the page: drawn anew when these change.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  /** Forget another run. */
  clear() {
    this.#samples = [];
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

  draw(words) {
    const isNew = words !== this.#words;
    this.#words = words;
    for (const chart of this.#charts) {
      if (isNew) chart.build(words);
      chart.fill(this.#samples);
    }
  }

  redraw() {
    for (const chart of this.#charts) chart.recolour();
  }
}

class Chart {
  #lines;
  #place;
  #legend;
  #figures = [];
  #strokes = [];
  #plot = null;
  #samples = [];
  #words = null;

  constructor(id, lines) {
    this.#lines = lines;
    this.#place = find(id);
    this.#legend = find(`${id}-legend`);
  }

  build(words) {
    this.#words = words;
    this.#plot?.destroy();
    this.#figures = this.#lines.map(() => make("span", "figure"));
    this.#strokes = this.#lines.map(({ name, dashed }) => make("span", `stroke ${name}${dashed ? " dashed" : ""}`));
    const named = ({ label }, place) => make("li", "", this.#strokes[place], words.text(label), " ", this.#figures[place]);
    this.#legend.replaceChildren(...this.#lines.map(named));
    this.#plot = new window.uPlot(this.#options(), this.#data(), this.#place);
  }

  fill(samples) {
    this.#samples = samples;
    this.#plot.setData(this.#data());
    this.#tell();
  }

  fit() {
    if (this.#plot && this.#place.clientWidth) this.#plot.setSize({ width: this.#place.clientWidth, height: HEIGHT });
  }

  recolour() {
    this.#plot?.redraw(false, true);
  }

  #data() {
    return ["t", ...this.#lines.map((line) => line.name)].map((name) => this.#samples.map((one) => one[name] ?? null));
  }

  /** The figures beside the names of the lines: under the pointer, or the last ones. */
  #tell() {
    const sample = this.#samples[this.#plot?.cursor.idx ?? this.#samples.length - 1] ?? {};
    const told = this.#lines.map(({ name, figure }) => (sample[name] == null ? "–" : this.#words[figure](sample[name])));
    this.#figures.forEach((figure, place) => (figure.textContent = told[place]));
    const spoken = this.#lines.map(({ label }, place) => `${this.#words.text(label)}: ${told[place]}`);
    this.#place.setAttribute("aria-label", spoken.join("; "));
  }

  #options() {
    const words = this.#words;
    // Colours are read when it is drawn: the style sheet has them, and the reader may choose others at any time.
    const colour = (element, name) => () => getComputedStyle(element)[name];
    const grid = { stroke: colour(this.#place, "borderTopColor"), width: 1 };
    const axis = { stroke: colour(this.#place, "color"), font: FONT, grid, ticks: { show: false }, gap: 6 };
    const scale = (line) => line.scale ?? line.name;
    const scales = this.#lines.map((line) => [scale(line), { range: (_, least, most) => [0, (most || 1) * 1.12] }]);
    const clock = (moment, all) => (all.length > 1 && all[1] - all[0] < 60 ? words.clock(moment) : words.minute(moment));
    const sides = this.#lines.filter((line) => line.side).map((line) => ({
      ...axis,
      side: line.side,
      scale: scale(line),
      size: 50,
      space: 36,
      grid: { ...grid, show: line.side === 3 },
      incrs: line.scale ? undefined : STEPS,
      values: (_, values) => values.map((value) => (line.scale ? words.latency(value) : words.count(value))),
    }));
    const series = this.#lines.map((line, place) => ({
      scale: scale(line),
      stroke: colour(this.#strokes[place], "borderTopColor"),
      fill: line.fill ? colour(this.#strokes[place], "backgroundColor") : undefined,
      width: 1.75,
      dash: line.dashed ? [6, 4] : undefined,
      points: { show: false },
      paths: line.steps ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
    }));
    return {
      width: this.#place.clientWidth || 400,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, sync: { key: "time" } },
      hooks: { setCursor: [() => this.#tell()] },
      scales: { x: { range: (_, first, last) => [Math.min(first, last - SHORTEST), last] }, ...Object.fromEntries(scales) },
      axes: [{ ...axis, space: 90, size: 24, values: (_, moments) => moments.map((one) => clock(one, moments)) }, ...sides],
      series: [{}, ...series],
    };
  }
}
