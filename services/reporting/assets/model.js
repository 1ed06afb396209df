// What the page knows about one metric in the chosen span.
//
// Recent windows are held as cells, one per (window, dimensions), because the
// stream overwrites them one by one with absolute values. Older windows are
// held as what the page shows of them: totals by dimensions, and a history by
// one dimension for the chart. So the memory of a page that is left open is
// bounded by the recent windows, not by the length of the span.

import { bucketsOf, Calendar } from "./calendar.js";
import { parseUnits, toApproximateNumber } from "./money.js";

const SEPARATOR = "\u001f";
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const BUCKET_MINUTES = [1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440, 10_080, 43_200];
const MAX_BUCKETS = 180;
/** How long a point of the history is at most, by the resolution that it has. */
export const RESOLUTION_MS = { minute: MINUTE, hour: 60 * MINUTE, day: 1440 * MINUTE, week: 10_080 * MINUTE, month: 44_640 * MINUTE, year: 527_040 * MINUTE };

/** Where a point of the stream went. */
export const Applied = Object.freeze({
  /** A recent window: the figures are up to date. */
  Live: "live",
  /** A window that is only held in sum: the history must be fetched again. */
  History: "history",
  /** Before the span or after it: nothing to do. */
  Outside: "outside",
});

export class MetricModel {
  /** The currencies, until something changes. */
  #seen = null;

  /**
   * @param name metric name
   * @param measures the measures to keep. Each must add up over windows and over
   *   the dimensions that the page does not show, and `total` and `totalByCurrency`
   *   are asked only of those that add up over all
   * @param chartDimension the dimension that the chart splits by
   */
  constructor(name, measures, chartDimension) {
    this.name = name;
    this.measures = measures;
    this.chartDimension = chartDimension;
    this.dimensions = [];
    /** The measures that are money. */
    this.money = new Set();
    /** The measures that the metric has. */
    this.known = new Set();
    this.calendar = new Calendar();
    this.base = null;
    this.windowMs = MINUTE;
    this.defined = false;
    this.clear(-Infinity, -Infinity);
  }

  /** Takes the metric's definition from the API, or undefined if there is none. */
  define(definition) {
    this.defined = definition !== undefined;
    if (!definition) return;
    this.dimensions = definition.dimensions;
    this.money = new Set(definition.measures?.filter(({ money }) => money).map(({ name }) => name) ?? []);
    this.known = new Set(definition.measures?.map(({ name }) => name) ?? []);
    this.windowMs = definition.window.seconds * 1000;
  }

  /** Whether the metric has this measure: a shop's own may not. */
  has(measure) {
    return this.defined && this.known.has(measure);
  }

  /** Forgets everything. Cells hold windows that start at or after `liveFrom`, and before `spanTo`. */
  clear(spanFrom, liveFrom, spanTo = Infinity) {
    this.spanFrom = spanFrom;
    this.spanTo = spanTo;
    this.liveFrom = liveFrom;
    this.cells = new Map();
    this.rows = [];
    this.history = [];
    this.historyMs = 0;
    this.#seen = null;
  }

  /** The shop's base currency, where an answer names it. */
  setBase(currency) {
    this.base = currency ?? this.base;
  }

  /** The currencies of the span, in order; those of a metric without money are none. */
  get currencies() {
    if (this.#seen) return this.#seen;
    const seen = new Set();
    const see = ({ dimensions }) => seen.add(dimensions.currency ?? UNKNOWN);
    if (this.money.size > 0) {
      this.rows.forEach(see);
      this.cells.forEach(see);
      this.history.forEach(see);
    }
    return (this.#seen = [...seen].sort());
  }

  /** The currency of all amounts here: the only one of the span, else the base currency. Null where it is not known. */
  get currency() {
    const code = this.currencies.length > 1 ? this.base : this.currencies[0];
    return code === undefined || !/^[A-Z]{3}$/.test(code) ? null : code;
  }

  /** Whether all amounts here are in one currency. Otherwise nothing can be said of their sum. */
  get isComparable() {
    return this.currencies.length < 2 || this.currency !== null;
  }

  #isTold(measure) {
    return this.isComparable || !this.money.has(measure);
  }

  /** Amounts of several currencies are told in the base currency: they are never added as they are. */
  get #figures() {
    return this.currencies.length > 1 ? "inBase" : "own";
  }

