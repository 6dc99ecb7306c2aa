// Plots, by uPlot: drawn again when data, size or colours change. Each has a text for people who cannot see it.
import { Component, html } from "./parts.js";
import { clockTime, duration, plural, VIEWS } from "./words.js";

const HEIGHT = 150;
// From the bottom of the stack to its top: what needs attention is drawn at the top edge.
const STACK = ["affirming", "stale", "none", "warning", "unverified", "contraindicated"];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export class Plot extends Component {
  componentDidMount() {
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.box);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.redraw = () => requestAnimationFrame(() => this.draw(true));
    this.scheme.addEventListener("change", this.redraw);
    this.themes = new MutationObserver(this.redraw);
    this.themes.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    this.draw();
  }

  componentDidUpdate() {
    this.draw();
  }

  componentWillUnmount() {
    this.observer.disconnect();
    this.themes.disconnect();
    this.scheme.removeEventListener("change", this.redraw);
    this.plot?.destroy();
  }

  draw(again = false) {
    const width = Math.floor(this.box?.clientWidth ?? 0);
    if (!width || !globalThis.uPlot) return;
    const { data, make, shape } = this.props;
    if (this.plot && !again && shape === this.shape) {
      if (width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
      this.plot.setData(data);
      this.showNewest();
      return;
    }
    this.plot?.destroy();
    this.shape = shape;
    this.plot = new globalThis.uPlot({ width, height: HEIGHT, ...frame(this.props.unit), ...make() }, data, this.box);
    this.showNewest();
  }

  // Without a pointer on the plot, the legend shows the newest values.
  showNewest() {
    if (this.plot.cursor.idx === null || this.plot.cursor.left < 0) this.plot.setLegend({ idx: this.props.data[0].length - 1 });
  }

  render({ text }) {
    return html`<div class="plot" role="img" aria-label=${text} ref=${(element) => (this.box = element)}></div>`;
  }
}

function frame(unit) {
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui" };
  return {
    tzDate: (at) => globalThis.uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    axes: [{ ...axis, space: 70, values: (_, times) => times.map((at) => clockTime(at)) }, { ...axis, size: 64, values: (_, values) => values.map((value) => unit(value)) }],
    legend: { live: true },
    cursor: { y: false, points: { size: 6 } },
  };
}

const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en"));

// Drawn again when it grows, not with each batch of rows.
export class TimeLine extends Component {
  shouldComponentUpdate() {
    return this.drawn !== this.props.store.timeline;
  }

  render({ store }) {
    this.drawn = store.timeline;
    return timeLine(store);
  }
}

function timeLine(store) {
  const points = store.timeline;
  if (points.length < 2) return html`<p class="note">The time line begins with the start of this server, at ${clockTime(store.started)} UTC, and grows every five seconds.</p>`;
  const times = points.map((point) => point[0]);
  const columns = STACK.map((view) => points.map((point) => point[1 + VIEWS.indexOf(view)]));
  const stacked = [];
  columns.forEach((column, level) => stacked.push(column.map((count, index) => count + (level ? stacked[level - 1][index] : 0))));
  const newest = points.at(-1);
  const text = `The fleet since ${clockTime(times[0])} UTC. Now: ${VIEWS.map((view, index) => `${newest[1 + index]} ${view}`).join(", ")}.`;
  // The highest edge is drawn first, the lower ones over it.
  const make = () => ({
    scales: { y: { range: (_, __, most) => [0, Math.max(1, most)] } },
    series: [{ label: "UTC", value: (_, at) => (at ? clockTime(at) : "–") }, ...[...STACK].reverse().map((view) => ({
      label: view,
      fill: colour(`--${view}-fill`),
      stroke: colour(`--${view}`),
      width: 1,
      points: { show: false },
      paths: globalThis.uPlot.paths.stepped({ align: 1 }),
      value: (plot, _, level, at) => (at === null || at === undefined ? "–" : number(plot.data[level][at] - (plot.data[level + 1]?.[at] ?? 0))),
    }))],
  });
  return html`<section class="card timeline" aria-label="The fleet over time"><${Plot} text=${text} shape="timeline" unit=${whole} data=${[times, ...stacked.toReversed()]} make=${make} /></section>`;
}

const whole = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : "");

// A band between two bounds over time.
export function Band({ times, low, high, labels, unit, text, tone }) {
  if (times.filter((_, index) => low[index] !== null).length < 2) return html`<p class="note">The plot needs two results; this server has seen ${plural(times.length, "result")} of this device.</p>`;
  const make = () => ({
    series: [
      { label: "UTC", value: (_, at) => (at ? clockTime(at) : "–") },
      ...labels.map((label, index) => ({ label, stroke: colour(tone), width: index ? 1.5 : 1.5, dash: index ? [4, 3] : undefined, points: { show: times.length < 30, size: 4 }, value: (_, value) => (value === null ? "–" : unit(value)) })),
    ],
    bands: [{ series: [1, 2], fill: colour(`${tone}-fill`) }],
  });
  return html`<${Plot} text=${text} shape=${labels.join()} unit=${unit} data=${[times, high, low]} make=${make} />`;
}

export function Lines({ times, columns, labels, text }) {
  if (times.length < 2) return html`<p class="note">The plot needs two results.</p>`;
  const tones = ["--accent", "--warning", "--unverified", "--stale"];
  const dashes = [undefined, [6, 3], [2, 3], [8, 3, 2, 3]];
  const make = () => ({
    scales: { y: { range: (_, least, most) => [Math.max(0, least - Math.max(1, (most - least) * 0.1)), most + Math.max(1, (most - least) * 0.1)] } },
    series: [{ label: "UTC", value: (_, at) => (at ? clockTime(at) : "–") }, ...labels.map((label, index) => ({ label, stroke: colour(tones[index]), dash: dashes[index], width: 1.5, points: { show: times.length < 30, size: 4 }, paths: globalThis.uPlot.paths.stepped({ align: 1 }), value: (_, value) => number(value) }))],
  });
  return html`<${Plot} text=${text} shape=${labels.join()} unit=${whole} data=${[times, ...columns]} make=${make} />`;
}

export const seconds = (value) => duration(value);
export const ppm = (value) => (Math.abs(value) >= 10000 ? `${(value / 10000).toFixed(1)} %` : `${Math.round(value).toLocaleString("en")} ppm`);
