// Goodput over time. Both directions differ in colour, in dashes, and in the sign at their figures.
import { rate } from "/assets/common.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A chart in `place`, of as many seconds as it is given points for. */
export class Chart {
  #place;
  #plot = null;
  #data = [[], [], []];
  #most;

  constructor(place, most = 120) {
    this.#place = place;
    this.#most = most;
    new ResizeObserver(() => this.#resize()).observe(place);
    dark.addEventListener("change", () => this.#draw());
  }

  /** Shows these points. */
  set(points) {
    this.#data = [[], [], []];
    for (const point of points) this.#push(point);
    this.#draw();
  }

  /** Shows one more. */
  add(point) {
    this.#push(point);
    if (this.#plot) this.#plot.setData(this.#data);
    else this.#draw();
  }

  #push(point) {
    const [times, up, down] = this.#data;
    if (times.length > 0 && point.t <= times[times.length - 1]) return;
    times.push(point.t);
    up.push(point.up ?? null);
    down.push(point.down ?? null);
    if (times.length > this.#most) for (const column of this.#data) column.shift();
  }

  #resize() {
    if (this.#plot) this.#plot.setSize(this.#size());
    else this.#draw();
  }

  #size() {
    return { width: this.#place.clientWidth, height: this.#place.clientHeight };
  }

  #draw() {
    this.#plot?.destroy();
    this.#plot = null;
    const size = this.#size();
    if (this.#data[0].length === 0 || size.width === 0) return;
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const series = (label, name, dash) => ({ label, stroke: colour(name), width: 2, dash, points: { show: (plot) => plot.data[0].length === 1, size: 6 } });
    this.#plot = new uPlot({
      ...size,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.05] } },
      axes: [
        { ...axis, size: 26, values: (_, marks) => marks.map((mark) => `${mark} s`) },
        { ...axis, size: 84, values: (_, marks) => marks.map((mark) => (mark === 0 ? "0" : rate(mark))) },
      ],
      series: [{}, series("to the server", "--up"), series("to the client", "--down", [6, 4])],
    }, this.#data, this.#place);
  }
}
