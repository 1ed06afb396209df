// The page in a real browser, before a server that does what a real one may do.
//
//   TIDEMILL_NODE_MODULES=DIR CHROMIUM=FILE node --test tests/browser/page.test.mjs

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { definition, Stub, valuesOf } from "./stub.mjs";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const playwright = createRequire(resolve(process.env.TIDEMILL_NODE_MODULES ?? "node_modules", "index.js"))("playwright-core");

let browser, stub, page, errors;

before(async () => {
  browser = await playwright.chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
});
after(() => browser.close());

beforeEach(async () => {
  stub = await new Stub().start();
  page = await browser.newPage({ viewport: { width: 1440, height: 1000 }, locale: "en-GB" });
  // A busy machine takes its time.
  page.setDefaultTimeout(60_000);
  errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
});
afterEach(async () => {
  await page.close();
  await stub.stop();
});

/** A sale so many minutes ago. */
const sale = (minutesAgo, category, revenue, orders = 1) => ({
  start: Math.floor(Date.now() / MINUTE) * MINUTE - minutesAgo * MINUTE,
  dimensions: { category, region: "Europe" },
  revenue,
  orders,
});

async function open(span = "1h") {
  await page.goto(`${stub.url}?span=${span}`, { waitUntil: "domcontentloaded" });
  await page.waitForSelector('[data-testid="connection"][data-state="live"]');
}

const netIs = (exact) => page.waitForSelector(`[data-testid="kpi-net"][data-value="${exact}"]`);
const legend = () => page.$$eval("#legend li", (items) => items.map((item) => item.textContent));
const colours = () =>
  page.$$eval("#legend li", (items) => Object.fromEntries(items.map((item) => [item.textContent, item.querySelector(".swatch").style.background])));

/** Sends one cell of the stub anew, by line and by order, and waits until the page has drawn it. */
async function sell(cell, exact) {
  const { start, dimensions } = cell;
  const send = (metric, by, figures) => {
    const point = { start: new Date(start).toISOString(), complete: false, dimensions: by, values: valuesOf(figures) };
    stub.send("metrics", { metric, version: "1", as_of: new Date().toISOString(), points: [point] });
  };
  const others = stub.cells.filter((other) => other.start === start && other.dimensions.category !== dimensions.category);
  const sum = (name) => others.reduce((total, other) => total + other[name], cell[name]);
  send("sales_metrics", dimensions, cell);
  send("order_metrics", { region: dimensions.region }, { revenue: sum("revenue"), orders: sum("orders") });
  await netIs(exact);
}

test("the page ends with its footer, however many alerts have traces", async () => {
  stub.alerts = Array.from({ length: 100 }, (_, n) => ({
    id: `alert-${n}`,
    rule: "SPIKE",
    severity: "warning",
    state: "notified",
    title: `Alert ${n}`,
    summary: "above",
    event_time: new Date().toISOString(),
    fired_at: new Date(Date.now() - n * MINUTE).toISOString(),
    trace_id: "0".repeat(31) + "1",
  }));
  await open();
  await page.waitForFunction(() => document.querySelectorAll('[data-testid="alert-trace"]').length === 100);
  const below = await page.evaluate(() => document.documentElement.scrollHeight - scrollY - document.querySelector("footer").getBoundingClientRect().bottom);
  assert.ok(Math.abs(below) <= 1, `${below} pixels are below the footer`);
});

test("a legend has one entry for what has no colour, also beside a category of that name", async () => {
  const names = ["Other", ..."ABCDEFGHI"];
  stub.cells = names.map((name, at) => sale(5, name, 100 - at));
  await open();
  await netIs("955.00");
  const first = await legend();
  assert.equal(first.length, 8);
  assert.equal(new Set(first).size, 8, "each has a name of its own");
  for (const more of [1, 2, 3]) {
    await sell({ ...stub.cells[0], revenue: 100 + more }, `${955 + more}.00`);
    assert.deepEqual(await legend(), first);
  }
});

test("a category has one colour, whatever is sold most", async () => {
  const names = ["Books", "Games", "Toys", "Garden", "Music"];
  stub.cells = names.map((name, at) => sale(5, name, 100 - at));
  await open();
  await netIs("490.00");
  const before = await colours();
  assert.equal(new Set(Object.values(before)).size, names.length);
  stub.cells = names.map((name, at) => sale(5, name, 100 + at));
  await open();
  await netIs("510.00");
  assert.deepEqual(await colours(), before);
});

