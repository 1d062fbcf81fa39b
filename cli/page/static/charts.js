// Two charts over the last quarter of an hour: calls a second with the window, and how long answers take.

import { find, make, said } from "./base.js";

const SPAN = 900; // seconds that are kept
const SHORTEST = 60; // seconds that are shown at least
const GAP = 3; // seconds without a sample after which a line is broken
const HEIGHT = 148;
const FONT = '11px "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", system-ui, sans-serif';

const CHARTS = [
  {
    id: "speed",
    lines: [
      { name: "rate", label: said("calls a second"), side: 3, fill: true, figure: (words, value) => words.rate(value) },
      { name: "window", label: said("in parallel up to"), side: 1, dashed: true, steps: true, figure: (words, value) => words.count(value) },
    ],
    tick: (words, value) => words.count(value),
  },
  {
    id: "latency",
    lines: [
      { name: "p50", label: said("half within"), side: 3, scale: "seconds", figure: (words, value) => words.latency(value) },
      { name: "p95", label: said("95 % within"), scale: "seconds", dashed: true, figure: (words, value) => words.latency(value) },
    ],
    tick: (words, value) => words.latency(value),
  },
];

export class Charts {
  #samples = [];
  #charts;
  #words = null;

  constructor() {
    this.#charts = CHARTS.map((about) => new Chart(about));
    const watch = new ResizeObserver(() => this.#charts.forEach((chart) => chart.fit()));
    for (const { id } of CHARTS) watch.observe(find(id));
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
  #about;
  #place;
  #legend;
  #figures = [];
  #strokes = [];
  #plot = null;
  #samples = [];
  #words = null;

  constructor(about) {
    this.#about = about;
    this.#place = find(about.id);
    this.#legend = find(`${about.id}-legend`);
  }

  build(words) {
    this.#words = words;
    this.#plot?.destroy();
    this.#figures = [];
    this.#strokes = [];
    this.#legend.replaceChildren(
      ...this.#about.lines.map((line) => {
        const stroke = make("span", `stroke ${line.name}${line.dashed ? " dashed" : ""}`);
        const figure = make("span", "figure");
        this.#strokes.push(stroke);
        this.#figures.push(figure);
        return make("li", "", stroke, words.text(line.label), " ", figure);
      }),
    );
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
    const column = (name) => this.#samples.map((sample) => sample[name] ?? null);
    return [this.#samples.map((sample) => sample.t), ...this.#about.lines.map((line) => column(line.name))];
  }

  /** The figures beside the names of the lines: under the pointer, or the last ones. */
  #tell() {
    const pointed = this.#plot?.cursor.idx;
    const sample = this.#samples[pointed ?? this.#samples.length - 1] ?? {};
    const told = this.#about.lines.map((line) => {
      const value = sample[line.name];
      return value === null || value === undefined ? "–" : line.figure(this.#words, value);
    });
    this.#figures.forEach((figure, place) => (figure.textContent = told[place]));
    const spoken = this.#about.lines.map((line, place) => `${this.#words.text(line.label)}: ${told[place]}`);
    this.#place.setAttribute("aria-label", spoken.join("; "));
  }

  #options() {
    const { lines, tick } = this.#about;
    // Read when it is drawn: the style sheet has them, and the reader may choose others at any time.
    const axis = {
      stroke: () => getComputedStyle(this.#place).color,
      font: FONT,
      grid: { stroke: () => getComputedStyle(this.#place).borderTopColor, width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    const scale = (line) => line.scale ?? line.name;
    const scales = Object.fromEntries(
      lines.map((line) => [scale(line), { range: (_, least, most) => [0, (most || 1) * 1.12] }]),
    );
    return {
      width: this.#place.clientWidth || 400,
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false, sync: { key: "time" } },
      hooks: { setCursor: [() => this.#tell()] },
      scales: { x: { range: (_, first, last) => [Math.min(first, last - SHORTEST), last] }, ...scales },
      axes: [
        { ...axis, space: 90, size: 24, values: (_, moments) => moments.map((one) => this.#moment(one, moments)) },
        ...lines
          .filter((line) => line.side)
          .map((line) => ({
            ...axis,
            side: line.side,
            scale: scale(line),
            size: 50,
            space: 36,
            grid: { ...axis.grid, show: line.side === 3 },
            incrs: line.scale ? undefined : [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000],
            values: (_, values) => values.map((value) => tick(this.#words, value)),
          })),
      ],
      series: [
        {},
        ...lines.map((line, place) => ({
          scale: scale(line),
          stroke: () => getComputedStyle(this.#strokes[place]).borderTopColor,
          fill: line.fill ? () => getComputedStyle(this.#strokes[place]).backgroundColor : undefined,
          width: 1.75,
          dash: line.dashed ? [6, 4] : undefined,
          points: { show: false },
          paths: line.steps ? window.uPlot.paths.stepped({ align: 1 }) : undefined,
        })),
      ],
    };
  }

  #moment(seconds, all) {
    return all.length > 1 && all[1] - all[0] < 60 ? this.#words.clock(seconds) : this.#words.minute(seconds);
  }
}
