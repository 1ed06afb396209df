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

export class SalesTiles {
  constructor(list) {
    this.revenue = new Tile(list, "revenue", "Revenue");
    this.orders = new Tile(list, "orders", "Orders");
    this.units = new Tile(list, "units", "Units");
    this.average = new Tile(list, "average-order", "Average order");
  }

  /**
   * @param trends `{revenue, orders, quantity}`, each a list of numbers over time
   * @param unread rows whose revenue could not be read
   */
  show({ revenue, orders, quantity }, trends, unread) {
    this.revenue.show(formatMoney(revenue), toDecimalString(revenue, 2), {
      title: formatExactMoney(revenue),
      note: unread > 0 ? `without ${formatInteger(unread)} ${unread === 1 ? "line" : "lines"} whose amount cannot be read` : "",
      trend: trends.revenue,
    });
    this.orders.show(formatCount(orders), toDecimalString(orders), { trend: trends.orders });
    this.units.show(formatCount(quantity), toDecimalString(quantity), { trend: trends.quantity });
    const average = orders > 0n ? (revenue * SCALE) / orders : null;
    this.average.show(average === null ? "–" : formatMoney(average), null, { note: "revenue per order" });
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