test("what the stream sends before the first answer breaks nothing", async () => {
  const release = stub.hold("/v1/books");
  stub.cells = [sale(5, "Books", 7)];
  await open();
  stub.send("books", stub.books());
  // What is sent after it has come, when this is shown.
  stub.send("alert", { id: "a", rule: "R", severity: "warning", state: "firing", title: "After it", summary: "", event_time: new Date().toISOString(), fired_at: new Date().toISOString() });
  await page.waitForSelector('[data-alert-id="a"]');
  release();
  await netIs("7.00");
  await page.waitForSelector('[data-testid="kpi-received"][data-value]');
  assert.deepEqual(errors, []);
});

test("nothing is said to be well while nobody answers", async () => {
  await open();
  await page.waitForFunction(() => document.querySelectorAll('[data-stage][data-ready="true"]').length === 5);
  stub.leave();
  await page.waitForSelector('[data-testid="connection"][data-state="reconnecting"]');
  await page.waitForFunction(() => document.querySelectorAll('[data-stage][data-known="false"]').length === 5);
  assert.equal(await page.locator('[data-stage][data-ready="true"]').count(), 0);
});

test("the chart is told in the measure that it shows", async () => {
  stub.cells = [sale(5, "Books", 500, 2), sale(5, "Games", 100, 9)];
  await open();
  await netIs("600.00");
  const label = () => page.getAttribute("#chart-category", "aria-label");
  assert.match(await label(), /^Net by category.*Books 500\.00, Games 100\.00$/);
  await page.check('input[name="measure"][value="orders"]', { force: true });
  await page.waitForFunction(() => document.querySelector("#chart-category").getAttribute("aria-label").startsWith("Orders"));
  assert.match(await label(), /^Orders by category.*Games 9, Books 2$/);
});

test("a year is asked for in whole windows, and no finer than it is shown", async () => {
  stub.cells = Array.from({ length: 365 }, (_, day) => sale(day * 24 * 60 + 5, day % 2 ? "Books" : "Games", 3));
  await open("all");
  await netIs("1095.00");
  const chart = page.locator("#chart-category");
  assert.ok(Number(await chart.getAttribute("data-points")) <= 181);
  const length = { sales_metrics: MINUTE, order_metrics: MINUTE, product_views: MINUTE, conversion: 60 * MINUTE };
  for (const { name, view, from, to, resolution } of stub.asked) {
    for (const bound of [from, to]) assert.equal(Date.parse(bound) % length[name], 0, `${name} ${bound}`);
    const isRecent = view === "series" && Date.parse(to) > Date.now();
    assert.equal(resolution, isRecent ? "window" : undefined, "only what is held window by window is asked for so");
    if (isRecent) assert.ok(Date.parse(from) > Date.now() - DAY);
  }
  assert.deepEqual(errors, []);
});

test("amounts of two currencies are never added, and none has another's sign", async () => {
  const paid = (currency, revenue, converted) => {
    const cell = sale(5, "Books", revenue);
    return { ...cell, converted, dimensions: { ...cell.dimensions, currency } };
  };
  const headline = () => page.locator('[data-testid="kpi-net"]').innerText();
  stub.money = true;
  try {
    stub.cells = [paid("JPY", 15000)];
    await open();
    await netIs("15000.00");
    assert.match(await headline(), /(JP)?¥\s?15,000$/m);

    stub.cells = [paid("JPY", 15000, 93), paid("EUR", 20, 20)];
    await open();
    await netIs("113.00");
    assert.match(await headline(), /€113\.00\s+gross less .*; from €20\.00, (JP)?¥\s?15,000/);
    assert.equal(await page.locator('[data-testid="category-row"] .bar-value').innerText(), "€113.00");

    stub.cells = [paid("JPY", 15000), paid("KWD", 2)];
    await open();
    await page.waitForFunction(() => document.querySelector('[data-testid="kpi-net"]').innerText.includes("KWD"));
    assert.match(await headline(), /(JP)?¥\s?15,000 · KWD\s2\.000/);
    assert.equal(await page.locator('[data-testid="category-row"]').count(), 0);
    assert.match(await page.innerText("#time-empty"), /several currencies/);
  } finally {
    stub.money = false;
  }
});

