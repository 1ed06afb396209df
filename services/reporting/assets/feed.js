// Fills a metric's model: the span by fetch, then changes from the stream.

import { getJson } from "./api.js";
import { Applied } from "./model.js";
import { windowBounds } from "./spans.js";

const DAY_MS = 86_400_000;
/** How far back windows are held one by one; older ones in sum. */
const LIVE_MS = 2 * 3_600_000;
const MAX_CELLS = 60_000;
const MIN_RELOAD_MS = 2_000;

export class MetricFeed {
  #generation = 0;
  /** Points that came while a load runs; they are newer than its answer. */
  #arrived = null;
  #liveMs = LIVE_MS;
  #span = null;
  #reload = null;
  #lastLoadMs = 0;

  /**
   * @param model the MetricModel to fill
   * @param now the server's clock, in milliseconds
   * @param calendar answers the calendar of the shop
   */
  constructor(model, { now, calendar, onChange, onError }) {
    this.model = model;
    this.now = now;
    this.calendar = calendar;
    this.onChange = onChange;
    this.onError = onError;
    this.head = null;
  }

  /**
   * Loads a span, one of `SPANS`. A later call supersedes one that is under way.
   */
  async load(span) {
    const generation = (this.#generation += 1);
    this.#span = span;
    clearTimeout(this.#reload);
    this.#reload = null;
    if (!this.model.defined) return;

    const { model } = this;
    const began = performance.now();
    const now = this.now();
    const { from: spanFrom, to: spanTo } = this.#bounds(now);
    const liveFrom = Math.min(spanTo, Math.max(spanFrom, model.floor(now - this.#liveMs)));
    const liveTo = Math.min(spanTo, model.floor(now + DAY_MS) + model.windowMs);
    const arrived = (this.#arrived = []);
    try {
      const [recent, totals, history] = await Promise.all([
        liveFrom < liveTo ? this.#get("series", liveFrom, liveTo, model.dimensions, { resolution: "window" }) : null,
        spanFrom < liveFrom ? this.#get("totals", spanFrom, liveFrom, model.dimensions) : null,
        // As finely as suits the span, in the shop's own days.
        spanFrom < liveFrom ? this.#get("series", spanFrom, liveFrom, [model.chartDimension]) : null,
      ]);
      if (generation !== this.#generation) return;
      model.clear(spanFrom, liveFrom, spanTo);
      // What is newer has the base currency that is in force.
      model.setBase(totals?.base_currency);
      model.setBase(recent?.base_currency);
      model.setTotals(totals?.rows ?? []);
      model.setHistory(history?.series ?? [], history?.resolution, history?.zone ?? this.calendar().zone);
      for (const { dimensions, points } of recent?.series ?? []) {
        for (const point of points) model.apply({ ...point, dimensions });
      }
      const head = recent ?? totals;
      this.head = {
        asOf: head?.as_of,
        watermark: head?.watermark,
        historyComplete: totals?.complete ?? true,
        whole: totals ?? recent,
      };
      this.#lastLoadMs = performance.now() - began;
      this.#arrived = null;
      this.apply(arrived);
      this.onChange();
    } catch (error) {
      if (generation !== this.#generation || error.code !== "too_many_points" || liveFrom >= model.floor(now)) throw error;
      // Fewer windows are held one by one.
      this.#liveMs /= 2;
      return this.load(span);
    } finally {
      if (generation === this.#generation) this.#arrived = null;
    }
  }

  /** Takes changed cells from the stream. */
  apply(points, baseCurrency = null) {
    if (!this.model.defined || points.length === 0) return;
    // What was fetched is in another base currency, and cannot be told beside these.
    const isOther = baseCurrency !== null && this.model.base !== null && baseCurrency !== this.model.base;
    this.model.setBase(baseCurrency);
    this.#arrived?.push(...points);
    // A few of the newest windows alone would look like all that there is.
    if (this.head === null) return;
    let history = isOther;
    for (const point of points) history = this.model.apply(point) === Applied.History || history;
    if (this.model.cells.size > MAX_CELLS) {
      this.#liveMs = Math.max(this.model.windowMs, this.#liveMs / 2);
      history = true;
    }
    if (history) this.#reloadSoon();
    this.onChange();
  }

  /** Lets windows leave the span as time goes on. A day that is over gives way to the next one. */
  tick() {
    if (this.#span === null || !this.model.defined || this.head === null) return;
    const { from } = this.#bounds(this.now());
    if (from <= this.model.spanFrom) return;
    if (this.#span.isDay) this.load(this.#span).catch(this.onError);
    else if (this.model.prune(from)) this.onChange();
  }

  #bounds(now) {
    return windowBounds(this.#span, this.model.windowMs, now, this.calendar());
  }

  /** Old windows changed: their sums are fetched again, not more often than the server likes. */
  #reloadSoon() {
    if (this.#reload !== null || this.#arrived !== null) return;
    this.#reload = setTimeout(
      () => {
        this.#reload = null;
        this.load(this.#span).catch(this.onError);
      },
      Math.max(MIN_RELOAD_MS, 4 * this.#lastLoadMs),
    );
  }

  #get(view, from, to, groupBy, more = {}) {
    return getJson(`/v1/metrics/${encodeURIComponent(this.model.name)}/${view}`, {
      from: new Date(from === -Infinity ? 0 : from).toISOString(),
      to: new Date(to).toISOString(),
      group_by: groupBy.join(","),
      ...more,
    });
  }
}
