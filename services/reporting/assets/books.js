// The books: every event received has exactly one outcome.

import { byId, el, icon, setAttributes, setText, syncChildren } from "./dom.js";
import { formatInteger, formatMoment } from "./format.js";
import { showLedger, showTable } from "./bars.js";
import { getJson } from "./api.js";

const OUTCOMES = [
  ["counted", "counted"],
  ["late", "late"],
  ["duplicate", "duplicate"],
  ["dead_lettered", "dead-lettered"],
  ["in_flight", "in flight"],
];
const COLUMNS = ["received", "accepted", "rejected", "counted", "late", "duplicate", "dead_lettered", "in_flight"];
const DEAD_LETTERS_SHOWN = 25;

export function showBooks(books) {
  const { totals } = books;
  const settling = !books.balanced && totals.in_flight > 0;
  const state = books.balanced ? "balanced" : settling ? "settling" : "unbalanced";
  const mark = byId("books-mark");
  if (mark.dataset.state !== state) {
    setAttributes(mark, { "data-state": state, "data-balanced": String(books.balanced) });
    const text = { balanced: "Balanced", settling: "Settling", unbalanced: "Not balanced" }[state];
    mark.replaceChildren(icon(books.balanced ? "check" : settling ? "dots" : "cross"), text);
  }

  syncChildren(
    byId("equation"),
    [["received", "received"], ...OUTCOMES.filter(([name]) => name !== "in_flight" || totals.in_flight > 0)],
    ([name]) => name,
    ([name, label]) => el("span", { class: "term", "data-outcome": name }, el("b"), el("span", {}, label)),
    (term, [name, label]) => {
      setText(term.firstElementChild, formatInteger(totals[name]));
      const byOrder = name === "duplicate" && totals.repeated > 0;
      setText(term.lastElementChild, byOrder ? `${label} (${formatInteger(totals.repeated)} of them by order)` : label);
    },
  );

  const whole = Math.max(1, totals.received);
  syncChildren(
    byId("outcome-bar"),
    OUTCOMES,
    ([name]) => name,
    ([name]) => el("i", { "data-outcome": name }),
    (part, [name]) => {
      part.style.flexGrow = String(totals[name] / whole);
      part.hidden = totals[name] === 0;
    },
  );

  const left = showLedger(byId("ledger"), books.sources, COLUMNS);
  byId("ledger-more").hidden = left === 0;
  setText(byId("ledger-more"), `and ${left} smaller ${left === 1 ? "source" : "sources"}; all of them are at /v1/books`);
}

/** Fetches the dead letters when their list is opened. */
export function watchDeadLetters(onError) {
  const details = byId("dead-letters");
  details.addEventListener("toggle", () => {
    if (details.open) loadDeadLetters(details.lastElementChild).catch((error) => {
      if (error.status !== 403) return onError(error);
      const told = "They take a key that may operate, which no page keeps: `tidemill dlq list` shows them.";
      details.lastElementChild.replaceChildren(el("p", { class: "empty" }, told));
    });
  });
}

async function loadDeadLetters(container) {
  const { dead_letters: letters } = await getJson("/v1/dead-letters", { limit: DEAD_LETTERS_SHOWN });
  if (letters.length === 0) {
    container.replaceChildren(el("p", { class: "empty" }, "No event has been dead-lettered."));
    return;
  }
  showTable(
    container,
    "Recent dead letters",
    ["Failed at", "State", "Events", "Service", "Code", "Reason", "Source", "Event"],
    letters.map((letter) => [
      formatMoment(Date.parse(letter.failed_at)),
      letter.state.replace("_", " "),
      letter.kept ? formatInteger(letter.count) : `${formatInteger(letter.count)}, not kept`,
      letter.service,
      letter.code,
      letter.reason,
      letter.source ?? "–",
      letter.event_id ?? "–",
    ]),
  );
}
