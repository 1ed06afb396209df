// The tiles with the key figures.

import { el, setAttributes, setText, svg } from "./dom.js";
import { formatExactMoney, formatInteger, formatCount, formatMoney, formatPercent } from "./format.js";
import { SCALE, toDecimalString } from "./money.js";

const SPARK_POINTS = 40;
/** From this many characters on a figure is set smaller. */
const LONG = 14;

/**
 * One tile: a name, a figure (its exact value in `data-value`), a note, and for most a line. What is
 * always there is there before the figures are, so that nothing moves when they come.
 */
class Tile {
  constructor(list, key, name, { note = "", hasLine = false } = {}) {
    this.value = el("dd", { class: "kpi-value" }, "–");
    this.note = el("dd", { class: "kpi-note" }, note);
    this.line = svg("path");
    this.spark = svg("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }, this.line);
    this.name = el("dt", {}, name);
    this.root = el("div", { class: "kpi", "data-testid": `kpi-${key}` }, this.name, this.value, this.note, hasLine ? this.spark : null);
    list.append(this.root);
  }

  rename(name) {
    setText(this.name, name);
  }

  show(text, exact, { note, title, tone, trend } = {}) {
    setText(this.value, text);
    setAttributes(this.root, { "data-value": exact, "data-tone": tone, "data-long": text.length >= LONG ? "" : null, title });
    if (note !== undefined) setText(this.note, note);
    setAttributes(this.line, { d: trend && trend.length > 1 ? sparkPath(trend) : null });
  }
}

/** A count in units. */
const ordersOf = (count) => `${formatCount(count)} ${count === SCALE ? "order" : "orders"}`;
const lines = (count) => `${formatInteger(count)} ${count === 1 ? "line" : "lines"}`;
const rows = (count) => `${formatInteger(count)} ${count === 1 ? "order, refund or cancellation" : "orders, refunds and cancellations"}`;
/** An amount as it was paid; that of an unknown currency says so. */
const paidIn = (code, units) => (/^[A-Z]{3}$/.test(code) ? formatExactMoney(units, code) : `${formatExactMoney(units, null)} of an unknown currency`);

/** What net is made of; all but the first and the last are taken off. */
const PARTS = [
  ["gross", "Gross"],
  ["discounts", "− discounts"],
  ["refunds", "− refunds"],
  ["cancelled", "− cancelled"],
  ["net", "= Net"],
];

const OF_NET = "gross less discounts, refunds and cancelled";
const OF_AVERAGE = "revenue per order, before refunds";

export class SalesTiles {
  constructor(list) {
    this.net = new Tile(list, "net", "Net", { note: OF_NET, hasLine: true });
    this.orders = new Tile(list, "orders", "Orders", { hasLine: true });
    this.units = new Tile(list, "units", "Units", { hasLine: true });
    this.average = new Tile(list, "average-order", "Average order", { note: OF_AVERAGE });
  }

  /**
   * @param figures `{net, orders, quantity}` in units; null where nothing says how many
   * @param trends `{net, orders, quantity}`, each a list of numbers over time
   * @param money `{isNet, currency, isKnown, byCurrency, unread, unconverted, average, lacks}`: whether net is net, and not revenue
   *   for want of it; the currency of the amounts, and whether they are known in one; net in each; rows without an amount,
   *   and rows without a rate; the orders' average, as `MetricModel.average` tells it; and what orders and units lack
   */
  show({ net, orders, quantity }, trends, { isNet, currency, isKnown, byCurrency, unread, unconverted, average, lacks }) {
    const paid = byCurrency.map(([code, units]) => paidIn(code, units));
    this.net.rename(isNet ? "Net" : "Revenue");
    this.net.show(isKnown ? formatMoney(net, currency) : paid.join(" · "), isKnown ? toDecimalString(net, 2) : null, {
      title: isKnown ? formatExactMoney(net, currency) : null,
      note: [
        isNet ? OF_NET : "",
        isKnown && byCurrency.length > 1 ? `from ${paid.join(", ")}` : "",
        isKnown && unconverted > 0 ? `without ${rows(unconverted)} whose amount in ${currency} is not known` : "",
        unread > 0 ? `without ${lines(unread)} whose amount cannot be read` : "",
      ]
        .filter((part) => part !== "")
        .join("; "),
      trend: isKnown ? trends.net : undefined,
    });
    this.orders.show(orders === null ? "–" : formatCount(orders), orders === null ? null : toDecimalString(orders), { note: lacks.orders, trend: trends.orders });
    this.units.show(formatCount(quantity), toDecimalString(quantity), { note: lacks.quantity, trend: trends.quantity });
    this.#showAverage(average, currency);
  }

  #showAverage({ sum, count, left }, currency) {
    const value = count > 0n ? (sum * SCALE) / count : null;
    // They lack a rate, or were converted to another base currency.
    const without = left > 0n ? `without ${ordersOf(left)} whose amount in ${currency ?? "one currency"} is not known` : "";
    const note = [OF_AVERAGE, without].filter((part) => part !== "").join("; ");
    const exact = value === null ? null : toDecimalString(value, 2);
    this.average.show(value === null ? "–" : formatMoney(value, currency), exact, { note, title: without || null });
  }
}

/** How net is made, in a line. */
export class Breakdown {
  constructor(list) {
    this.list = list;
    this.figures = PARTS.map(([key, name]) => {
      const figure = el("dd", {}, "–");
      list.append(el("div", { "data-testid": `part-${key}` }, el("dt", {}, name), figure));
      return [key, figure];
    });
  }

  /** @param amounts units by part; null where they are not known in one currency */
  show(amounts, currency) {
    this.list.hidden = amounts === null;
    if (amounts === null) return;
    for (const [key, figure] of this.figures) {
      setText(figure, formatMoney(amounts[key], currency));
      setAttributes(figure.parentElement, { "data-value": toDecimalString(amounts[key], 2) });
    }
  }
}

const NONE_RECEIVED = "none received";

export class EventTiles {
  constructor(list) {
    const note = NONE_RECEIVED;
    this.received = new Tile(list, "received", "Received", { note: "events over HTTP" });
    this.late = new Tile(list, "late", "Late", { note });
    this.duplicate = new Tile(list, "duplicate", "Duplicates", { note });
    this.deadLettered = new Tile(list, "dead-lettered", "Dead letters", { note });
  }

  show({ received, late, duplicate, dead_lettered: deadLettered }) {
    const part = (value) => (received > 0 ? `${formatPercent(value / received)} of received` : NONE_RECEIVED);
    this.received.show(formatInteger(received), received, { note: "events over HTTP" });
    this.late.show(formatInteger(late), late, { note: part(late), tone: late > 0 ? "late" : null });
    this.duplicate.show(formatInteger(duplicate), duplicate, { note: part(duplicate), tone: duplicate > 0 ? "duplicate" : null });
    this.deadLettered.show(formatInteger(deadLettered), deadLettered, {
      note: part(deadLettered),
      tone: deadLettered > 0 ? "dead" : null,
    });
  }
}

/** A line through the values, thinned to what a tile can show. */
function sparkPath(values) {
  const size = Math.ceil(values.length / SPARK_POINTS);
  const sums = [];
  for (let at = 0; at + size <= values.length; at += size) {
    sums.push(values.slice(at, at + size).reduce((sum, value) => sum + value, 0));
  }
  const high = Math.max(...sums, 0) || 1;
  const step = 100 / Math.max(1, sums.length - 1);
  return sums.map((value, at) => `${at ? "L" : "M"}${(at * step).toFixed(1)} ${(22 - (20 * Math.max(0, value)) / high).toFixed(1)}`).join("");
}
