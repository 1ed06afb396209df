// The page: loads what the API knows, follows the stream, draws.

import { Alerts, MAX_ALERTS, webAddress } from "./alerts.js";
import { getJson, Stream } from "./api.js";
import { showBars, showFunnel, showTable } from "./bars.js";
import { showBooks, watchDeadLetters } from "./books.js";
import { Calendar } from "./calendar.js";
import { showChain } from "./chain.js";
import { OTHER_PROPERTY, Palette } from "./colours.js";
import { uncountedText, uncountedTimes } from "./counted.js";
import { byId, el, setAttributes, setText, syncChildren } from "./dom.js";
import { MetricFeed } from "./feed.js";
import { askForKey, isAskingForKey, setUpLogin } from "./login.js";
import { formatClock, formatCount, formatDay, formatDrawnMoney, formatFull, formatInteger, formatMoment, formatMoney, formatRecent, formatWindow, tellTimesIn } from "./format.js";
import { Breakdown, EventTiles, SalesTiles } from "./kpis.js";
import { bookHours, booksSince, MetricModel } from "./model.js";
import { OwnMetrics } from "./own.js";
import { SPANS, WIDER } from "./spans.js";
import { setUpTheme } from "./theme.js";
import { TimeChart } from "./timechart.js";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
/** What the measures of sales are called. */
const MEASURES = { net: "Net", revenue: "Revenue", orders: "Orders", quantity: "Units" };
const AMOUNTS = ["gross", "discounts", "revenue", "refunds", "cancelled", "net"];
const TICK_MS = 10_000;
const REFRESH_MS = 5 * MINUTE;
const POLL_MS = 10_000;
const STREAM_PATIENCE_MS = 1_500;
const BOOK_HOURS_MS = 5_000;

const state = {
  span: "1h",
  /** The span that the figures are of. */
  shownSpan: null,
  measure: "net",
  stacked: true,
  hidden: new Set(),
  live: false,
  loaded: false,
  clockOffset: 0,
  /** The zone that the API names. */
  zone: null,
  /** Days of the shop. */
  calendar: new Calendar(),
  asOf: null,
  watermark: null,
  books: null,
  hours: null,
  health: null,
  /** Whether the health is what it is now, as far as anybody says. */
  healthKnown: false,
  /** How often the stream was lost. */
  losses: 0,
};

const now = () => Date.now() + state.clockOffset;
const calendar = () => state.calendar;
/** Where a span begins and ends. */
const boundsOf = (span) => SPANS[span].bounds(now(), state.calendar);

// ---- drawing: at most once a frame, only what changed ----

const dirty = new Set();
const painters = {
  head: paintHead,
  sales: paintSales,
  views: paintViews,
  alerts: () => alerts.show(state.health?.links?.jaeger ?? null),
  events: paintEvents,
  chain: paintChain,
  own: () => own.show(),
};

function redraw(...parts) {
  if (dirty.size === 0) requestAnimationFrame(paint);
  for (const part of parts) dirty.add(part);
}

function paint() {
  const parts = [...dirty];
  dirty.clear();
  for (const part of parts) {
    try {
      painters[part]();
    } catch (error) {
      // The other parts are drawn all the same.
      reportError(error);
    }
  }
  byId("main").removeAttribute("data-built");
}

// ---- what the page knows ----

const alerts = new Alerts();
const palette = new Palette();
const salesTiles = new SalesTiles(byId("sales-kpis"));
const breakdown = new Breakdown(byId("breakdown"));
const eventTiles = new EventTiles(byId("event-kpis"));
const salesChart = new TimeChart(byId("chart-category"), {
  formatValue: (value) => (isMoney(shownMeasure()) ? formatDrawnMoney(value, sales.currency) : formatInteger(value)),
});
const viewsChart = new TimeChart(byId("chart-views"), { formatValue: formatInteger, compactAxis: true });

const feedOf = (name, measures, dimension, part) =>
  new MetricFeed(new MetricModel(name, measures, dimension), { now, calendar, onChange: () => redraw(part, "head"), onError: showError });
