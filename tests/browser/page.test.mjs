// The page in a real browser, before a server that does what a real one may do.
//
//   TIDEMILL_NODE_MODULES=DIR CHROMIUM=FILE node --test tests/browser/page.test.mjs

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { Stub } from "./stub.mjs";

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

const revenueIs = (exact) => page.waitForSelector(`[data-testid="kpi-revenue"][data-value="${exact}"]`);
const legend = () => page.$$eval("#legend li", (items) => items.map((item) => item.textContent));
const colours = () =>
  page.$$eval("#legend li", (items) => Object.fromEntries(items.map((item) => [item.textContent, item.querySelector(".swatch").style.background])));

/** Sends one cell anew, and waits until the page has drawn it. */
async function sell(cell, exact) {
  const values = { revenue: `${cell.revenue}.00`, orders: cell.orders, quantity: `${cell.orders}.00` };
  const point = { start: new Date(cell.start).toISOString(), complete: false, dimensions: cell.dimensions, values };
  stub.send("metrics", { metric: "sales_metrics", version: "1", as_of: new Date().toISOString(), points: [point] });
  await revenueIs(exact);
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
  await revenueIs("955.00");
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
  await revenueIs("490.00");
  const before = await colours();
  assert.equal(new Set(Object.values(before)).size, names.length);
  stub.cells = names.map((name, at) => sale(5, name, 100 + at));
  await open();
  await revenueIs("510.00");
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
  await revenueIs("7.00");
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
  await revenueIs("600.00");
  const label = () => page.getAttribute("#chart-category", "aria-label");
  assert.match(await label(), /^Revenue by category.*Books 500\.00, Games 100\.00$/);
  await page.check('input[name="measure"][value="orders"]', { force: true });
  await page.waitForFunction(() => document.querySelector("#chart-category").getAttribute("aria-label").startsWith("Orders"));
  assert.match(await label(), /^Orders by category.*Games 9, Books 2$/);
});

test("a year is asked for in whole windows, and no finer than it is shown", async () => {
  stub.cells = Array.from({ length: 365 }, (_, day) => sale(day * 24 * 60 + 5, day % 2 ? "Books" : "Games", 3));
  await open("all");
  await revenueIs("1095.00");
  const chart = page.locator("#chart-category");
  assert.ok(Number(await chart.getAttribute("data-points")) <= 181);
  const length = { sales_metrics: MINUTE, product_views: MINUTE, conversion: 60 * MINUTE };
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
  const headline = () => page.locator('[data-testid="kpi-revenue"]').innerText();
  stub.money = true;
  try {
    stub.cells = [paid("JPY", 15000)];
    await open();
    await revenueIs("15000.00");
    assert.match(await headline(), /(JP)?¥\s?15,000$/m);

    stub.cells = [paid("JPY", 15000, 93), paid("EUR", 20, 20)];
    await open();
    await revenueIs("113.00");
    assert.match(await headline(), /€113\.00\s+from €20\.00, (JP)?¥\s?15,000/);
    assert.equal(await page.locator('[data-testid="category-row"] .bar-value').innerText(), "€113.00");

    stub.cells = [paid("JPY", 15000), paid("KWD", 2)];
    await open();
    await page.waitForFunction(() => document.querySelector('[data-testid="kpi-revenue"]').innerText.includes("KWD"));
    assert.match(await headline(), /(JP)?¥\s?15,000 · KWD\s2\.000/);
    assert.equal(await page.locator('[data-testid="category-row"]').count(), 0);
    assert.match(await page.innerText("#time-empty"), /several currencies/);
  } finally {
    stub.money = false;
  }
});
