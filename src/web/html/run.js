// A test towards a known peer, and what came of it.
import { ask, by, direction, figures, follow, loss, make, me, micros, put, rate, say, stage } from "/assets/common.js";
import { Chart } from "/assets/charts.js";

const chart = new Chart(by("result-chart"), 600);
const OVER = ["complete", "stopped", "failed"];
let admin = false;
let shown = null;

const nameInPath = () => location.pathname.match(/^\/run\/([0-9a-f]+)$/)?.[1] ?? null;

function options(select, names) {
  select.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
}

function result() {
  const { state, message, server, total, last } = shown;
  const over = OVER.includes(state);
  by("result-stage").replaceChildren(stage(state));
  put(by("result-meta"), [shown.transport, direction(shown.direction).replace("the client", "this server").replace("the server", "the peer"),
    `${shown.time} s`, shown.streams === 1 ? "1 stream" : `${shown.streams} streams`, server].filter(Boolean).join(" · "));
  put(by("result-message"), message ?? "");
  const [up, down] = over ? [total?.up, total?.down] : [last?.up, last?.down];
  const rows = [["up", "to the peer", rate(up)], ["down", "from the peer", rate(down)]];
  if (last) rows.push(["rtt", "round trip", micros(last.rtt)], ["loss", "loss", loss(last)]);
  by("result-figures").replaceChildren(figures(rows));
  by("stop").hidden = over || !admin;
  say(`The test towards ${shown.peer} is ${state}.`);
}

async function show(id) {
  try {
    shown = await ask(`/api/v1/runs/${encodeURIComponent(id)}`);
  } catch (error) {
    say(error.message);
    put(by("wrong"), error.message);
    return;
  }
  shown.last = shown.points.at(-1);
  by("result").hidden = false;
  put(by("result-title"), `Towards ${shown.peer}`);
  put(by("command"), shown.command);
  by("permalink").href = `/run/${shown.id}`;
  by("copy").hidden = !navigator.clipboard;
  chart.set(shown.points);
  result();
}

async function list() {
  const runs = await ask("/api/v1/runs");
  by("earlier").hidden = runs.length === 0;
  by("runs").replaceChildren(...runs.map((run) => {
    const started = new Date(run.started_us / 1000);
    const today = started.toDateString() === new Date().toDateString();
    const when = today ? started.toLocaleTimeString() : started.toLocaleString();
    const [up, down] = [run.total?.up, run.total?.down];
    const goodput = [up != null && `▲ ${rate(up)}`, down != null && `▼ ${rate(down)}`].filter(Boolean).join(" ");
    return make("tr", {},
      make("td", {}, make("a", { href: `/run/${run.id}` }, `${run.peer}, ${run.transport}`)),
      make("td", {}, when), make("td", {}, stage(run.state)), make("td", { class: "number" }, goodput || "–"));
  }));
}

by("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  put(by("wrong"), "");
  by("start").disabled = true;
  try {
    const { id } = await ask("/api/v1/runs", {
      peer: by("peer").value,
      transport: by("transport").value,
      direction: by("direction").value,
      time: Number(by("time").value),
      streams: Number(by("streams").value),
      rate: by("rate").value,
    });
    history.pushState(null, "", `/run/${id}`);
    await show(id);
    by("result-title").scrollIntoView({ block: "nearest" });
  } catch (error) {
    put(by("wrong"), error.message);
  }
  by("start").disabled = false;
});

by("stop").addEventListener("click", async () => {
  try {
    await ask(`/api/v1/runs/${encodeURIComponent(shown.id)}/cancel`, {});
  } catch (error) {
    say(error.message);
  }
});

by("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(shown.command);
  say("The command is copied.");
});

addEventListener("popstate", () => {
  const id = nameInPath();
  if (id) show(id);
  else by("result").hidden = true;
});

function heard(news) {
  if (news.id === shown?.id) {
    const { point, ...rest } = news;
    Object.assign(shown, { message: null, total: null }, rest);
    if (point) {
      shown.last = point;
      chart.add(point);
    }
    result();
  }
  if (OVER.includes(news.state)) list().catch((error) => say(error.message));
}

function refuse(text) {
  put(by("cannot"), text);
  by("cannot").hidden = false;
  by("form").hidden = true;
}

async function begin() {
  const [who, choices] = await Promise.all([me(), ask("/api/v1/runs/choices")]);
  admin = who.admin;
  options(by("peer"), choices.peers);
  options(by("transport"), choices.transports);
  by("time").max = choices.max_time;
  by("streams").max = choices.max_streams;
  if (who.ways.length === 0) refuse("This server takes no orders over the web: it was started without --web-password-file.");
  else if (choices.peers.length === 0) refuse("This server knows no peers: start it with --web-peer NAME=HOST[:PORT].");
  else if (!admin) refuse("Log in to run a test.");
  await list();
  const id = nameInPath();
  if (id) await show(id);
  follow({
    // What was missed while there was no connection is asked for.
    snapshot() {
      if (shown) show(shown.id);
    },
    changes({ runs = [] }) {
      for (const news of runs) heard(news);
    },
    lost() {
      say("The connection is lost; trying again.");
    },
  });
}

begin().catch((error) => say(error.message));