const feeds = {
  // By line: categories, and what adds up over lines.
  sales_metrics: feedOf("sales_metrics", ["net", "revenue", "orders", "quantity"], "category", "sales"),
  // By order: what is said of all categories together.
  order_metrics: feedOf("order_metrics", ["orders", ...AMOUNTS], "region", "sales"),
  product_views: feedOf("product_views", ["views"], "category", "views"),
  conversion: feedOf("conversion", ["views", "carts", "orders"], "region", "views"),
};
const own = new OwnMetrics(byId("own"), { now, calendar, onChange: () => redraw("own"), onError: showError });
const sales = feeds.sales_metrics.model;
const orders = feeds.order_metrics.model;
const views = feeds.product_views.model;
const conversion = feeds.conversion.model;

/** Where amounts of all categories are: a shop with metrics of its own may have no orders. */
const amounts = () => (orders.has("net") ? orders : sales);
/** A release before this one knew of no net; its totals are served until there are newer ones. */
const netOf = (model) => (!model.defined || model.has("net") ? "net" : "revenue");
const shownMeasure = () => (state.measure === "net" ? netOf(sales) : state.measure);
const isMoney = (measure) => measure === "net" || measure === "revenue";

// ---- loading ----

let loading = null;

/** Fetches everything; calls that come while it runs share its result. */
function loadAll() {
  loading ??= fetchAll()
    .then(() => showError(null), (error) => {
      if (!state.live) forgetHealth();
      showError(error);
    })
    .finally(() => {
      loading = null;
    });
  return loading;
}

async function fetchAll() {
  const { losses } = state;
  const [{ as_of: asOf, zone, metrics }, alertList, health] = await Promise.all([
    getJson("/v1/metrics"),
    getJson("/v1/alerts", { limit: MAX_ALERTS }),
    getJson("/v1/health"),
    loadBooks(),
  ]);
  state.clockOffset = Date.parse(asOf) - Date.now();
  takeZone(zone);
  own.define(metrics.filter(({ name }) => !(name in feeds)));
  for (const [name, feed] of Object.entries(feeds)) {
    feed.model.define(metrics.find((metric) => metric.name === name));
  }
  alerts.replace(alertList.alerts);
  // What was asked before the stream was lost says nothing of now.
  takeHealth(health, losses === state.losses);
  await loadSpan();
  if (!state.loaded && !chosenSpan()) await widenSpan();
  state.loaded = true;
  redraw(...Object.keys(painters));
}

/** Days and times are those of the shop. A release before this one does not say whose they are. */
function takeZone(zone = "UTC") {
  if (zone !== state.zone) {
    state.zone = zone;
    state.calendar = new Calendar(zone);
    tellTimesIn(state.calendar.zone);
  }
  const { zone: told } = state.calendar;
  setText(byId("zone"), told);
  setAttributes(byId("zone"), { title: `Days and times are those of ${told}` });
}

/** Loads the metrics of the chosen span. */
async function loadSpan() {
  const { span } = state;
  own.load(SPANS[span]);
  await Promise.all(Object.values(feeds).map((feed) => feed.load(SPANS[span])));
  for (const { head } of Object.values(feeds)) if (head) takeTruth({ as_of: head.asOf, watermark: head.watermark });
  if (span === state.span) state.shownSpan = span;
  redraw("sales", "views", "head");
}

const isEmpty = () => sales.isEmpty && orders.isEmpty;

/** At the first load, a span without data gives way to the next wider one. */
async function widenSpan() {
  while (isEmpty() && state.span in WIDER) {
    setSpan(WIDER[state.span]);
    await loadSpan();
  }
  if (isEmpty()) {
    setSpan("1h");
    await loadSpan();
  }
}

let hoursTimer = null;
let hoursAt = -Infinity;

async function loadBooks() {
  const books = await getJson("/v1/books", { hours: true });
  hoursAt = performance.now();
  state.hours = books;
  takeBooks(books);
}

/** The stream sends the books without their hours, which a span needs. */
function refreshHours() {
  if (state.span === "all" || hoursTimer !== null) return;
  hoursTimer = setTimeout(
    () => {
      hoursTimer = null;
      loadBooks().catch(showError);
    },
    Math.max(0, hoursAt + BOOK_HOURS_MS - performance.now()),
  );
}