/** What a tile or a part says, exactly. */
const exact = (testId) => page.getAttribute(`[data-testid="${testId}"]`, "data-value");

test("an order in two categories is one order, in every span and measure", async () => {
  const [recent, older] = [5, 40].map((minutes) => sale(minutes, "Books", 30).start);
  const cell = (start, category, revenue) => ({ start, dimensions: { category, region: "Europe" }, revenue, orders: 2 });
  stub.cells = [cell(recent, "Books", 30), cell(recent, "Games", 70), cell(older, "Books", 20), cell(older, "Games", 80)];
  stub.placed = [recent, older].map((start) => ({ start, dimensions: { region: "Europe" }, revenue: 100, orders: 2 }));
  await open("15m");
  for (const [span, orders, net] of [["15m", "2", "100.00"], ["1h", "4", "200.00"], ["24h", "4", "200.00"], ["all", "4", "200.00"]]) {
    await page.check(`input[name="span"][value="${span}"]`, { force: true });
    await page.waitForSelector(`#sales-kpis[data-span="${span}"]`);
    await netIs(net);
    for (const measure of ["net", "revenue", "orders", "quantity"]) {
      await page.check(`input[name="measure"][value="${measure}"]`, { force: true });
      await page.waitForSelector(`#chart-category[data-measure="${measure}"]`);
      assert.equal(await exact("kpi-orders"), orders, `${span} ${measure}`);
      assert.match(await page.innerText('[data-testid="kpi-average-order"]'), /\b50\.00\b/);
    }
  }
  await page.check('input[name="measure"][value="orders"]', { force: true });
  await page.waitForSelector("#time-note:not([hidden])");
  assert.equal(await page.isDisabled('input[name="mode"][value="stacked"]'), true, "orders are not stacked");
  assert.match(await page.getAttribute("#chart-category", "aria-label"), /Books 4, Games 4$/);
  const box = await page.locator("#chart-category").boundingBox();
  await page.mouse.move(box.x + box.width - 40, box.y + box.height / 2);
  await page.waitForSelector("#chart-category .tooltip:not([hidden])");
  assert.doesNotMatch(await page.innerText("#chart-category .tooltip"), /Total/);
  assert.deepEqual(errors, []);
});

test("net is told, and what it is made of", async () => {
  stub.cells = [{ ...sale(5, "Books", 90), refunds: 20 }, sale(5, "Games", 10)];
  await open();
  await netIs("80.00");
  assert.match(await page.innerText('[data-testid="kpi-net"]'), /^Net\s+80\.00\s+gross less discounts, refunds and cancelled/);
  const parts = ["gross", "discounts", "refunds", "cancelled", "net"];
  assert.deepEqual(await Promise.all(parts.map((name) => exact(`part-${name}`))), ["101.00", "1.00", "20.00", "0.00", "80.00"]);
  const rows = (id) => page.$$eval(`[data-testid="${id}"]`, (all) => all.map((row) => row.dataset.value));
  assert.deepEqual([await rows("region-row"), await rows("category-row")], [["80.00"], ["70.00", "10.00"]]);
});

test("days are the shop's, whatever the reader's clock shows", async () => {
  stub.zone = "Pacific/Kiritimati";
  const midnight = Date.parse("2026-03-10T10:00:00Z");
  const at = (start, category) => ({ ...sale(0, category, 3), start });
  stub.cells = [at(midnight, "Books"), at(midnight + DAY - MINUTE, "Books"), at(midnight + 3 * DAY, "Books")];
  await open("all");
  await netIs("9.00");
  assert.match(await page.getAttribute("#chart-category", "aria-label"), /from 11 Mar 2026 to 14 Mar 2026/);
  await page.click("#time-table summary");
  await page.waitForSelector("#time-table td");
  const told = await page.$$eval("#time-table tbody tr", (rows) => rows.map((row) => row.innerText.replace(/\s+/g, " ").trim()));
  assert.deepEqual(told, ["14 Mar 2026 3.00", "13 Mar 2026 0.00", "12 Mar 2026 0.00", "11 Mar 2026 6.00"]);
});

/** A page in another zone than the shop's. */
async function readIn(timezoneId) {
  await page.close();
  page = await browser.newPage({ viewport: { width: 1440, height: 1000 }, locale: "en-GB", timezoneId });
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => errors.push(error.message));
}

