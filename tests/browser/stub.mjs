// A server for tests of the page: the page's own files, an API that answers from
// a few cells, and a stream that says what a test wants.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

const ASSETS = new URL("../../services/reporting/assets/", import.meta.url);
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2" };
/** As the real server has it. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const DAY = 86_400_000;
/** As many windows as the API tells one by one where no resolution is named. */
const LINE = 4000;
const SERVICES = ["ingestion", "enrichment", "aggregation", "alert", "reporting"];
const COUNTS = { received: 9, accepted: 9, rejected: 0, counted: 9, late: 0, duplicate: 0, dead_lettered: 0, in_flight: 0 };

const AMOUNTS = ["gross", "discounts", "revenue", "refunds", "cancelled", "net"];

export const definition = (name, seconds, dimensions, measures = []) => ({ name, version: "1", window: { kind: "tumbling", seconds }, dimensions, measures });
/** Measures of sales, by line or by order. */
const measures = (money, counts) => [...AMOUNTS.map((name) => ({ name, kind: "sum", money })), ...counts.map((name) => ({ name, kind: "count" }))];

export class Stub {
  /** `{start, dimensions, revenue, orders}` of sales, in minutes; `refunds` is none where it is not given. */
  cells = [];
  /** The same by order, and not by category; as many orders as in all categories where it is not given. */
  placed = null;
  /** Whose days the API's are. */
  zone = "UTC";
  alerts = [];
  /** Metrics of the shop's own: `{definition, rows, series}`; `series` answers the lines for what is asked. */
  own = [];
  /** The hours of the books' only source. */
  hours = [];
  /** Whether revenue is money. Then cells have the dimension `currency`, and `converted` where that is known. */
  money = false;
  /** What metrics have not counted, by name: `{counted_from, uncounted}`. */
  uncounted = {};
  /** The base currency of what is converted. */
  base = "EUR";
  /** Every request for a series or totals. */
  asked = [];
  /** What is recommended: `[{item, category, reason}]` by the path behind `/v1/recommendations/`; a number is a refusal. */
  recommended = {};
  away = false;
  #streams = new Set();
  #held = new Map();
  #server = createServer((request, response) => this.#answer(request, response).catch((error) => response.destroy(error)));

  async start() {
    await new Promise((ready) => this.#server.listen(0, "127.0.0.1", ready));
    this.url = `http://127.0.0.1:${this.#server.address().port}/`;
    return this;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((done) => this.#server.close(done));
  }

  /** Sends an event to every page. */
  send(event, data) {
    for (const stream of this.#streams) stream.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  get streams() {
    return this.#streams.size;
  }

  /** Answers to a path wait until the function that this returns is called. */
  hold(path) {
    let release;
    this.#held.set(path, new Promise((go) => (release = go)));
    return release;
  }

  /** From now on nobody answers. */
  leave() {
    this.away = true;
    for (const stream of this.#streams) stream.destroy();
  }

  books = () => ({
    as_of: new Date().toISOString(),
    balanced: true,
    totals: COUNTS,
    sources: [{ source: "shop", ...COUNTS, balanced: true, hours: this.hours }],
    more_sources: 0,
  });

  health = () => ({
    as_of: new Date().toISOString(),
    status: "ok",
    services: SERVICES.map((service) => ({ service, ready: true, instances: [{ instance: service, version: "1", ready: true }] })),
    stages: [],
    dead_letters: null,
    links: { jaeger: "http://127.0.0.1:16686", ingestion: null },
  });

  async #answer(request, response) {
    const url = new URL(request.url, this.url);
    if (this.away) return response.destroy();
    if (!url.pathname.startsWith("/v1/")) return this.#file(url.pathname, response);
    await this.#held.get(url.pathname);
    if (url.pathname === "/v1/stream") return this.#stream(response);
    if (url.pathname.startsWith("/v1/recommendations")) return this.#recommend(url, response);
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(this.#json(url)));
  }

  async #file(path, response) {
    const name = { "/": "index.html", "/products": "products.html" }[path] ?? path.replace("/assets/", "");
    response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "text/plain", "content-security-policy": POLICY });
    response.end(await readFile(fileURLToPath(new URL(name, ASSETS))));
  }

  #recommend(url, response) {
    const items = this.recommended[decodeURIComponent(url.pathname.replace("/v1/recommendations/", ""))] ?? [];
    const isRefused = typeof items === "number";
    response.writeHead(isRefused ? items : 200, { "content-type": isRefused ? "application/problem+json" : "application/json" });
    const answer = { as_of: new Date().toISOString(), items, model: { age_seconds: 0.1, partitions: [] } };
    response.end(JSON.stringify(isRefused ? { status: items, title: "Refused", code: "refused" } : answer));
  }

  #stream(response) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("id: 1\ndata: \n\n");
    this.#streams.add(response);
    response.on("close", () => this.#streams.delete(response));
  }