function takeBooks(books) {
  state.books = books;
  redraw("events", "head");
}

function takeHealth(health, isNow = true) {
  const jaegerBefore = state.health?.links?.jaeger;
  state.health = health;
  state.healthKnown ||= isNow;
  redraw("chain", "head");
  if (health.links?.jaeger !== jaegerBefore) redraw("alerts");
}

/** Nobody says any more how the services are. */
function forgetHealth() {
  state.healthKnown = false;
  redraw("chain");
}

/** How far all numbers are true; it never goes back. */
function takeTruth({ as_of: asOf, watermark }) {
  const later = (known, text) => Math.max(known ?? -Infinity, Date.parse(text ?? "") || -Infinity);
  const told = (ms) => (ms === -Infinity ? null : ms);
  state.asOf = told(later(state.asOf, asOf));
  state.watermark = told(later(state.watermark, watermark));
  redraw("head");
}

// ---- the stream ----

const take = {
  truth: takeTruth,
  metrics({ metric, points, base_currency: baseCurrency, ...truth }) {
    feeds[metric]?.apply(points, baseCurrency);
    own.changed(metric);
    takeTruth(truth);
  },
  alert(alert) {
    if (alerts.put(alert)) setText(byId("announcer"), `${alert.severity} alert: ${alert.title}`);
    redraw("alerts");
  },
  books(books) {
    takeBooks(books);
    refreshHours();
  },
  health: takeHealth,
  reset() {
    loadAll();
  },
};

const stream = new Stream({
  onOpen(resumed) {
    state.live = true;
    redraw("head");
    if (!resumed) (loading ?? Promise.resolve()).then(loadAll);
  },
  onLost() {
    state.live = false;
    state.losses += 1;
    forgetHealth();
    redraw("head");
  },
  onEvent: (type, data) => {
    try {
      take[type](data);
    } catch (error) {
      showError(error);
    }
  },
});

// ---- painting ----

function paintHead() {
  setAttributes(byId("connection"), { "data-state": state.live ? "live" : "reconnecting" });
  setText(byId("connection-text"), state.live ? "Live" : state.loaded ? "Reconnecting" : "Connecting");
  setTime(byId("as-of"), state.asOf, formatClock);

  setTime(byId("watermark"), state.watermark, formatRecent);

  const pill = byId("complete");
  const open = sales.openFrom;
  const complete = open === null && (feeds.sales_metrics.head?.historyComplete ?? true);
  setAttributes(pill, {
    "data-known": String(!sales.isEmpty),
    "data-complete": String(complete),
    title: complete ? "Every window shown is final, but for corrections by late events" : "The shaded windows can still change",
  });
  setText(pill, complete ? "Complete" : open === null ? "Not yet complete" : `Open since ${formatMoment(open)}`);
}

function setTime(node, ms, format) {
  setAttributes(node, { datetime: ms === null ? null : new Date(ms).toISOString(), title: ms === null ? null : formatFull(ms) });
  setText(node, ms === null ? "–" : format(ms));
}

function paintSales() {
  // Nothing is known yet: a zero would be taken for a figure.
  if (!state.loaded) return;
  const measure = shownMeasure();
  const timeline = sales.timeline(measure);
  const byCategory = sales.totalsBy("category", netOf(sales));
  const ranking = sales.isComparable ? byCategory : sales.totalsBy("category", "orders");
  palette.assign(ranking.map(([name]) => name));

  paintHeadline();
  const bars = (id, model, dimension, rows, describe) => {
    setText(byId(`${dimension}-title`).firstElementChild, MEASURES[netOf(model)]);
    showBars(byId(id), rows, model.currency, describe);
  };
  bars("regions", amounts(), "region", amounts().totalsBy("region", netOf(amounts())), (name) => ({
    attributes: { "data-testid": "region-row", "data-region": name },
    property: "--accent-bar",
  }));
  bars("categories", sales, "category", byCategory, (name) => ({
    attributes: { "data-testid": "category-row", "data-category": name },
    property: palette.property(name),
  }));
  paintTimeChart(measure, timeline, ranking);
  paintUncounted("time-uncounted", "sales_metrics");
  paintUncounted("category-uncounted", "sales_metrics");
  paintUncounted("region-uncounted", amounts().name);
}

