// A server for tests of the page: the page's own files, an API that answers from
// a few cells, and a stream that says what a test wants.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

const ASSETS = new URL("../../services/reporting/assets/", import.meta.url);
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2" };
const DAY = 86_400_000;
/** As many windows as the API tells one by one where no resolution is named. */
const LINE = 4000;
const SERVICES = ["ingestion", "enrichment", "aggregation", "alert", "reporting"];
const COUNTS = { received: 9, accepted: 9, rejected: 0, counted: 9, late: 0, duplicate: 0, dead_lettered: 0, in_flight: 0 };

const definition = (name, seconds, dimensions) => ({ name, version: "1", window: { kind: "tumbling", seconds }, dimensions, measures: [] });

export class Stub {
  /** `{start, dimensions, revenue, orders}` of sales, in minutes. */
  cells = [];
  alerts = [];
  /** Whether revenue is money. Then cells have the dimension `currency`, and `converted` where that is known. */
  money = false;
  /** Every request for a series or totals. */
  asked = [];
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
    sources: [{ source: "shop", ...COUNTS, balanced: true, hours: [] }],
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
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(this.#json(url)));
  }

  async #file(path, response) {
    const name = path === "/" ? "index.html" : path.replace("/assets/", "");
    response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "text/plain" });
    response.end(await readFile(fileURLToPath(new URL(name, ASSETS))));
  }

  #stream(response) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("id: 1\ndata: \n\n");
    this.#streams.add(response);
    response.on("close", () => this.#streams.delete(response));
  }

  #json(url) {
    const as_of = new Date().toISOString();
    const metrics = [
      {
        ...definition("sales_metrics", 60, this.money ? ["category", "currency", "region"] : ["category", "region"]),
        measures: [{ name: "revenue", kind: "sum", money: this.money }],
      },
      definition("product_views", 60, ["category"]),
      definition("conversion", 3600, ["region"]),
    ];
    if (url.pathname === "/v1/metrics") return { as_of, metrics };
    if (url.pathname === "/v1/alerts") return { as_of, alerts: this.alerts };
    if (url.pathname === "/v1/books") return this.books();
    if (url.pathname === "/v1/health") return this.health();
    const [, , , name, view] = url.pathname.split("/");
    const asked = { name, view, ...Object.fromEntries(url.searchParams) };
    this.asked.push(asked);
    const cells = name === "sales_metrics" ? this.cells : [];
    const [from, to] = [Date.parse(asked.from), Date.parse(asked.to)];
    const within = cells.filter(({ start }) => start >= from && start < to);
    const head = { metric: name, as_of, watermark: as_of, complete: true };
    const isMoney = this.money && name === "sales_metrics";
    const groupBy = [...new Set([...asked.group_by.split(","), ...(isMoney ? ["currency"] : [])])];
    if (isMoney) head.base_currency = within.some(({ converted }) => converted !== undefined) ? "EUR" : null;
    if (view === "totals") return { ...head, rows: sums(within, groupBy, () => 0).map(({ at, ...row }) => row) };
    const starts = within.map(({ start }) => start);
    const isLong = asked.resolution !== "window" && Math.max(...starts) - Math.min(...starts) > LINE * 60_000;
    const step = isLong ? DAY : 60_000;
    const lines = new Map();
    for (const { dimensions, at, ...figures } of sums(within, groupBy, (start) => Math.floor(start / step) * step)) {
      const key = JSON.stringify(dimensions);
      if (!lines.has(key)) lines.set(key, { dimensions, points: [] });
      const point = { start: new Date(at).toISOString(), end: new Date(at + step).toISOString(), complete: true, ...figures };
      lines.get(key).points.push(point);
    }
    return { ...head, resolution: isLong ? "day" : "window", series: [...lines.values()] };
  }
}

/** Sums by the dimensions and by what `spanOf` makes of a start. */
function sums(cells, groupBy, spanOf) {
  const found = new Map();
  for (const { start, dimensions, revenue, orders, converted = null } of cells) {
    const own = Object.fromEntries(groupBy.map((name) => [name, dimensions[name]]));
    const key = JSON.stringify([spanOf(start), own]);
    const sum = found.get(key) ?? { dimensions: own, at: spanOf(start), revenue: 0, orders: 0, converted: null, unconverted: 0 };
    const base = converted === null ? sum.converted : (sum.converted ?? 0) + converted;
    const unconverted = sum.unconverted + Number(converted === null);
    found.set(key, { ...sum, revenue: sum.revenue + revenue, orders: sum.orders + orders, converted: base, unconverted });
  }
  const values = ({ revenue, orders }) => ({ revenue: `${revenue}.00`, orders, quantity: `${orders}.00` });
  return [...found.values()].map((sum) => ({
    dimensions: sum.dimensions,
    at: sum.at,
    values: values(sum),
    converted: { revenue: sum.converted === null ? null : `${sum.converted}.00` },
    unconverted: { revenue: sum.unconverted },
  }));
}
