// What the server permits, and what it has counted.
import { ask, by, make, put, rate, say } from "/assets/common.js";

const REASONS = {
  flood: "too many connections that ask for nothing",
  no_hello: "no hello in time",
  stranger: "spoke no known protocol",
  unexpected: "a stream that no test expects",
  busy: "no room left",
  draining: "the server is about to stop",
  denied: "not permitted",
  unsupported: "not possible here",
};

function fill(id, rows) {
  const table = by(id);
  const lines = rows.length > 0 ? rows : [["none yet", ""]];
  table.replaceChildren(...lines.map(([name, value]) =>
    make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }, String(value)))));
}

async function refresh() {
  const status = await ask("/api/v1/server");
  const { limits, watching } = status;
  put(by("summary"), `polyperf ${status.version}, ${status.serving ? "takes new tests" : "takes no new tests"}`);
  fill("now", [
    ["Tests that run", status.running], ["Tests that wait", status.waiting],
    ["Tests served", status.served], ["Who watches", `${watching.readers} of ${watching.max_readers}`],
  ]);
  fill("limits", [
    ["Tests at once", limits.max_sessions], ["Tests in the queue", limits.max_queue],
    ["Longest test", `${limits.max_duration_s} s`],
    ["All tests together", limits.max_rate == null ? "as fast as it goes" : rate(limits.max_rate)],
  ]);
  fill("addresses", status.addresses.map(({ transport, address }) => [transport, address]));
  fill("accepted", Object.entries(status.accepted));
  fill("rejected", Object.entries(status.rejected).map(([reason, count]) => [REASONS[reason] ?? reason, count]));
  by("tables").hidden = false;
  say("");
}

async function again() {
  if (!document.hidden) {
    try {
      await refresh();
    } catch (error) {
      say(error.message);
    }
  }
  setTimeout(again, 2000);
}

again();