/** Of what is not known by order. */
const NO_AVERAGE = { sum: 0n, count: 0n, left: 0n };

/** What is said of all categories: never a sum over them of what does not add up. */
function paintHeadline() {
  const model = amounts();
  const net = netOf(model);
  salesTiles.show(
    {
      net: model.total(net),
      orders: orders.has("orders") ? orders.total("orders") : null,
      quantity: sales.total("quantity"),
    },
    { net: trend(model, net), orders: trend(orders, "orders"), quantity: trend(sales, "quantity") },
    {
      isNet: net === "net",
      currency: model.currency,
      isKnown: model.isComparable,
      byCurrency: model.totalByCurrency(net),
      unread: sales.unread("revenue"),
      unconverted: model.unconverted(net),
      average: model === orders && orders.has("orders") ? orders.average("revenue", "orders") : NO_AVERAGE,
      lacks: { orders: lacksBeside(model.name, "order_metrics"), quantity: lacksBeside(model.name, "sales_metrics") },
    },
  );
  const parts = model === orders && model.isComparable;
  breakdown.show(parts ? Object.fromEntries(AMOUNTS.map((name) => [name, model.total(name)])) : null, model.currency);
  setText(byId("sales-since"), sinceText({ from: sales.spanFrom, to: sales.spanTo }));
  paintUncounted("sales-uncounted", model.name);
  setAttributes(byId("sales-kpis"), { "data-span": state.shownSpan });
}

const lacksOf = (name, tell = uncountedText) => tell(feeds[name].head?.whole ?? {}, (ms) => formatMoment(ms, now()));

/** Says in a panel what the metric that it shows has not counted. */
function paintUncounted(id, name) {
  const lacks = lacksOf(name);
  byId(id).hidden = lacks === "";
  setText(byId(id), lacks);
}

/** What a figure of a metric lacks, if it stands in a panel that says what another metric lacks. */
function lacksBeside(panel, name) {
  const times = lacksOf(name, uncountedTimes);
  if (times === lacksOf(panel, uncountedTimes)) return "";
  return times === "" ? "all is counted" : `without what came in ${times}`;
}

function paintTimeChart(measure, { starts, step, groups }, ranking) {
  const adds = measure !== "orders";
  const all = chartSeries(groups, ranking, adds);
  showLegend(all);
  const series = all.filter(({ key }) => !state.hidden.has(key));
  const empty = starts.length === 0;
  const frame = byId("chart-category");
  frame.hidden = empty;
  byId("time-empty").hidden = !empty;
  byId("time-table").hidden = empty;
  byId("time-note").hidden = empty || adds;
  byId("mode").disabled = !adds;
  if (empty) setText(byId("time-empty"), state.loaded ? emptyText() : "Loading …");
  const { zone } = sales.calendar;
  salesChart.show({ starts, step, zone, series, stacked: state.stacked && adds, adds, openFrom: sales.openFrom });
  setAttributes(frame, { "data-points": starts.length, "data-measure": measure, "aria-label": describeChart(measure, starts, step) });
  paintTimeTable(measure, starts, step, all);
}

function trend(model, measure) {
  const { starts, groups } = model.timeline(measure);
  return starts.map((_, at) => [...groups.values()].reduce((sum, values) => sum + values[at], 0));
}

/** The lines of the chart, largest category first; those without a colour of their own are one, if they add up. */
function chartSeries(groups, ranking, adds) {
  const series = [];
  const others = [];
  for (const [name] of ranking) {
    const values = groups.get(name);
    if (!values) continue;
    if (palette.has(name)) series.push({ key: `=${name}`, name, property: palette.property(name), values });
    else others.push(values);
  }
  if (others.length === 0 || !adds) return series;
  const values = others.reduce((sums, more) => sums.map((value, at) => value + more[at]));
  // A category may be called "Other": the key tells them apart, and so does the name.
  return [...series, { key: "others", name: "All others", property: OTHER_PROPERTY, values }];
}

