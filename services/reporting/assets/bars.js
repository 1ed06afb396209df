// Sorted bars, as tables: a reader of any kind gets name, figure and share.

import { el, setAttributes, setText, syncChildren } from "./dom.js";
import { formatCount, formatInteger, formatMoney, formatShare, share } from "./format.js";
import { toDecimalString } from "./money.js";

const MAX_ROWS = 12;

/**
 * @param table the table to fill
 * @param rows `[[name, units]]`, largest first
 * @param currency the currency of the figures
 * @param describe `(name) => {attributes, property}`: attributes of the row, colour of the bar
 */
export function showBars(table, rows, currency, describe) {
  const shown = rows.slice(0, MAX_ROWS);
  const rest = rows.slice(MAX_ROWS).reduce((sum, [, value]) => sum + value, 0n);
  const others = rows.length - shown.length;
  if (others > 0) shown.push([`${others} more`, rest]);
  const whole = rows.reduce((sum, [, value]) => sum + value, 0n);
  const highest = rows.length > 0 ? rows[0][1] : 0n;

  table.hidden = rows.length === 0;
  table.nextElementSibling.hidden = rows.length > 0;
  syncChildren(
    table.tBodies[0],
    shown,
    ([name]) => name,
    () =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }, el("span", { class: "bar-name" }), el("span", { class: "bar-track" }, el("i", { class: "bar" }))),
        el("td", { class: "bar-value" }),
        el("td", { class: "bar-share" }),
      ),
    (row, [name, value]) => {
      const { attributes, property } = describe(name);
      setAttributes(row, { ...attributes, "data-value": toDecimalString(value, 2) });
      const [head, figure, part] = row.children;
      const bar = head.lastElementChild.firstElementChild;
      setText(head.firstElementChild, name);
      bar.style.width = `${100 * barOf(share(value, highest))}%`;
      bar.style.background = `var(${property})`;
      setText(figure, formatMoney(value, currency));
      setText(part, formatShare(share(value, whole)));
      setAttributes(part, { title: whole > 0n ? null : NO_WHOLE });
    },
  );
}

const NO_WHOLE = "All together is nothing or less, of which there are no shares";

/** How long a bar is, from 0 to 1: what is less than nothing has none. */
const barOf = (part) => Math.min(1, Math.max(0, part ?? 0));

/** The steps from a view to an order: `[[name, units]]`, views first. */
export function showFunnel(table, steps) {
  const views = steps[0]?.[1] ?? 0n;
  table.hidden = views === 0n;
  syncChildren(
    table.tBodies[0],
    steps,
    ([name]) => name,
    () =>
      el(
        "tr",
        {},
        el("th", { scope: "row" }),
        el("td", { class: "funnel-track" }, el("i", { class: "bar" })),
        el("td", { class: "bar-value" }),
        el("td", { class: "bar-share" }),
      ),
    (row, [name, value]) => {
      const [head, track, figure, part] = row.children;
      setAttributes(row, { "data-step": name.toLowerCase(), "data-value": toDecimalString(value) });
      setText(head, name);
      track.firstElementChild.style.width = `${100 * barOf(share(value, views))}%`;
      setText(figure, formatCount(value));
      setText(part, formatShare(share(value, views)));
    },
  );
}

/** Fills `container` with a plain table. Cells are text; the first `words` columns hold words, and not figures. */
export function showTable(container, caption, columns, rows, words = 1) {
  const kind = (at) => (at < words ? { class: "word" } : {});
  container.replaceChildren(
    el(
      "table",
      { class: "plain" },
      el("caption", { class: "visually-hidden" }, caption),
      el("thead", {}, el("tr", {}, ...columns.map((name, at) => el("th", { scope: "col", ...kind(at) }, name)))),
      el(
        "tbody",
        {},
        ...rows.map(([head, ...cells]) => el("tr", {}, el("th", { scope: "row", ...kind(0) }, head), ...cells.map((cell, at) => el("td", kind(at + 1), cell)))),
      ),
    ),
  );
}

/** Fills the ledger's rows. Returns how many sources were left out. */
export function showLedger(table, sources, columns) {
  const ordered = [...sources].sort((a, b) => b.received - a.received);
  const shown = ordered.slice(0, MAX_ROWS);
  syncChildren(
    table.tBodies[0],
    shown,
    ({ source }) => source,
    () => el("tr", {}, el("th", { scope: "row" }), ...columns.map(() => el("td")), el("td")),
    (row, source) => {
      setText(row.children[0], source.source);
      columns.forEach((name, at) => setText(row.children[at + 1], formatInteger(source[name])));
      const last = row.lastElementChild;
      setText(last, source.balanced ? "✓ yes" : "✗ no");
      setAttributes(last, { class: source.balanced ? "good" : "bad" });
    },
  );
  return ordered.length - shown.length;
}
