// The password, and back to where it was asked for.
import { ask, by, me, put, say } from "/assets/common.js";

/** Returns the page to go on with: one of this site, whatever the address says. */
function onwards() {
  const to = new URL(new URLSearchParams(location.search).get("to") ?? "/", location.origin);
  return to.origin === location.origin ? to.pathname : "/";
}

by("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  put(by("wrong"), "");
  by("enter").disabled = true;
  try {
    await ask("/api/v1/login", { password: by("password").value });
    location.assign(onwards());
  } catch (error) {
    put(by("wrong"), error.message);
    by("password").select();
  }
  by("enter").disabled = false;
});

try {
  const hasPassword = (await me()).ways.includes("password");
  by("cannot").hidden = hasPassword;
  by("form").hidden = !hasPassword;
} catch (error) {
  say(error.message);
}