function showLegend(series) {
  syncChildren(
    byId("legend"),
    series,
    ({ key }) => key,
    ({ key, name }) => {
      const button = el("button", { type: "button" }, el("i", { class: "swatch", "aria-hidden": "true" }), el("span", {}, name));
      button.addEventListener("click", () => {
        if (!state.hidden.delete(key)) state.hidden.add(key);
        redraw("sales");
      });
      return el("li", {}, button);
    },
    (item, { key, property }) => {
      const button = item.firstElementChild;
      button.firstElementChild.style.background = `var(${property})`;
      setAttributes(button, { "aria-pressed": String(!state.hidden.has(key)) });
    },
  );
}

function describeChart(measure, starts, step) {
  if (starts.length === 0) return "No data yet";
  const format = isMoney(measure) ? (value) => formatMoney(value, sales.currency) : formatCount;
  const leaders = sales.totalsBy("category", measure).slice(0, 3);
  const told = leaders.map(([name, value]) => `${name} ${format(value)}`);
  const bound = (ms) => (step >= DAY ? formatDay(ms, sales.calendar.zone) : formatMoment(ms, now()));
  const until = step >= DAY ? bound(starts.at(-1)) : bound(starts.at(-1) + step);
  return `${MEASURES[measure]} by category over time, from ${bound(starts[0])} to ${until}: ${told.join(", ")}`;
}

function paintTimeTable(measure, starts, step, series) {
  const details = byId("time-table");
  if (!details.open) return;
  const format = isMoney(measure) ? (value) => formatDrawnMoney(value, sales.currency) : formatInteger;
  const rows = starts.map((start, at) => [formatWindow(start, step, sales.calendar.zone), ...series.map(({ values }) => format(values[at]))]);
  showTable(details.lastElementChild, `${MEASURES[measure]} by category over time`, ["Window", ...series.map(({ name }) => name)], rows.reverse());
}

function paintViews() {
  const { model } = feeds.conversion.model.defined ? feeds.conversion : feeds.product_views;
  setText(byId("views-since"), state.loaded ? sinceText({ from: model.spanFrom, to: model.spanTo }, model.windowMs) : "");
  const funnel = conversion.isEmpty
    ? [["Views", views.total("views")]]
    : [
        ["Views", conversion.total("views")],
        ["Carts", conversion.total("carts")],
        ["Orders", conversion.total("orders")],
      ];
  showFunnel(byId("funnel"), funnel);
  paintUncounted("views-uncounted", model.name);
  const { starts, step, groups } = views.timeline("views");
  const values = starts.map((_, at) => [...groups.values()].reduce((sum, group) => sum + group[at], 0));
  const empty = starts.length === 0;
  const frame = byId("chart-views");
  frame.hidden = empty;
  byId("views-empty").hidden = !empty || !byId("funnel").hidden;
  viewsChart.show({ starts, step, zone: views.calendar.zone, series: [{ name: "Views", property: "--accent-bar", values }], stacked: true, openFrom: views.openFrom });
  setAttributes(frame, { "aria-label": empty ? "No data yet" : `Product views over time, highest ${formatInteger(Math.max(...values))} in one window` });
}

function paintChain() {
  showChain(byId("chain"), state.health, state.healthKnown);
  byId("dead-letters-full").hidden = state.health?.dead_letters?.full !== true;
  const jaeger = webAddress(state.health?.links?.jaeger);
  const slot = byId("jaeger-link");
  if (slot.firstElementChild?.getAttribute("href") === jaeger) return;
  slot.replaceChildren(...(jaeger ? [el("a", { href: jaeger, target: "_blank", rel: "noopener noreferrer" }, "Traces in Jaeger")] : []));
}

function paintEvents() {
  const { books, hours } = state;
  const { from, to } = boundsOf(state.span);
  // The stream may tell of the books before their hours are there.
  if (!books || (from !== -Infinity && !hours)) return;
  eventTiles.show(from === -Infinity ? books.totals : booksSince(hours, from, books.totals, to));
  setText(byId("events-since"), sinceText(bookHours({ from, to }), 60 * MINUTE));
  showBooks(books);
  showWelcome(books.totals.received === 0);
}