/** What a clock of a zone shows. */
const clockOf = (timeZone, ms) => new Date(ms).toLocaleTimeString("en-GB", { timeZone, hour: "2-digit", minute: "2-digit" });

test("the zone is named, and all times are of it", async () => {
  await readIn("America/New_York");
  stub.zone = "Asia/Kathmandu";
  const at = Math.floor(Date.now() / MINUTE) * MINUTE - 5 * MINUTE;
  const time = new Date(at).toISOString();
  stub.alerts = [{ id: "a", rule: "R", severity: "warning", state: "notified", title: "Spike", summary: `In the window from ${time.replace(".000", "")}.`, event_time: time, fired_at: time, trace_id: null }];
  stub.cells = [sale(5, "Books", 7)];
  await open();
  await netIs("7.00");
  assert.equal(await page.innerText('[data-testid="zone"]'), "Asia/Kathmandu");
  const clock = clockOf(stub.zone, at);
  assert.match(await page.innerText('[data-testid="alert-row"] time'), new RegExp(clock));
  assert.match(await page.getAttribute('[data-testid="alert-row"] time', "title"), new RegExp(`Event time .*${clock}:00.*Asia/Kathmandu`));
  assert.match(await page.innerText(".alert-summary"), new RegExp(`from .*${clock}\\.$`));
  assert.match(await page.getAttribute("#chart-category", "aria-label"), new RegExp(`from .*${clock} to`));
  // The books' hours begin where the span does in one minute of sixty.
  const minutes = new Date().getUTCMinutes();
  if (minutes > 1 && minutes < 58) assert.match(await page.innerText("#events-since"), /^since .*, in whole hours$/);
  assert.deepEqual(errors, []);
});

test("today and yesterday are days of the shop", async () => {
  stub.zone = "Pacific/Kiritimati";
  const shift = 14 * 60 * MINUTE;
  const midnight = Math.floor((Date.now() + shift) / DAY) * DAY - shift;
  const at = (start, category, revenue) => ({ ...sale(0, category, revenue), start });
  stub.cells = [at(midnight - DAY - MINUTE, "Books", 1), at(midnight - DAY, "Books", 2), at(midnight - MINUTE, "Games", 4), at(midnight, "Books", 8)];
  stub.hours = [midnight - DAY, midnight - 60 * MINUTE, midnight].map((hour, n) => ({ hour: new Date(hour).toISOString(), received: 2 ** n, late: 0, duplicate: 0, dead_lettered: 0 }));
  await open("today");
  await netIs("8.00");
  assert.match(await page.innerText("#sales-since"), /^since 00:00$/);
  await page.check('input[name="span"][value="yesterday"]', { force: true });
  await netIs("6.00");
  await page.waitForSelector('[data-testid="kpi-received"][data-value="3"]');
  assert.equal(await page.innerText("#sales-since"), await page.innerText("#events-since"), "both are the same day");
  const { from, to } = stub.asked.findLast(({ name, view }) => name === "sales_metrics" && view === "totals");
  assert.ok(Date.parse(from) === midnight - DAY && Date.parse(to) <= midnight, `${from} to ${to}`);
  // What is sold now is not yesterday's.
  const point = { start: new Date(Math.floor(Date.now() / MINUTE) * MINUTE).toISOString(), complete: false, dimensions: { region: "Europe" }, values: valuesOf({ revenue: 100, orders: 1 }) };
  stub.send("metrics", { metric: "order_metrics", version: "1", as_of: new Date().toISOString(), points: [point] });
  stub.send("alert", { id: "a", rule: "R", severity: "warning", state: "firing", title: "After it", summary: "", event_time: new Date().toISOString(), fired_at: new Date().toISOString() });
  await page.waitForSelector('[data-alert-id="a"]');
  assert.equal(await exact("kpi-net"), "6.00");
  await page.check('input[name="span"][value="today"]', { force: true });
  await netIs("8.00");
  assert.deepEqual(errors, []);
});