  floor(ms) {
    return Math.floor(ms / this.windowMs) * this.windowMs;
  }

  /** Rows of `/totals` for the windows before `liveFrom`, by all dimensions. */
  setTotals(rows) {
    this.rows = rows.map((row) => this.#parse(row));
    this.#seen = null;
  }

  /**
   * Series of `/series` before `liveFrom`, by the chart's dimension, in windows or
   * what is longer. Days are those of the zone.
   */
  setHistory(series, resolution = "window", zone = "UTC") {
    this.calendar = new Calendar(zone);
    this.historyMs = RESOLUTION_MS[resolution] ?? 0;
    this.history = series.map(({ dimensions, points }) => ({
      dimensions,
      points: points.map((point) => ({ start: Date.parse(point.start), heights: heightsOf(this.#parse(point)) })),
    }));
    this.#seen = null;
  }

  /** Overwrites one window's values, or drops a retracted one. Returns one of `Applied`. */
  apply({ start, complete, retracted = false, dimensions, ...figures }) {
    const startMs = Date.parse(start);
    if (startMs < this.spanFrom || startMs >= this.spanTo) return Applied.Outside;
    if (startMs < this.liveFrom) return Applied.History;
    const key = [startMs, ...this.dimensions.map((name) => dimensions[name] ?? "")].join(SEPARATOR);
    this.#seen = null;
    if (retracted) {
      this.cells.delete(key);
      return Applied.Live;
    }
    const exact = this.#parse({ ...figures, dimensions });
    this.cells.set(key, { ...exact, start: startMs, complete, heights: heightsOf(exact) });
    return Applied.Live;
  }

  /** Moves the start of the span and drops the cells before it. */
  prune(spanFrom) {
    this.spanFrom = spanFrom;
    let dropped = false;
    for (const [key, cell] of this.cells) {
      if (cell.start < spanFrom) dropped = this.cells.delete(key);
    }
    this.#seen = null;
    return dropped;
  }

  get isEmpty() {
    return this.cells.size === 0 && this.rows.length === 0;
  }

  /** The exact sum of a measure over the span, in units. */
  total(measure) {
    const figures = this.#figures;
    let sum = 0n;
    for (const row of this.#all()) sum += row[figures][measure];
    return sum;
  }

  /** The exact sum of a measure over the span by currency, each as it was paid: `[[currency, units]]`. */
  totalByCurrency(measure) {
    const sums = new Map(this.currencies.map((currency) => [currency, 0n]));
    if (!this.money.has(measure)) return [];
    for (const { dimensions, own } of this.#all()) {
      const currency = dimensions.currency ?? UNKNOWN;
      sums.set(currency, sums.get(currency) + own[measure]);
    }
    return [...sums];
  }

  /** How many rows over the span count and have no value that the measure could read. */
  unread(measure) {
    let rows = 0;
    for (const { unread } of this.#all()) rows += unread[measure] ?? 0;
    return rows;
  }

  /** How many rows over the span have no amount in the currency of the figures. */
  unconverted(measure) {
    if (this.currencies.length < 2) return 0;
    let rows = 0;
    for (const { unconverted } of this.#all()) rows += unconverted[measure] ?? 0;
    return rows;
  }

  /**
   * What an average of money is made of, in the currency of the figures: the sum of
   * a measure, and what it is spread over. Rows of a currency that lacks a rate, be it
   * for a part of the span, are in neither: `left` says how many they count.
   * @returns {{sum: bigint, count: bigint, left: bigint}} units
   */
  average(measure, counted) {
    const figures = this.#figures;
    const found = { sum: 0n, count: 0n, left: 0n };
    for (const row of this.#all()) {
      const lacks = !this.#isTold(measure) || (figures === "inBase" && (row.unconverted[measure] ?? 0) > 0);
      if (lacks) found.left += row.own[counted];
      else {
        found.sum += row[figures][measure];
        found.count += row.own[counted];
      }
    }
    return found;
  }

  *#all() {
    yield* this.rows;
    yield* this.cells.values();
  }

  /** Exact sums of a measure by one dimension, largest first: `[[value, units]]`. */
  totalsBy(dimension, measure) {
    if (!this.#isTold(measure)) return [];
    const figures = this.#figures;
    const sums = new Map();
    for (const row of this.#all()) {
      const group = dimensionValue(row.dimensions, dimension);
      sums.set(group, (sums.get(group) ?? 0n) + row[figures][measure]);
    }
    return [...sums].sort(([a, x], [b, y]) => (x === y ? (a < b ? -1 : 1) : x < y ? 1 : -1));
  }

  /** The start of the earliest recent window that can still change, or null. */
  get openFrom() {
    let earliest = Infinity;
    for (const { complete, start } of this.cells.values()) {
      if (!complete && start < earliest) earliest = start;
    }
    return earliest === Infinity ? null : earliest;
  }

  /**
   * A measure over time by the chart's dimension, for drawing: buckets from the
   * first window with data to the last, empty ones as zero.
   * @returns {{step: number, starts: number[], groups: Map<string, number[]>}}
   */
  timeline(measure) {
    let first = Infinity;
    let last = -Infinity;
    this.#eachPoint((start) => {
      if (start < first) first = start;
      if (start > last) last = start;
    });
    if (first > last || !this.#isTold(measure)) return { step: this.windowMs, starts: [], groups: new Map() };

    const step = Math.max(this.windowMs, this.historyMs, bucketMs(last - first));
    const buckets = bucketsOf(step, this.calendar);
    const origin = buckets.of(first);
    const length = buckets.of(last) - origin + 1;
    const starts = Array.from({ length }, (_, index) => buckets.begins(origin + index));
    const groups = new Map();
    this.#eachPoint((start, group, height) => {
      let sums = groups.get(group);
      if (!sums) groups.set(group, (sums = new Array(length).fill(0)));
      sums[buckets.of(start) - origin] += height[measure];
    });
    return { step, starts, groups };
  }

  #eachPoint(visit) {
    const figures = this.#figures;
    for (const { dimensions, points } of this.history) {
      const group = dimensionValue(dimensions, this.chartDimension);
      for (const { start, heights } of points) visit(start, group, heights[figures]);
    }
    for (const { start, dimensions, heights } of this.cells.values()) {
      visit(start, dimensionValue(dimensions, this.chartDimension), heights[figures]);
    }
  }

  /** Exact figures: as they are, and with the amounts in the base currency. */
  #parse({ dimensions, values, converted = {}, unread = {}, unconverted = {} }) {
    const own = {};
    const inBase = {};
    for (const measure of this.measures) {
      own[measure] = parseUnits(values[measure] ?? 0);
      inBase[measure] = this.money.has(measure) ? parseUnits(converted[measure] ?? 0) : own[measure];
    }
    return { dimensions, own, inBase, unread, unconverted };
  }
}

const heightsOf = ({ own, inBase }) => ({ own: heights(own), inBase: heights(inBase) });

/** Exact values as numbers to draw; converted once, not at every frame. */
function heights(values) {
  return Object.fromEntries(Object.entries(values).map(([measure, value]) => [measure, toApproximateNumber(value)]));
}

/** What is shown for an event that lacks the dimension. */
export const UNKNOWN = "unknown";

function dimensionValue(dimensions, name) {
  const value = dimensions[name];
  return value === undefined || value === null || value === "" ? UNKNOWN : String(value);
}

function bucketMs(extent) {
  const minutes =
    BUCKET_MINUTES.find((candidate) => extent / (candidate * MINUTE) <= MAX_BUCKETS) ??
    BUCKET_MINUTES.at(-1);
  return minutes * MINUTE;
}

/** The hours of UTC that a span touches: the books are kept by the hour. */
export function bookHours({ from, to }) {
  return { from: Math.floor(from / HOUR) * HOUR, to: Math.ceil(to / HOUR) * HOUR };
}

/**
 * Events of the books whose hour lies in the span. Hours are the finest grain
 * that the books are kept in.
 * @param hours the books with their hours
 * @param totals newer totals, if known: what came since then is of this hour
 */
export function booksSince(hours, spanFrom, totals = hours.totals, spanTo = Infinity) {
  const within = bookHours({ from: spanFrom, to: spanTo });
  const sums = {};
  for (const name of ["received", "late", "duplicate", "dead_lettered"]) {
    sums[name] = spanTo === Infinity ? totals[name] - hours.totals[name] : 0;
    for (const source of hours.sources) {
      for (const hour of source.hours) {
        const at = Date.parse(hour.hour);
        if (at >= within.from && at < within.to) sums[name] += hour[name];
      }
    }
  }
  return sums;
}
