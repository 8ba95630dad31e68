// What all pages have in common. Texts of others get into the page as text alone: `make` sets
// textContent, and nothing here parses HTML.

/** Makes an element: attributes, then children, each a node or a text. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Returns the element of this id. */
export const by = (id) => document.getElementById(id);

/** Asks the server; throws an Error with its own words if it refuses. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("the server does not answer");
  }
  const isJson = (answer.headers.get("Content-Type") ?? "").startsWith("application/json");
  const data = isJson ? await answer.json() : null;
  if (!answer.ok) throw new Error(data?.error ?? `the server answers ${answer.status}`);
  return data;
}

let known;

/** Tells who is looking: `{ admin, ways, public }`. */
export function me() {
  known ??= ask("/api/v1/me");
  return known;
}

/** Says something to whoever looks, and to whoever listens. */
export function say(text) {
  const status = by("status");
  if (status.textContent !== text) status.textContent = text;
}

/**
 * Follows the server's events. `handlers` has a function for each kind; the connection is made anew
 * by the browser where it breaks, and begins with a snapshot each time.
 */
export function follow(handlers) {
  const source = new EventSource("/api/v1/events");
  for (const [kind, handle] of Object.entries(handlers)) {
    if (kind === "lost") continue;
    source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  }
  source.addEventListener("error", () => {
    handlers.lost?.();
    // Where the browser gives up, as it does when there are too many readers.
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => follow(handlers), 5000);
    }
  });
  addEventListener("pagehide", () => source.close(), { once: true });
}

const UNKNOWN = "–";
const PREFIXES = ["", "k", "M", "G", "T", "P"];

/** Writes a rate: `1.23 Gbit/s`. */
export function rate(bits) {
  if (bits == null) return UNKNOWN;
  let power = 0;
  let value = bits;
  while (value >= 999.5 && power < PREFIXES.length - 1) {
    value /= 1000;
    power += 1;
  }
  const digits = value >= 100 || power === 0 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${PREFIXES[power]}bit/s`;
}

/** Writes a time that is given in microseconds. */
export function micros(value) {
  if (value == null) return UNKNOWN;
  if (value < 1000) return `${value} µs`;
  return value < 1e6 ? `${(value / 1000).toFixed(value < 10000 ? 2 : 1)} ms` : `${(value / 1e6).toFixed(2)} s`;
}

/** Writes what did not arrive, or had to go again. */
export function loss(point) {
  if (point?.lost != null) {
    const all = point.lost + (point.received ?? 0);
    return all > 0 ? `${((100 * point.lost) / all).toFixed(2)} %` : "0 %";
  }
  return point?.resent == null ? UNKNOWN : `${point.resent} resent`;
}

const DIRECTIONS = { forward: "to the server", reverse: "to the client", bidirectional: "both ways" };
export const direction = (name) => DIRECTIONS[name] ?? name;

const STAGES = {
  preparing: "preparing", queued: "queued", running: "running", visiting: "visiting",
  connecting: "connecting", complete: "complete", stopped: "stopped", failed: "failed",
};

/** Makes the mark that tells how far something is, in words and by a sign. */
export function stage(name) {
  return make("span", { class: "stage", "data-stage": name }, STAGES[name] ?? name);
}

/** Makes a list of figures: `[class, name, value]` each. */
export function figures(rows) {
  const list = make("dl", { class: "figures" });
  for (const [kind, name, value] of rows) {
    list.append(make("div", { class: kind }, make("dt", {}, name), make("dd", {}, value)));
  }
  return list;
}

/** Replaces what an element holds, unless it is the same. */
export function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
