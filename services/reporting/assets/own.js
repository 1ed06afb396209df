// The panel of the metrics that the page does not show by itself: those of a shop's
// own definitions. Each is told as the API tells it: nothing is added up here, since
// the page does not know what adds up.

import { getJson } from "./api.js";
import { showTable } from "./bars.js";
import { Calendar } from "./calendar.js";
import { countedNotes } from "./counted.js";
import { el, setAttributes, setText, syncChildren } from "./dom.js";
import { formatFigure, formatMoment, formatNumber, formatWindow } from "./format.js";
import { firstOf, lineUp, nameOf, questionOf, ranked, tableOf } from "./ownmodel.js";
import { slotsOf } from "./slots.js";
import { windowBounds } from "./spans.js";
import { TimeChart } from "./timechart.js";

/** As many metrics as are shown. */
const MAX_METRICS = 12;
/** As many lines as a chart has. */
const MAX_LINES = 7;
const AHEAD_MS = 86_400_000;
const MIN_RELOAD_MS = 5_000;
/** How near to the window a card is followed. */
const NEAR = "200px";
/** How often a span that moves is asked for anew, also if nothing comes. */
const MOVE_MS = 60_000;

export class OwnMetrics {
  #cards = new Map();
  #span = null;
  #rest = [];

  /** @param section the panel: a heading, a place for cards, a line for the rest */
  constructor(section, { now, calendar, onChange, onError }) {
    this.section = section;
    this.context = { now, calendar, onChange, onError };
  }

  /** Takes the definitions, as the API tells them. */
  define(metrics) {
    const shown = ranked(metrics).slice(0, MAX_METRICS);
    this.#rest = ranked(metrics).slice(MAX_METRICS);
    const cards = shown.map((metric) => {
      const known = this.#cards.get(metric.name);
      if (!known) return new OwnMetric(metric, this.context);
      known.metric = metric;
      return known;
    });
    this.#cards = new Map(cards.map((card) => [card.metric.name, card]));
  }

