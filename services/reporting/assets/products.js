// The page of products: what is recommended with one, and what is popular; with reasons.
//
// Recommendation answers under this page's own address: the all-in-one does so by itself,
// and whoever runs the services apart routes /v1/recommendations to it.

import { getJson } from "./api.js";
import { byId, el, setAttributes, setText, syncChildren } from "./dom.js";
import { formatClock, formatFull } from "./format.js";
import { askForKey, isAskingForKey, setUpLogin } from "./login.js";
import { setUpTheme } from "./theme.js";

const ROOT = "/v1/recommendations";
/** Items of a list. */
const SHOWN = 10;
/** How often the lists are asked for anew. */
const REFRESH_MS = 10_000;

/**
 * Each list: where it is asked for, and what it says where there is nothing. What is filled up
 * alone, by nothing of the `strategy` that it is for, says `instead` above it.
 */
const LISTS = {
  similar: {
    path: (item) => `${ROOT}/similar/${encodeURIComponent(item)}`,
    since: (item) => `to ${item}`,
    empty: "Nothing was seen in the same visits yet.",
    strategy: "similar",
    instead: "Nothing was seen in the same visits yet. This is popular anyway:",
  },
  together: {
    path: (item) => `${ROOT}/bought-together/${encodeURIComponent(item)}`,
    since: (item) => `with ${item}`,
    empty: "Nothing was ordered together with it often enough yet.",
  },
  popular: { path: () => `${ROOT}/popular`, empty: "Nothing was viewed or ordered yet." },
  trending: { path: () => `${ROOT}/trending`, empty: "Nothing was viewed or ordered lately." },
};
const OF_ITEM = ["similar", "together"];

let chosen = null;
/** Grows with every choice: an answer to an earlier one comes too late. */
let generation = 0;

/** Asks for the lists, and shows each as it comes. */
async function load(names = Object.keys(LISTS)) {
  const asked = generation;
  const wanted = names.filter((name) => chosen !== null || !OF_ITEM.includes(name));
  const results = await Promise.allSettled(wanted.map((name) => loadList(name, asked)));
  if (asked !== generation) return;
  const failed = results.find(({ status }) => status === "rejected");
  showError(failed?.reason ?? null);
}

async function loadList(name, asked) {
  try {
    const answer = await getJson(LISTS[name].path(chosen), { n: SHOWN });
    if (asked !== generation && OF_ITEM.includes(name)) return;
    showList(name, answer.items, noteOf(LISTS[name], answer.items));
    tellTime(answer.as_of);
  } catch (error) {
    // What is shown stays: it was true, and the notice says that it is old.
    const list = byId(name).querySelector("ol");
    if (list.childElementCount === 0) showList(name, [], "It could not be loaded.");
    throw error;
  }
}

/** What is said above a list; nothing where it speaks for itself. */
function noteOf({ empty, strategy, instead }, items) {
  if (items.length === 0) return empty;
  return strategy !== undefined && items.every(({ reason }) => reason.strategy !== strategy) ? instead : "";
}

function showList(name, items, told) {
  const section = byId(name);
  const [list, note] = [section.querySelector("ol"), section.querySelector(".empty")];
  setText(note, told);
  note.hidden = told === "";
  setAttributes(section, { "aria-busy": null });
  syncChildren(
    list,
    items,
    ({ item }) => item,
    ({ item }) => {
      const pick = el("button", { type: "button", class: "product" }, item);
      pick.addEventListener("click", () => choose(item));
      return el("li", { "data-testid": "recommended", "data-item": item }, pick, el("span", { class: "category" }), el("span", { class: "reason" }));
    },
    (row, { item, category, reason }) => {
      const [pick, of, why] = row.children;
      setAttributes(pick, { "aria-pressed": String(item === chosen) });
      setText(of, category ?? "");
      setText(why, reasonText(reason));
    },
  );
  for (const { item } of items) remember(item);
}

function reasonText({ text, lift }) {
  return lift === undefined ? text : `${text}, ${lift.toFixed(1)} × as often as by chance`;
}

/** Products that were shown are offered where one is typed. */
function remember(item) {
  const known = byId("known");
  if ([...known.children].some(({ value }) => value === item)) return;
  known.append(el("option", { value: item }));
}

function choose(item, isNew = true) {
  generation += 1;
  chosen = item;
  byId("item").value = item ?? "";
  if (isNew) history.pushState(null, "", `/products?item=${encodeURIComponent(item)}`);
  for (const name of OF_ITEM) {
    setText(byId(name).querySelector(".since"), item === null ? "" : LISTS[name].since(item));
    showList(name, [], item === null ? "Choose a product." : "Loading …");
    setAttributes(byId(name), { "aria-busy": item === null ? null : "true" });
  }
  for (const pick of document.querySelectorAll(".product")) setAttributes(pick, { "aria-pressed": String(pick.textContent === item) });
  if (item !== null) setText(byId("announcer"), `What goes with ${item}`);
  load(OF_ITEM);
}

function showError(error) {
  const notice = byId("notice");
  if (error?.status === 401) {
    notice.hidden = true;
    askForKey();
    return;
  }
  notice.hidden = error === null;
  if (error === null) return;
  const told = error.status === 404
    ? `Nobody answers ${ROOT} here: route it to the recommendation service under this address.`
    : `Some lists could not be loaded: ${error.message}. Trying again.`;
  setText(notice, told);
}

function tellTime(asOf) {
  const ms = Date.parse(asOf);
  const node = byId("as-of");
  setAttributes(node, { datetime: new Date(ms).toISOString(), title: formatFull(ms) });
  setText(node, formatClock(ms));
}

const itemOfAddress = () => new URLSearchParams(location.search).get("item") || null;

setUpTheme(byId("theme"), () => {});
setUpLogin(() => load());
byId("pick").addEventListener("submit", (event) => {
  event.preventDefault();
  const item = byId("item").value.trim();
  if (item !== "") choose(item);
});
addEventListener("popstate", () => choose(itemOfAddress(), false));
for (const name of Object.keys(LISTS)) showList(name, [], "Loading …");
choose(itemOfAddress(), false);
load(["popular", "trending"]);
setInterval(() => document.hidden || isAskingForKey() || load(), REFRESH_MS);
