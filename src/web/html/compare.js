// Tests beside each other: chosen ones, or those over two transports.
import { ask, by, make, put, rate, say } from "/assets/common.js";
import { METRICS, Plot, goodput, query, time, when, written } from "/assets/tests.js";

const plot = new Plot(by("chart"));
/** Lines differ in dashes as well as in colour. */
const DASHES = [[], [8, 5], [2, 4], [12, 4, 2, 4], [16, 6], [4, 8]];
const COLOURS = ["--up", "--down", "--good", "--bad"];
/** Courses of each group, of which there may be hundreds. */
const MOST_COURSES = 4;
let courses = [];

const style = (index) => ({ dash: DASHES[index % DASHES.length], colour: COLOURS[index % COLOURS.length] });

/** Draws the sign of a line, for the key. */
function sign(index) {
  const { dash, colour } = style(index);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, value] of [["width", 44], ["height", 10], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
  const attributes = { x1: 0, y1: 5, x2: 44, y2: 5, stroke: `var(${colour})`, "stroke-width": 2, "stroke-dasharray": dash.join(" ") };
  for (const [name, value] of Object.entries(attributes)) line.setAttribute(name, value);
  svg.append(line);
  return svg;
}

function draw() {
  const way = by("way").value;
  const tables = courses.map(({ points }) => [points.map(({ t }) => t), points.map((point) => point[way] ?? null)]);
  const filled = tables.filter(([times]) => times.length > 0);
  const data = filled.length > 0 ? uPlot.join(tables) : [[]];
  plot.show((colour, axis) => [{
    cursor: { y: false },
    scales: { x: { time: false }, y: { range: (_, low, high) => [0, (high || 1) * 1.05] } },
    axes: [{ ...axis, size: 26, values: (_, marks) => marks.map((mark) => `${mark} s`) },
      { ...axis, size: 84, values: (_, marks) => marks.map((mark) => (mark === 0 ? "0" : rate(mark))) }],
    // Tests are measured at times of their own; what joins them tells that from a gap.
    series: [{}, ...courses.map(({ test }, index) => ({ label: `#${test.id}`, stroke: colour(style(index).colour), dash: style(index).dash, width: 2, points: { show: false } }))],
  }, data]);
  by("key").replaceChildren(...courses.map(({ test }, index) => make("li", {}, sign(index),
    make("a", { href: `/history#${test.id}` }, `#${test.id} ${test.transport ?? ""}`), ` ${when(test.started_us)}, ${goodput(test)}`)));
}

function table(groups) {
  by("names").replaceChildren(make("tr", {}, make("th", { scope: "col" }, "Figure"),
    ...groups.map(({ name, tests }) => make("th", { scope: "col" }, `${name}, ${tests.length === 1 ? "1 test" : `${tests.length} tests`}`))));
  const rows = Object.entries(METRICS).filter(([metric]) => groups.some((group) => group.figures.some((figure) => figure.metric === metric)));
  by("figures").replaceChildren(...rows.map(([metric, [name]]) => make("tr", {}, make("th", { scope: "row" }, name),
    ...groups.map((group) => {
      const figure = group.figures.find((one) => one.metric === metric);
      if (!figure) return make("td", {}, "–");
      const interval = figure.low == null ? null : make("small", {}, ` [${written(metric, figure.low)} to ${written(metric, figure.high)}]`);
      return make("td", {}, written(metric, figure.median), interval);
    }))));
}

async function compare(words) {
  put(by("wrong"), "");
  say("Comparing…");
  const { groups, missing } = await ask(`/api/v1/history/compare?${query(words)}`);
  const some = words.ids ? groups.flatMap(({ tests }) => tests) : groups.flatMap(({ tests }) => tests.slice(0, MOST_COURSES));
  courses = await Promise.all(some.map(async (test) => ({ test, points: (await ask(`/api/v1/history/${test.id}/points`)).points })));
  by("courses").hidden = by("medians").hidden = courses.length === 0;
  if (!courses.some(({ test }) => test.goodput_up != null)) by("way").value = "down";
  draw();
  table(groups);
  const count = groups.reduce((sum, { tests }) => sum + tests.length, 0);
  const gone = missing.length > 0 ? `; ${missing.map((id) => `#${id}`).join(", ")} is not there any more` : "";
  const text = `${count === 1 ? "1 test" : `${count} tests`} over ${groups.map(({ name }) => name).join(" and ")}${gone}`;
  put(by("summary"), text);
  say(`${text}.`);
}

function wrong(error) {
  put(by("wrong"), error.message);
  put(by("summary"), "");
  say(error.message);
}

async function begin() {
  const ids = location.hash.slice(1);
  if (ids !== "") return compare({ ids });
  put(by("summary"), "Nothing is chosen yet.");
  await ask("/api/v1/history?limit=1");
}

by("way").addEventListener("change", draw);
by("form").addEventListener("submit", (event) => {
  event.preventDefault();
  history.replaceState(null, "", "/compare");
  const transports = [by("first").value.trim(), by("second").value.trim()].join(",");
  compare({ transports, host: by("host").value.trim(), since: time(by("since")), until: time(by("until")) }).catch(wrong);
});
const begun = () => begin().catch(wrong);
addEventListener("hashchange", begun);
begun();
