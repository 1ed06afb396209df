// The tiles with the key figures.

import { el, setAttributes, setText, svg } from "./dom.js";
import { formatExactMoney, formatInteger, formatCount, formatMoney, formatPercent } from "./format.js";
import { SCALE, toDecimalString } from "./money.js";

const SPARK_POINTS = 40;
/** From this many characters on a figure is set smaller. */
const LONG = 14;

/** One tile: a name, a figure (its exact value in `data-value`), a note, a line. */
class Tile {
  constructor(list, key, name, note = "") {
    this.value = el("dd", { class: "kpi-value" }, "–");
    this.note = el("dd", { class: "kpi-note" }, note);
    this.line = svg("path");
    this.spark = svg("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }, this.line);
    this.root = el("div", { class: "kpi", "data-testid": `kpi-${key}` }, el("dt", {}, name), this.value, this.note);
    list.append(this.root);
  }

  show(text, exact, { note, title, tone, trend } = {}) {
    setText(this.value, text);
    setAttributes(this.root, { "data-value": exact, "data-tone": tone, "data-long": text.length >= LONG ? "" : null, title });
    if (note !== undefined) setText(this.note, note);
    if (trend && trend.length > 1) {
      setAttributes(this.line, { d: sparkPath(trend) });
      if (!this.spark.isConnected) this.root.append(this.spark);
    } else this.spark.remove();
  }
}

const lines = (count) => `${formatInteger(count)} ${count === 1 ? "line" : "lines"}`;
/** An amount as it was paid; that of an unknown currency says so. */
const paidIn = (code, units) => (/^[A-Z]{3}$/.test(code) ? formatExactMoney(units, code) : `${formatExactMoney(units, null)} of an unknown currency`);

export class SalesTiles {
  constructor(list) {
    this.revenue = new Tile(list, "revenue", "Revenue");
    this.orders = new Tile(list, "orders", "Orders");
    this.units = new Tile(list, "units", "Units");
    this.average = new Tile(list, "average-order", "Average order");
  }

  /**
   * @param trends `{revenue, orders, quantity}`, each a list of numbers over time
   * @param money `{currency, isKnown, byCurrency, unread, unconverted}`: the currency of `revenue`, and whether it is
   *   known in one; what was paid in each; rows without an amount, and rows without a rate
   */
  show({ revenue, orders, quantity }, trends, { currency, isKnown, byCurrency, unread, unconverted }) {
    const paid = byCurrency.map(([code, units]) => paidIn(code, units));
    this.revenue.show(isKnown ? formatMoney(revenue, currency) : paid.join(" · "), isKnown ? toDecimalString(revenue, 2) : null, {
      title: isKnown ? formatExactMoney(revenue, currency) : null,
      note: [
        isKnown && byCurrency.length > 1 ? `from ${paid.join(", ")}` : "",
        isKnown && unconverted > 0 ? `without ${lines(unconverted)} that no rate converts` : "",
        unread > 0 ? `without ${lines(unread)} whose amount cannot be read` : "",
      ]
        .filter((part) => part !== "")
        .join("; "),
      trend: isKnown ? trends.revenue : undefined,
    });
    this.orders.show(formatCount(orders), toDecimalString(orders), { trend: trends.orders });
    this.units.show(formatCount(quantity), toDecimalString(quantity), { trend: trends.quantity });
    // Orders that are not in the revenue would make it too low.
    const average = orders > 0n && isKnown && unconverted === 0 ? (revenue * SCALE) / orders : null;
    this.average.show(average === null ? "–" : formatMoney(average, currency), null, { note: "revenue per order" });
  }
}

export class EventTiles {
  constructor(list) {
    this.received = new Tile(list, "received", "Received");
    this.late = new Tile(list, "late", "Late");
    this.duplicate = new Tile(list, "duplicate", "Duplicates");
    this.deadLettered = new Tile(list, "dead-lettered", "Dead letters");
  }

  show({ received, late, duplicate, dead_lettered: deadLettered }) {
    const part = (value) => (received > 0 ? `${formatPercent(value / received)} of received` : "none received");
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