  /** Loads a span, one metric after another: the page's own figures go first. */
  async load(span) {
    this.#span = span;
    for (const card of this.#cards.values()) {
      if (span === this.#span) await card.load(span);
    }
  }

  /** A metric has news. */
  changed(name) {
    this.#cards.get(name)?.loadSoon();
  }

  /** Lets a span move on as time does. */
  tick() {
    for (const card of this.#cards.values()) card.tick();
  }

  restyle() {
    for (const card of this.#cards.values()) card.chart.restyle();
  }

  show() {
    const [, places, more] = this.section.children;
    this.section.hidden = this.#cards.size === 0;
    syncChildren(places, [...this.#cards.values()], ({ metric }) => metric.name, (card) => card.root, (_, card) => card.show());
    more.hidden = this.#rest.length === 0;
    setText(more, `and ${this.#rest.length} more, at /v1/metrics: ${this.#rest.map(({ name }) => name).join(", ")}`);
  }
}

/** One metric: what it is, its totals as a table, and a line over time. */
class OwnMetric {
  #generation = 0;
  #span = null;
  #answers = null;
  #reload = null;
  #loadMs = 0;
  #loadedAt = 0;
  #isSeen = false;
  #isStale = false;

  constructor(metric, context) {
    this.metric = metric;
    this.context = context;
    const id = `own-${metric.name}`;
    this.title = el("h3", { id });
    this.since = el("span", { class: "since" });
    this.about = el("p", { class: "fine" });
    this.frame = el("div", { class: "chart mini", role: "img", "aria-label": "No data yet" });
    this.measure = el("p", { class: "fine chart-of" });
    this.table = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": nameOf(metric) });
    this.note = el("p", { class: "fine" });
    this.root = el(
      "article",
      { class: "card own-card", "aria-labelledby": id, "data-testid": "own-metric", "data-metric": metric.name },
      el("div", { class: "own-head" }, this.title, this.since),
      this.about,
      this.measure,
      this.frame,
      this.table,
      this.note,
    );
    this.chart = new TimeChart(this.frame, { formatValue: (value) => formatNumber(value), compactAxis: true });
    new IntersectionObserver(([entry]) => this.#seen(entry.isIntersecting), { rootMargin: NEAR }).observe(this.root);
  }

  #seen(isSeen) {
    this.#isSeen = isSeen;
    if (isSeen && this.#isStale) this.loadSoon();
  }

  get #isSliding() {
    return this.metric.window.kind === "sliding";
  }

  #bounds(now) {
    const windowMs = this.metric.window.kind === "tumbling" ? this.metric.window.seconds * 1000 : 1000;
    const { from, to } = windowBounds(this.#span, windowMs, now, this.context.calendar());
    return { from, to: to === Infinity ? Math.floor((now + AHEAD_MS) / windowMs + 1) * windowMs : to };
  }

  async load(span) {
    const generation = (this.#generation += 1);
    clearTimeout(this.#reload);
    this.#reload = null;
    this.#isStale = false;
    this.#span = span;
    const began = performance.now();
    const bounds = this.#bounds(this.context.now());
    const answers = await this.#ask(bounds).catch((error) => ({ error }));
    if (generation !== this.#generation) return;
    if (answers.error?.status === 401) this.context.onError(answers.error);
    this.#loadMs = performance.now() - began;
    this.#loadedAt = this.context.now();
    this.#answers = { ...answers, span, ...bounds };
    this.context.onChange();
  }

  async #ask(bounds) {
    const { metric } = this;
    const ask = (view, by) => {
      const { path, parameters } = questionOf(metric, view, bounds, by);
      return getJson(path, parameters);
    };
    const [totals, series] = await Promise.all([ask(this.#tableView, metric.dimensions), ask("series")]);
    return { totals, series };
  }

  /** Windows that overlap have no total: the newest one is told. */
  get #tableView() {
    return this.#isSliding ? "series" : "totals";
  }

  /** News are fetched soon, once they can be seen, and not more often than the server likes. */
  loadSoon() {
    this.#isStale = true;
    if (this.#span === null || this.#reload !== null || !this.#isSeen) return;
    this.#reload = setTimeout(() => this.load(this.#span), Math.max(MIN_RELOAD_MS, 4 * this.#loadMs));
  }

  tick() {
    const now = this.context.now();
    if (this.#span && this.#answers && now - this.#loadedAt >= MOVE_MS) this.loadSoon();
  }

  show() {
    setText(this.title, nameOf(this.metric));
    setAttributes(this.title, { title: this.metric.name });
    setText(this.about, this.metric.description ?? "");
    this.about.hidden = !this.metric.description;
    if (!this.#answers) return setText(this.note, "Loading …");
    const { error, from, span } = this.#answers;
    setAttributes(this.root, { "data-loaded": error ? null : "" });
    const told = from === -Infinity ? "all time" : `since ${formatMoment(from, this.context.now())}`;
    setText(this.since, span.isDay && this.#bounds(this.context.now()).to < this.context.now() ? formatMoment(from, this.context.now()) : told);
    if (error) return this.#showNothing(`It cannot be shown: ${error.message}`);
    this.#showTable();
    this.#showChart();
  }

  #showNothing(why) {
    for (const part of [this.table, this.frame, this.measure]) part.hidden = true;
    setText(this.note, why);
  }

  #showTable() {
    const { totals, from, to } = this.#answers;
    const { columns, rows, rest, window } = tableOf(this.metric, totals);
    this.table.hidden = rows.length === 0;
    const heads = columns.map(({ name, isApproximate }) => (isApproximate ? `≈ ${nameOf({ name })}` : nameOf({ name })));
    const cells = rows.map(({ cells, currency }) => cells.map((cell, at) => (columns[at].measure ? formatFigure(cell, columns[at].money, currency) : cell)));
    showTable(this.table, nameOf(this.metric), heads, cells, columns.filter(({ measure }) => !measure).length);
    const notes = [
      rows.length === 0 ? "Nothing in this span" : "",
      window ? `In the window ${formatWindow(window.start, window.end - window.start, this.context.calendar().zone)}` : "",
      rest > 0 ? this.#linkTo(rest, { from, to }) : "",
      columns.some(({ isApproximate }) => isApproximate) ? "≈ is not exact" : "",
      ...countedNotes(totals, (ms) => formatMoment(ms, this.context.now())),
    ];
    this.note.replaceChildren(...notes.filter((note) => note !== "").flatMap((note, at) => (at > 0 ? ["; ", note] : [note])));
  }

  /** The rows that are left out are where the table itself comes from. */
  #linkTo(rest, bounds) {
    const { path, parameters } = questionOf(this.metric, this.#tableView, bounds, this.metric.dimensions);
    const address = `${path}?${new URLSearchParams(parameters)}`;
    return el("a", { href: address, target: "_blank", rel: "noopener" }, `and ${rest} more ${rest === 1 ? "row" : "rows"}`);
  }

  #showChart() {
    const { series } = this.#answers;
    const measure = firstOf(this.metric);
    const zone = series.zone ?? this.context.calendar().zone;
    const { starts, step, lines } = lineUp(this.metric, measure, series, new Calendar(zone));
    const shown = lines.slice(0, MAX_LINES);
    const isOne = shown.length === 1;
    const slots = slotsOf(shown.map(({ name }) => name));
    const drawn = shown.map(({ name, values }) => ({
      name: isOne ? nameOf({ name: measure.name }) : name,
      property: isOne ? "--accent-bar" : `--series-${slots.get(name)}`,
      values,
    }));
    const empty = starts.length < 2;
    this.frame.hidden = empty;
    this.measure.hidden = empty;
    const left = lines.length - shown.length;
    const title = `${nameOf({ name: measure.name })} over time${isOne ? "" : ", by currency"}`;
    this.measure.replaceChildren(title, ...(isOne ? [] : drawn.map(legendOf)), ...(left > 0 ? [`and ${left} more`] : []));
    this.chart.show({ starts: empty ? [] : starts, step, zone, series: drawn, stacked: false, adds: false, openFrom: null });
    const highest = Math.max(...shown.flatMap(({ values }) => values.filter((value) => value !== null)));
    setAttributes(this.frame, { "aria-label": empty ? "No data yet" : `${title}${isOne ? "" : `: ${drawn.map(({ name }) => name).join(", ")}`}, highest ${formatNumber(highest)} in one ${step >= AHEAD_MS ? "period" : "window"}` });
  }
}

function legendOf({ name, property }) {
  const swatch = el("i", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = `var(${property})`;
  return el("span", {}, swatch, name);
}