test("after a change of the base currency all that is told is in the new one", async () => {
  const paid = (currency, revenue, converted) => {
    const cell = sale(5, "Books", revenue);
    return { ...cell, converted, dimensions: { ...cell.dimensions, currency } };
  };
  stub.money = true;
  stub.cells = [paid("JPY", 15000, 93), paid("EUR", 20, 20)];
  await open();
  await netIs("113.00");
  stub.base = "USD";
  stub.cells = [paid("JPY", 15000, 100), paid("EUR", 20, 22)];
  const { start, dimensions } = stub.cells[1];
  const amounts = { net: "22.00", revenue: "22.00", gross: "22.00" };
  const point = { start: new Date(start).toISOString(), complete: false, dimensions, values: valuesOf({ revenue: 20, orders: 1 }), converted: amounts };
  for (const metric of ["sales_metrics", "order_metrics"]) {
    stub.send("metrics", { metric, version: "1", as_of: new Date().toISOString(), base_currency: "USD", points: [point] });
  }
  await netIs("122.00");
  assert.match(await page.innerText('[data-testid="kpi-net"]'), /\$122\.00/);
  assert.deepEqual(errors, []);
});

test("the average is of the orders whose amount is known, and says how many are left out", async () => {
  const paid = (currency, revenue, orders, converted) => {
    const cell = sale(5, "Books", revenue, orders);
    return { ...cell, converted, dimensions: { ...cell.dimensions, currency } };
  };
  stub.money = true;
  const average = () => page.locator('[data-testid="kpi-average-order"]');
  stub.cells = [paid("EUR", 60, 3, 60), paid("USD", 20, 1, 18), paid("XAF", 9000, 2)];
  await open();
  await netIs("78.00");
  assert.match(await average().innerText(), /€19\.50\s+revenue per order, before refunds; without 2 orders whose amount in EUR is not known/);
  assert.equal(await average().getAttribute("title"), "without 2 orders whose amount in EUR is not known");
  stub.cells = [paid("XAF", 9000, 2), paid("KWD", 1, 1)];
  await open();
  await page.waitForFunction(() => document.querySelector('[data-testid="kpi-average-order"]').innerText.includes("without 3 orders"));
  assert.match(await average().innerText(), /–\s+revenue per order/);
});

test("a share below nothing is told as it is", async () => {
  stub.cells = [sale(5, "Books", 120), { ...sale(5, "Games", 10), refunds: 30 }];
  await open();
  await netIs("100.00");
  const shares = () => page.$$eval("#categories tr .bar-share", (cells) => cells.map((cell) => cell.innerText));
  assert.deepEqual(await shares(), ["120%", "-20%"]);
  assert.match(await page.innerText('[data-category="Games"] .bar-value'), /^-20\.00$/);
  stub.cells = [sale(5, "Books", 10), { ...sale(5, "Games", 10), refunds: 40 }];
  await open();
  await netIs("-20.00");
  assert.deepEqual(await shares(), ["–", "–"], "of less than nothing there are no shares");
});

test("nothing is told before all of a span is there", async () => {
  const held = ["order_metrics/totals", "product_views/series"].map((path) => stub.hold(`/v1/metrics/${path}`));
  stub.cells = [sale(5, "Books", 7), sale(180, "Books", 30)];
  await open("24h");
  const point = (values) => ({ start: new Date(stub.cells[0].start).toISOString(), complete: false, dimensions: { region: "Europe", category: "Books" }, values: valuesOf(values) });
  for (const metric of ["sales_metrics", "order_metrics"]) {
    stub.send("metrics", { metric, version: "1", as_of: new Date().toISOString(), points: [point({ revenue: 8, orders: 1 })] });
  }
  stub.send("metrics", { metric: "product_views", version: "1", as_of: new Date().toISOString(), points: [{ ...point({ revenue: 0, orders: 0 }), values: { views: 3 } }] });
  stub.send("alert", { id: "a", rule: "R", severity: "warning", state: "firing", title: "After it", summary: "", event_time: new Date().toISOString(), fired_at: new Date().toISOString() });
  await page.waitForSelector('[data-alert-id="a"]');
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
  assert.equal(await exact("kpi-net"), null, "the newest windows are not all");
  assert.equal(await page.locator('[data-testid="category-row"]').count(), 0);
  assert.equal(await page.isHidden("#funnel"), true);
  held.forEach((release) => release());
  await netIs("38.00");
  assert.deepEqual(errors, []);
});

