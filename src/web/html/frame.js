// Logging in and out, on every page.
import { ask, by, me, say } from "/assets/common.js";

const here = location.pathname + location.search;
try {
  const who = await me();
  const logIn = by("log-in");
  logIn.hidden = who.admin || !who.ways.includes("password") || location.pathname === "/login";
  logIn.href = `/login?to=${encodeURIComponent(here)}`;
  by("log-out").hidden = !who.admin;
} catch (error) {
  say(error.message);
}

by("log-out").addEventListener("click", async () => {
  try {
    await ask("/api/v1/logout", {});
    location.reload();
  } catch (error) {
    say(error.message);
  }
});
