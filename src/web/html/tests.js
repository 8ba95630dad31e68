// What the pages of the history have in common.
import { micros, rate } from "/assets/common.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const UNKNOWN = "–";
const nanos = (value) => (value < 1000 ? `${Math.round(value)} ns` : micros(Math.round(value / 1000)));
const whole = (value) => micros(Math.round(value));

/** What a figure is called, and how it is written. */
export const METRICS = {
  goodput_up: ["Goodput to the server", rate],
  goodput_down: ["Goodput to the client", rate],
  rtt_us: ["Round trip", whole],
  jitter_us: ["Jitter", whole],
  loss: ["Loss", (value) => `${(value * 100).toFixed(2)} %`],
  retransmits: ["Retransmissions", (value) => String(Math.round(value))],
  latency_p50_ns: ["Request, median", nanos],
  latency_p99_ns: ["Request, 99 %", nanos],
  duration_us: ["Time counted", whole],
};

/** Writes a value of a figure. */
export const written = (metric, value) => (value == null ? UNKNOWN : METRICS[metric][1](value));

/** Writes when a test started. */
export const when = (micros) => new Date(micros / 1000).toLocaleString();

/** Writes what a test has moved, each way. */
export function goodput(test) {
  const ways = [test.goodput_up != null && `▲ ${rate(test.goodput_up)}`, test.goodput_down != null && `▼ ${rate(test.goodput_down)}`];
  return ways.filter(Boolean).join(" ") || UNKNOWN;
}

/** Returns the time in a field in the form that the server reads. */
export function time(field) {
  return field.value === "" ? "" : new Date(field.value).toISOString();
}

/** Puts a time into a field. */
export function setTime(field, date) {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60000);
  field.value = local.toISOString().slice(0, 16);
}

/** Writes a query of all that is not empty. */
export function query(words) {
  return new URLSearchParams(Object.entries(words).filter(([, value]) => value !== "" && value != null)).toString();
}

/** A chart in `place` that is drawn anew with its size, its data and its colours. */
export class Plot {
  #place;
  #make = null;
  #plot = null;

  constructor(place) {
    this.#place = place;
    new ResizeObserver(() => (this.#plot ? this.#plot.setSize(this.#size()) : this.#draw())).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Shows what `make` returns: options and data, for colours that are given to it. */
  show(make) {
    this.#make = make;
    this.#draw();
  }

  #size() {
    return { width: this.#place.clientWidth, height: this.#place.clientHeight };
  }

  #draw() {
    this.#plot?.destroy();
    this.#plot = null;
    if (!this.#make || this.#place.clientWidth === 0) return;
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    const [options, data] = this.#make(colour, axis);
    if (data[0].length > 0) this.#plot = new uPlot({ ...this.#size(), legend: { show: false }, ...options }, data, this.#place);
  }
}