test("how far the numbers are true goes on while nothing comes, and never back", async () => {
  stub.cells = [sale(5, "Books", 7)];
  await open();
  await netIs("7.00");
  const told = (name) => page.getAttribute(`[data-testid="${name}"]`, "datetime");
  const later = [60, 30].map((seconds) => new Date(Date.now() + seconds * 1000).toISOString());
  stub.send("truth", { as_of: later[0], watermark: later[1], complete_until: later[0] });
  await page.waitForSelector(`[data-testid="as-of"][datetime="${later[0]}"]`);
  assert.equal(await told("watermark"), later[1]);
  stub.send("truth", { as_of: later[1], watermark: null, complete_until: null });
  stub.send("alert", { id: "a", rule: "R", severity: "warning", state: "firing", title: "After it", summary: "", event_time: new Date().toISOString(), fired_at: new Date().toISOString() });
  await page.waitForSelector('[data-alert-id="a"]');
  assert.deepEqual([await told("as-of"), await told("watermark")], later);
});

/** A metric of a shop's own: what is given back, by reason. */
const returned = (rows) => ({
  definition: {
    ...definition("returns_by_reason", 60, ["currency", "reason"], [{ name: "items", kind: "count" }, { name: "value", kind: "sum", money: true }]),
    description: "What comes back, and why",
  },
  rows: rows.map(([reason, currency, items, value]) => ({ dimensions: { reason, currency }, values: { items, value } })),
  series: () => ["EUR", "USD"].map((currency) => ({
    dimensions: { currency },
    points: [3, 2, 0].map((ago) => ({ start: new Date(Math.floor(Date.now() / MINUTE) * MINUTE - ago * MINUTE).toISOString(), values: { items: ago + 1, value: "1.00" } })),
  })),
});

test("a metric of the shop's own is there, and follows what comes", async () => {
  stub.cells = [sale(5, "Books", 7)];
  stub.own = [returned([["broken", "EUR", 4, "40.50"], ["broken", "USD", 9, "99.00"], ["late", "EUR", 1, null]])];
  await open();
  const card = page.locator('[data-metric="returns_by_reason"][data-loaded]');
  await card.waitFor();
  assert.match(await card.innerText(), /^Returns by reason/);
  assert.match(await card.innerText(), /What comes back, and why/);
  const told = () => card.locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText).join(" ")));
  assert.deepEqual(await told(), ["broken EUR 4 €40.50", "late EUR 1 –", "broken USD 9 US$99.00"]);
  assert.match(await card.locator(".chart").getAttribute("aria-label"), /^Value over time, by currency: EUR, USD, highest 1/);
  stub.own = [returned(Array.from({ length: 11 }, (_, n) => [`reason ${n}`, "EUR", 11 - n, "1.00"]))];
  stub.send("metrics", { metric: "returns_by_reason", version: "1", as_of: new Date().toISOString(), points: [] });
  await card.scrollIntoViewIfNeeded();
  await page.waitForFunction(() => document.querySelectorAll('[data-metric="returns_by_reason"] tbody tr').length === 8);
  const rest = card.locator("a");
  assert.equal(await rest.innerText(), "and 3 more rows");
  const [asked] = stub.asked.filter(({ name, view }) => name === "returns_by_reason" && view === "totals").slice(-1);
  const { pathname, searchParams } = new URL(await rest.evaluate((link) => link.href));
  const { from, to, group_by } = asked;
  assert.deepEqual([pathname, Object.fromEntries(searchParams)], ["/v1/metrics/returns_by_reason/totals", { from, to, group_by }]);
  assert.deepEqual(errors, []);
});

test("what a changed definition has not counted is said where its metric is shown", async () => {
  stub.cells = [sale(5, "Books", 7)];
  stub.own = [returned([["broken", "EUR", 4, "40.50"]])];
  const [from, to] = [3, 2].map((minutes) => new Date(Date.now() - minutes * MINUTE).toISOString());
  stub.uncounted = { sales_metrics: { uncounted: [{ from, to }] }, returns_by_reason: { counted_from: from } };
  await open();
  await netIs("7.00");
  await page.waitForSelector('[data-metric="returns_by_reason"][data-loaded]');
  for (const panel of ["time", "category"]) assert.match(await page.innerText(`[data-testid="${panel}-uncounted"]`), /^What came in from .* to .* is not counted/);
  for (const panel of ["sales", "region", "views"]) assert.equal(await page.isHidden(`[data-testid="${panel}-uncounted"]`), true, panel);
  assert.match(await page.innerText('[data-testid="kpi-quantity"], [data-testid="kpi-units"]'), /without what came in from/);
  assert.doesNotMatch(await page.innerText('[data-testid="kpi-orders"]'), /came in/);
  assert.match(await page.innerText('[data-metric="returns_by_reason"]'), /counted since \d\d:\d\d/);

  stub.uncounted = { order_metrics: { counted_from: from } };
  await open();
  await netIs("7.00");
  for (const panel of ["sales", "region"]) assert.match(await page.innerText(`[data-testid="${panel}-uncounted"]`), /^What came in before .* is not counted/);
  for (const panel of ["time", "category"]) assert.equal(await page.isHidden(`[data-testid="${panel}-uncounted"]`), true, panel);
  assert.deepEqual(errors, []);
});

