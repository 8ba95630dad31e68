// Every session, as it happens.
import { ask, by, direction, figures, follow, loss, make, me, micros, put, rate, say, stage } from "/assets/common.js";
import { Chart } from "/assets/charts.js";

/** The cards that are shown, by the names of their sessions. */
const cards = new Map();
/** Charts cost time; who watches more sessions at once reads figures. */
const MOST_CHARTS = 24;
/** Cards of sessions that are over, until newer ones take their place. */
const MOST_ENDED = 12;
let admin = false;

class Card {
  constructor(shown) {
    this.name = shown.session;
    this.ended = false;
    this.heading = make("h2");
    this.stage = make("p");
    this.meta = make("p", { class: "meta" });
    this.title = make("p", { class: "title", hidden: true });
    this.message = make("p", { class: "message", hidden: true });
    this.values = { up: make("dd"), down: make("dd"), rtt: make("dd"), loss: make("dd") };
    const row = (kind, name, dd) => make("div", { class: kind }, make("dt", {}, name), dd);
    this.figures = make("dl", { class: "figures" },
      row("up", "to the server", this.values.up), row("down", "to the client", this.values.down),
      row("rtt", "round trip", this.values.rtt), row("loss", "loss", this.values.loss));
    this.place = make("div", { class: "chart", role: "img", "aria-label": "Goodput over time" });
    this.cancel = make("button", { type: "button" }, "Cancel test");
    this.cancel.addEventListener("click", () => askToCancel(this));
    this.actions = make("div", { class: "actions" }, this.cancel);
    this.element = make("article", { class: "card", "data-session": this.name },
      make("header", {}, this.heading, this.stage), this.meta, this.title, this.figures, this.place, this.message, this.actions);
    this.update(shown);
  }

  update(shown) {
    const { test } = shown;
    put(this.heading, shown.user ? `${shown.user}, ${shown.peer}` : shown.peer);
    this.stage.replaceChildren(stage(shown.stage));
    const parts = [];
    if (shown.position != null) parts.push(`number ${shown.position} in the queue`);
    if (test) {
      parts.push(test.transport, direction(test.direction), test.streams === 1 ? "1 stream" : `${test.streams} streams`);
      if (test.workload !== "bulk") parts.push(test.workload);
      if (test.rate != null) parts.push(`${rate(test.rate)} each`);
    }
    if (shown.program) parts.push(shown.program);
    if (shown.dialect !== "native") parts.push(`speaks ${shown.dialect}`);
    put(this.meta, parts.join(" · "));
    put(this.title, [test?.title, test?.extra_data].filter(Boolean).join(" · "));
    this.title.hidden = this.title.textContent === "";
    const running = shown.stage === "running";
    this.figures.hidden = !running;
    this.wants = running && test != null;
    this.place.hidden = !(this.wants && this.chart);
    this.cancel.setAttribute("aria-label", `Cancel test of ${this.heading.textContent}`);
    this.actions.hidden = !admin || this.ended;
  }

  show(points) {
    for (const point of points) {
      put(this.values.up, rate(point.up));
      put(this.values.down, rate(point.down));
      put(this.values.rtt, micros(point.rtt));
      put(this.values.loss, loss(point));
    }
    const charts = [...cards.values()].filter((card) => card.chart).length;
    if (!this.chart && charts < MOST_CHARTS) {
      this.place.hidden = false;
      this.chart = new Chart(this.place);
    }
    for (const point of points) this.chart?.add(point);
  }

  end(end) {
    this.ended = true;
    this.stage.replaceChildren(stage(end.how));
    this.actions.hidden = true;
    put(this.message, end.message ?? "");
    this.message.hidden = !end.message;
    if (end.up != null || end.down != null) {
      this.figures.replaceWith(figures([
        ["up", "to the server, in all", rate(end.up)], ["down", "to the client, in all", rate(end.down)],
      ]));
    }
  }
}

function enter(shown) {
  const known = cards.get(shown.session);
  if (known) return known.update(shown);
  const card = new Card(shown);
  cards.set(card.name, card);
  by("sessions").prepend(card.element);
}

function remove(card) {
  card.element.remove();
  cards.delete(card.name);
}

function settle() {
  const over = [...cards.values()].filter((card) => card.ended);
  for (const card of over.slice(0, Math.max(0, over.length - MOST_ENDED))) remove(card);
  const count = cards.size - over.length;
  by("nobody").hidden = cards.size > 0;
  put(by("summary"), count === 1 ? "1 session" : `${count} sessions`);
  say(count === 1 ? "Connected; 1 session is there." : `Connected; ${count} sessions are there.`);
}

let asked = null;

function askToCancel(card) {
  asked = card;
  put(by("cancel-what"), card.heading.textContent);
  put(by("cancel-wrong"), "");
  by("reason").value = "";
  by("cancel").showModal();
}

by("keep").addEventListener("click", () => by("cancel").close());
by("cancel-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await ask(`/api/v1/sessions/${encodeURIComponent(asked.name)}/cancel`, { reason: by("reason").value });
    by("cancel").close();
  } catch (error) {
    put(by("cancel-wrong"), error.message);
  }
});

try {
  admin = (await me()).admin;
} catch (error) {
  say(error.message);
}

follow({
  snapshot({ sessions, courses }) {
    const now = new Set(sessions.map((shown) => shown.session));
    for (const card of [...cards.values()]) if (!card.ended && !now.has(card.name)) remove(card);
    for (const shown of sessions) {
      enter(shown);
      cards.get(shown.session).show(courses[shown.session] ?? []);
    }
    settle();
  },
  changes({ changed = [], gone = [], points = {}, ended = [] }) {
    for (const shown of changed) enter(shown);
    for (const [name, point] of Object.entries(points)) cards.get(name)?.show([point]);
    for (const end of ended) cards.get(end.session)?.end(end);
    for (const name of gone) {
      const card = cards.get(name);
      if (card && !card.ended) remove(card);
    }
    settle();
  },
  lost() {
    put(by("summary"), "The connection is lost; trying again.");
    say("The connection is lost; trying again.");
  },
});
