// Tests that were kept: how a figure went, which there are, and one of them.
import { ask, by, direction, figures, make, micros, put, say, stage } from "/assets/common.js";
import { Chart } from "/assets/charts.js";
import { METRICS, Plot, goodput, query, setTime, time, when, written } from "/assets/tests.js";

const plot = new Plot(by("chart"));
const resultChart = new Chart(by("result-chart"), 600);
const MOST_COMPARED = 12;
/** The numbers of tests that are to be compared. */
const chosen = new Set();
let next = null;
/** The last list that was asked for: an answer to an earlier one is late. */
let turn = 0;

const STAGES = { nothing: "failed" };
const filter = () => ({
  since: time(by("since")), until: time(by("until")), failed: by("failed").value,
  transport: by("transport").value.trim(), host: by("host").value.trim(),
});

function row(test) {
  const box = make("input", { type: "checkbox", "aria-label": `Compare test ${test.id}` });
  box.checked = chosen.has(test.id);
  box.addEventListener("change", () => {
    if (box.checked && chosen.size >= MOST_COMPARED) {
      box.checked = false;
      return say(`No more than ${MOST_COMPARED} tests can be compared.`);
    }
    if (box.checked) chosen.add(test.id);
    else chosen.delete(test.id);
    choose();
  });
  const name = [`#${test.id}`, test.transport, test.title].filter(Boolean).join(" ");
  return make("tr", {},
    make("td", {}, box), make("td", {}, make("a", { href: `#${test.id}` }, name)), make("td", {}, when(test.started_us)),
    make("td", {}, test.host ?? test.peer ?? "–"), make("td", {}, stage(STAGES[test.ended] ?? test.ended)),
    make("td", { class: "number" }, goodput(test)));
}

function choose() {
  by("compare").href = chosen.size > 0 ? `/compare#${[...chosen].join(",")}` : "/compare";
  put(by("compare"), chosen.size > 0 ? `Compare ${chosen.size}` : "Compare");
}

/** Fills what has no tests with gaps, so that no line is drawn through it, from one end to the other. */
function columns({ since_us, until_us, width_us, buckets }) {
  const data = [[], [], [], []];
  if (buckets.length === 0) return data;
  push(data, since_us, null, null, null);
  let expected = null;
  for (const { start_us, min, median, max } of buckets) {
    const place = Math.round((start_us - since_us) / width_us);
    if (expected != null && place > expected) push(data, since_us + (expected + 0.5) * width_us, null, null, null);
    push(data, start_us + width_us / 2, max, median, min);
    expected = place + 1;
  }
  if (until_us / 1e6 > data[0].at(-1)) push(data, until_us, null, null, null);
  return data;
}

function push(data, at, ...values) {
  data[0].push(at / 1e6);
  values.forEach((value, index) => data[index + 1].push(value));
}

function draw(series) {
  const data = columns(series);
  const name = METRICS[series.metric][0];
  plot.show((colour, axis) => {
    const edge = { stroke: colour("--edge"), width: 1, dash: [3, 3], points: { show: false } };
    return [{
      cursor: { y: false },
      scales: { y: { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.05] } },
      axes: [{ ...axis, size: 42 }, { ...axis, size: 84, values: (_, marks) => marks.map((mark) => (mark === 0 ? "0" : written(series.metric, mark))) }],
      series: [{}, { ...edge, label: "largest" }, { label: "median", stroke: colour("--up"), width: 2 }, { ...edge, label: "smallest" }],
      bands: [{ series: [1, 3], fill: `${colour("--up")}33` }],
    }, data];
  });
  const medians = series.buckets.map(({ median }) => median);
  const text = medians.length === 0 ? "no test in this time knows it"
    : `medians from ${written(series.metric, Math.min(...medians))} to ${written(series.metric, Math.max(...medians))}`;
  by("chart").setAttribute("aria-label", `${name} over time: ${text}`);
  by("chart").hidden = medians.length === 0;
  return `${name}: ${text}`;
}

async function list(further) {
  turn += 1;
  const own = turn;
  put(by("wrong"), "");
  // What follows is known once the list is.
  by("more").disabled = true;
  const words = filter();
  try {
    const asked = [ask(`/api/v1/history?${query({ ...words, limit: 100, before: further ? next : "" })}`)];
    if (!further) asked.push(ask(`/api/v1/history/series?${query({ ...words, metric: by("metric").value, buckets: 100 })}`));
    const [page, series] = await Promise.all(asked);
    if (own !== turn) return;
    const rows = page.tests.map(row);
    if (further) by("tests").append(...rows);
    else by("tests").replaceChildren(...rows);
    next = page.next ?? null;
    by("more").hidden = next == null;
    by("all").hidden = false;
    const count = by("tests").rows.length;
    const shown = `${count === 1 ? "1 test is" : `${count} tests are`} shown${next ? "; there are older ones" : ""}.`;
    put(by("summary"), shown);
    say(series ? `${shown} ${draw(series)}.` : shown);
  } catch (error) {
    put(by(by("all").hidden ? "cannot" : "wrong"), error.message);
    by("cannot").hidden = !by("all").hidden;
    put(by("summary"), "");
    say(error.message);
  }
  if (own === turn) by("more").disabled = false;
}

async function show() {
  const id = location.hash.match(/^#(\d+)$/)?.[1];
  by("result").hidden = id == null;
  if (id == null) return;
  const [test, { points }] = await Promise.all([ask(`/api/v1/history/${id}`), ask(`/api/v1/history/${id}/points`)]);
  put(by("result-title"), `Test ${test.id}`);
  by("result-stage").replaceChildren(stage(STAGES[test.ended] ?? test.ended));
  put(by("result-meta"), [when(test.started_us), test.transport, test.direction && direction(test.direction), test.workload,
    test.streams != null && (test.streams === 1 ? "1 stream" : `${test.streams} streams`),
    test.duration_us != null && micros(test.duration_us), test.host ?? test.peer, test.username, test.peer_program].filter(Boolean).join(" · "));
  put(by("result-name"), test.title ?? "");
  put(by("result-message"), test.message ?? "");
  const known = Object.entries(METRICS).filter(([metric]) => metric !== "duration_us" && test[metric] != null);
  const kinds = { goodput_up: "up", goodput_down: "down" };
  by("result-figures").replaceChildren(figures(known.map(([metric, [name]]) => [kinds[metric] ?? metric, name, written(metric, test[metric])])));
  by("result-chart").hidden = points.length === 0;
  resultChart.set(points);
  by("document").href = `/api/v1/history/${test.id}`;
  by("result").scrollIntoView({ block: "nearest" });
  by("result").focus({ preventScroll: true });
  say(`Test ${test.id} is shown.`);
}

const shown = () => show().catch((error) => {
  by("result").hidden = true;
  say(error.message);
  put(by("wrong"), error.message);
});

by("form").addEventListener("submit", (event) => {
  event.preventDefault();
  mark(null);
  list(false);
});
by("metric").addEventListener("change", () => list(false));
by("more").addEventListener("click", () => list(true));

function mark(button) {
  for (const one of document.querySelectorAll("[data-seconds]")) one.setAttribute("aria-pressed", String(one === button));
}

function range(button) {
  setTime(by("since"), new Date(Date.now() - Number(button.dataset.seconds) * 1000));
  by("until").value = "";
  mark(button);
  return list(false);
}

for (const button of document.querySelectorAll("[data-seconds]")) button.addEventListener("click", () => range(button));
addEventListener("hashchange", shown);

await range(document.querySelector("[data-seconds='604800']"));
if (!by("all").hidden) await shown();