test("the card of a metric with as many columns as daily sales shows all of them", async () => {
  await page.setViewportSize({ width: 1300, height: 900 });
  const money = ["cancelled", "discounts", "gross", "net", "refunds", "revenue"].map((name) => ({ name, kind: "sum", money: true }));
  const measures = [...money, ...["customers", "orders", "quantity"].map((name) => ({ name, kind: "count" }))];
  const values = Object.fromEntries(measures.map(({ name, money }) => [name, money ? "1234567.89" : 123_456]));
  const daily = definition("daily_sales", 86_400, ["currency", "region"], measures);
  const rows = [{ dimensions: { currency: "USD", region: "Europe" }, values }];
  stub.own = [returned([["broken", "EUR", 4, "40.50"]]), { definition: daily, rows, series: () => [] }];
  await open();
  const last = page.locator('[data-metric="daily_sales"][data-loaded] thead th').last();
  await last.waitFor();
  const [column, card] = [await last.boundingBox(), await page.locator('[data-metric="daily_sales"]').boundingBox()];
  assert.ok(column.x + column.width <= card.x + card.width, `the last column ends at ${column.x + column.width}, the card at ${card.x + card.width}`);
});

test("a table with many measures keeps its words whole", async () => {
  const measures = Array.from({ length: 14 }, (_, n) => ({ name: `measure_number_${n}`, kind: "count" }));
  const values = Object.fromEntries(measures.map(({ name }) => [name, 1_000_000]));
  stub.own = [{ definition: definition("wide", 60, ["reason"], measures), rows: [{ dimensions: { reason: "unexpectedly" }, values }], series: () => [] }];
  await open();
  await page.waitForSelector('[data-metric="wide"][data-loaded]');
  const head = await page.locator('[data-metric="wide"] tbody th').boundingBox();
  assert.ok(head.height < 45, `the row is ${head.height} pixels high`);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "the table scrolls, and not the page");
});

test("of many metrics of its own the shop is told the first, and the names of the rest", async () => {
  stub.own = Array.from({ length: 14 }, (_, n) => {
    const { definition: of, ...answers } = returned([["broken", "EUR", 1, "1.00"]]);
    return { ...answers, definition: { ...of, name: `metric_${String(n).padStart(2, "0")}` } };
  });
  await open();
  await page.waitForSelector('[data-metric="metric_11"][data-loaded]');
  assert.equal(await page.locator('[data-testid="own-metric"]').count(), 12);
  assert.match(await page.innerText('[data-testid="own-metrics"] > .fine'), /^and 2 more, at \/v1\/metrics: metric_12, metric_13$/);
});

test("without metrics of its own the panel is not there", async () => {
  await open();
  await page.waitForSelector('[data-testid="kpi-net"][data-value]');
  assert.equal(await page.isHidden('[data-testid="own-metrics"]'), true);
});

test("nothing moves when the figures come", async () => {
  stub.cells = Array.from({ length: 30 }, (_, n) => sale(n, ["Books", "Games"][n % 2], 100 + n));
  stub.own = [returned([["broken", "EUR", 4, "40.50"]])];
  await page.addInitScript(() => {
    window.moved = 0;
    new PerformanceObserver((list) => list.getEntries().forEach(({ value }) => (window.moved += value))).observe({ type: "layout-shift", buffered: true });
  });
  await open();
  await page.waitForSelector('[data-metric="returns_by_reason"][data-loaded]');
  await page.evaluate(() => document.fonts.ready.then(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))));
  const moved = await page.evaluate(() => window.moved);
  assert.ok(moved < 0.02, `the layout has moved by ${moved}`);
});