  #json(url) {
    const as_of = new Date().toISOString();
    const currency = this.money ? ["currency"] : [];
    const metrics = [
      definition("sales_metrics", 60, ["category", ...currency, "region"], measures(this.money, ["orders", "quantity"])),
      definition("order_metrics", 60, [...currency, "region"], measures(this.money, ["orders"])),
      definition("product_views", 60, ["category"]),
      definition("conversion", 3600, ["region"]),
    ];
    if (url.pathname === "/v1/metrics") return { as_of, zone: this.zone, metrics: [...metrics, ...this.own.map(({ definition }) => definition)] };
    if (url.pathname === "/v1/alerts") return { as_of, alerts: this.alerts };
    if (url.pathname === "/v1/books") return this.books();
    if (url.pathname === "/v1/health") return this.health();
    const [, , , name, view] = url.pathname.split("/");
    const asked = { name, view, ...Object.fromEntries(url.searchParams) };
    this.asked.push(asked);
    const own = this.own.find(({ definition }) => definition.name === name);
    if (own) return { metric: name, as_of, zone: this.zone, approximate: [], resolution: "window", ...this.uncounted[name], ...(view === "totals" ? { rows: own.rows } : { series: own.series(asked) }) };
    const cells = { sales_metrics: this.cells, order_metrics: this.placed ?? this.cells }[name] ?? [];
    const [from, to] = [Date.parse(asked.from), Date.parse(asked.to)];
    const within = cells.filter(({ start }) => start >= from && start < to);
    const head = { metric: name, as_of, watermark: as_of, complete: true, zone: this.zone, ...this.uncounted[name] };
    const isMoney = this.money && ["sales_metrics", "order_metrics"].includes(name);
    const groupBy = [...new Set([...asked.group_by.split(","), ...(isMoney ? ["currency"] : [])])];
    if (isMoney) head.base_currency = within.some(({ converted }) => converted !== undefined) ? this.base : null;
    if (view === "totals") return { ...head, rows: sums(within, groupBy, () => 0).map(({ at, ...row }) => row) };
    const starts = within.map(({ start }) => start);
    const isLong = asked.resolution !== "window" && Math.max(...starts) - Math.min(...starts) > LINE * 60_000;
    const step = isLong ? DAY : 60_000;
    // Tests have no zone that changes its clocks.
    const shift = isLong ? offset(this.zone) : 0;
    const lines = new Map();
    for (const { dimensions, at, ...figures } of sums(within, groupBy, (start) => Math.floor((start + shift) / step) * step - shift)) {
      const key = JSON.stringify(dimensions);
      if (!lines.has(key)) lines.set(key, { dimensions, points: [] });
      const point = { start: new Date(at).toISOString(), end: new Date(at + step).toISOString(), complete: true, ...figures };
      lines.get(key).points.push(point);
    }
    return { ...head, resolution: isLong ? "day" : "window", series: [...lines.values()] };
  }
}

/** What a zone's clocks are ahead of UTC now. */
function offset(timeZone) {
  const now = Math.floor(Date.now() / 1000) * 1000;
  const wall = new Date(now).toLocaleString("sv-SE", { timeZone });
  return Date.parse(`${wall.replace(" ", "T")}Z`) - now;
}

/** Sums by the dimensions and by what `spanOf` makes of a start. */
function sums(cells, groupBy, spanOf) {
  const found = new Map();
  for (const { start, dimensions, revenue, refunds = 0, orders, converted = null } of cells) {
    const own = Object.fromEntries(groupBy.map((name) => [name, dimensions[name]]));
    const key = JSON.stringify([spanOf(start), own]);
    const none = { dimensions: own, at: spanOf(start), revenue: 0, refunds: 0, orders: 0, converted: null, unconverted: 0 };
    const sum = found.get(key) ?? none;
    const base = converted === null ? sum.converted : (sum.converted ?? 0) + converted;
    const unconverted = sum.unconverted + Number(converted === null);
    const added = { revenue: sum.revenue + revenue, refunds: sum.refunds + refunds, orders: sum.orders + orders };
    found.set(key, { ...sum, ...added, converted: base, unconverted });
  }
  const each = (value) => Object.fromEntries(AMOUNTS.map((name) => [name, value]));
  return [...found.values()].map((sum) => ({
    dimensions: sum.dimensions,
    at: sum.at,
    values: valuesOf(sum),
    // Converted cells have no refunds: all but what is taken off is their revenue.
    converted: { ...each(sum.converted === null ? null : `${sum.converted}.00`), discounts: "0.00", refunds: "0.00", cancelled: "0.00" },
    unconverted: each(sum.unconverted),
  }));
}

/** The measures of a cell, as the API tells them. */
export function valuesOf({ revenue, refunds = 0, orders }) {
  const money = { gross: revenue + 1, discounts: 1, revenue, refunds, cancelled: 0, net: revenue - refunds };
  const texts = Object.fromEntries(Object.entries(money).map(([name, value]) => [name, `${value}.00`]));
  return { ...texts, orders, quantity: `${orders}.00` };
}
