// Logging in with a key, where the API asks for one.
//
// The key is sent once, for a cookie that reads and that no script sees.

import { byId, setText } from "./dom.js";

/** Whether this browser has logged in, as far as a page can know. */
const MARK = "tidemill.session";

/** Wires the form and the button; `onLogin` runs when the API can be read. */
export function setUpLogin(onLogin) {
  const card = byId("login");
  const field = byId("login-key");
  const button = byId("logout");
  button.hidden = !marked();
  byId("login-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const problem = await send("POST", JSON.stringify({ key: field.value.trim() }));
    byId("login-error").hidden = problem === null;
    if (problem !== null) {
      setText(byId("login-error"), problem);
      field.select();
      return;
    }
    field.value = "";
    mark(true);
    button.hidden = false;
    card.hidden = true;
    onLogin();
  });
  button.addEventListener("click", async () => {
    await send("DELETE");
    mark(false);
    // What is shown goes too.
    location.reload();
  });
}

/** Shows the form, once for each time that a key is needed. */
export function askForKey() {
  const card = byId("login");
  if (!card.hidden) return;
  card.hidden = false;
  byId("login-key").focus();
}

export const isAskingForKey = () => !byId("login").hidden;

/** What is wrong, or null. */
async function send(method, body) {
  try {
    const response = await fetch("/v1/session", { method, headers: body ? { "content-type": "application/json" } : {}, body });
    if (response.ok) return null;
    if (response.status === 401) return "No key like that is known here.";
    const problem = await response.json().catch(() => ({}));
    return problem.detail ?? problem.title ?? `The answer was ${response.status}`;
  } catch (error) {
    return error.message;
  }
}

// A browser may forbid storage; the button then lasts as long as the page.
function marked() {
  try {
    return localStorage.getItem(MARK) !== null;
  } catch {
    return false;
  }
}

function mark(loggedIn) {
  try {
    if (loggedIn) localStorage.setItem(MARK, "1");
    else localStorage.removeItem(MARK);
  } catch {
    return;
  }
}