/**
 * A span in words. What is kept in windows longer than those of sales has them whole, and says
 * so where it begins or ends elsewhere than the span that was chosen.
 */
function sinceText({ from, to }, windowMs = MINUTE) {
  if (from === -Infinity) return "all time";
  const chosen = boundsOf(state.span);
  const differs = windowMs > MINUTE && [[from, chosen.from], [to, chosen.to]].some(([one, other]) => Math.abs(one - other) >= MINUTE);
  const told = to === Infinity ? `since ${formatMoment(from, now())}` : `${formatMoment(from, now())} – ${formatMoment(to, now())}`;
  return differs ? `${told}, in whole hours` : told;
}

function emptyText() {
  if (!sales.isComparable) return "Amounts are in several currencies, and no rate is known that makes them one.";
  if (state.books?.totals.received === 0) return "Sales appear here as soon as the first order is counted.";
  return state.span === "all" ? "No sales have been counted yet." : "No sales in this span. Choose a longer one above.";
}

function showWelcome(show) {
  byId("welcome").hidden = !show;
  if (show) setText(byId("curl"), firstEvent(state.health?.links?.ingestion));
}

/** A command that sends a first order. Ingestion listens beside this page by default. */
function firstEvent(ingestion) {
  const base = (ingestion ?? `http://${location.hostname}:7070`).replace(/\/+$/, "");
  const event = {
    specversion: "1.0",
    id: "order-1",
    source: "my-shop",
    type: "order.placed",
    data: {
      order_id: "1001",
      user_id: "u-1",
      currency: "EUR",
      total: "59.80",
      items: [{ product_id: "p-1", category: "books", quantity: 2, unit_price: "29.90" }],
    },
  };
  return `curl -X POST ${base}/v1/events \\\n  -H 'content-type: application/cloudevents+json' \\\n  -d '${JSON.stringify(event)}'`;
}

function showError(error) {
  const notice = byId("notice");
  if (error?.status === 401) {
    notice.hidden = true;
    askForKey();
    return;
  }
  notice.hidden = error === null;
  if (error) setText(notice, `Some figures could not be loaded: ${error.message}. Trying again.`);
}

// ---- what the reader chooses ----

const chosenSpan = () => new URLSearchParams(location.search).get("span");

function setSpan(span) {
  state.span = span;
  document.querySelector(`input[name="span"][value="${span}"]`).checked = true;
}

function setUpControls() {
  const wanted = chosenSpan();
  setSpan(wanted in SPANS ? wanted : state.span);
  byId("span").addEventListener("change", ({ target }) => {
    setSpan(target.value);
    const address = new URL(location.href);
    address.searchParams.set("span", target.value);
    history.replaceState(null, "", address);
    redraw("events", "own");
    refreshHours();
    loadSpan().catch(showError);
  });
  byId("measure").addEventListener("change", ({ target }) => {
    state.measure = target.value;
    redraw("sales");
  });
  byId("mode").addEventListener("change", ({ target }) => {
    state.stacked = target.value === "stacked";
    redraw("sales");
  });
  byId("time-table").addEventListener("toggle", () => redraw("sales"));
  byId("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(byId("curl").textContent);
    setText(byId("announcer"), "Copied");
  });
  byId("copy").hidden = !navigator.clipboard;
}

setUpControls();
setUpLogin(() => {
  stream.connect();
  loadAll();
});
setUpTheme(byId("theme"), () => {
  salesChart.restyle();
  viewsChart.restyle();
  own.restyle();
});
watchDeadLetters(showError);
redraw("head", "chain", "sales", "views");
stream.connect();
// Figures do not wait for a stream that cannot be opened.
setTimeout(() => state.loaded || loadAll(), STREAM_PATIENCE_MS);
setInterval(() => {
  Object.values(feeds).forEach((feed) => feed.tick());
  own.tick();
  // The books' span moves on, too.
  redraw("events");
}, TICK_MS);
// Who has no key is asked once, and not again and again.
setInterval(() => state.live || isAskingForKey() || loadAll(), POLL_MS);
setInterval(() => isAskingForKey() || loadAll(), REFRESH_MS);
