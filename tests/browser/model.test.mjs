// Run with `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bucketsOf, Calendar } from "../../services/reporting/assets/calendar.js";
import { formatMoney, share, withShopTimes } from "../../services/reporting/assets/format.js";
import { Applied, bookHours, booksSince, MetricModel } from "../../services/reporting/assets/model.js";
import { firstOf, lineUp, nameOf, questionOf, ranked, tableOf } from "../../services/reporting/assets/ownmodel.js";
import { slotsOf, SLOTS } from "../../services/reporting/assets/slots.js";
import { SPANS, windowBounds } from "../../services/reporting/assets/spans.js";

const MINUTE = 60_000;
const NOON = Date.parse("2026-03-01T12:00:00Z");

function sales({ spanFrom = -Infinity, liveFrom = NOON } = {}) {
  const model = new MetricModel("sales_metrics", ["revenue", "orders"], "category");
  model.define({ dimensions: ["category", "region"], window: { seconds: 60 } });
  model.clear(spanFrom, liveFrom);
  return model;
}

function cell(minutes, category, region, revenue, orders, complete = true) {
  return {
    start: new Date(NOON + minutes * MINUTE).toISOString(),
    complete,
    dimensions: { category, region },
    values: { revenue, orders },
  };
}

test("a cell that comes again overwrites itself", () => {
  const model = sales();
  assert.equal(model.apply(cell(0, "books", "Europe", "10.10", 1)), Applied.Live);
  model.apply(cell(0, "books", "Europe", "30.30", 3));
  model.apply(cell(0, "books", "Asia", "0.20", 1));
  assert.equal(model.total("revenue"), 30_500_000_000_000n);
  assert.equal(model.total("orders"), 4_000_000_000_000n);
});

test("rows that a measure could not read are counted, and as often as their window says", () => {
  const model = sales();
  assert.equal(model.unread("revenue"), 0);
  model.setTotals([{ dimensions: {}, values: { revenue: "5.00", orders: 1 }, unread: { revenue: 3 } }]);
  model.apply({ ...cell(0, "books", "Europe", "1.00", 1), unread: { revenue: 1 } });
  model.apply({ ...cell(0, "books", "Europe", "1.00", 1), unread: { revenue: 2 } });
  model.apply(cell(0, "games", "Europe", "1.00", 1));
  assert.equal(model.unread("revenue"), 5);
  assert.equal(model.unread("orders"), 0);
});

test("older windows count in sum, and a change among them asks for the history", () => {
  const model = sales();
  model.setTotals([{ dimensions: { category: "books", region: "Europe" }, values: { revenue: "5.00", orders: 1 } }]);
  model.setHistory([
    { dimensions: { category: "books" }, points: [{ start: "2026-03-01T11:58:00Z", values: { revenue: "5.00", orders: 1 } }] },
  ]);
  model.apply(cell(0, "books", "Europe", "1.00", 1));
  assert.equal(model.total("revenue"), 6_000_000_000_000n);
  assert.deepEqual(model.totalsBy("region", "revenue"), [["Europe", 6_000_000_000_000n]]);
  assert.deepEqual(model.timeline("revenue").groups, new Map([["books", [5, 0, 1]]]));
  assert.equal(model.apply(cell(-1, "books", "Europe", "9.00", 1)), Applied.History);
  assert.equal(model.total("revenue"), 6_000_000_000_000n);
});

test("windows outside the span are refused, and leave it as time goes on", () => {
  const model = sales({ spanFrom: NOON });
  assert.equal(model.apply(cell(-1, "books", "Europe", "9.00", 1)), Applied.Outside);
  model.apply(cell(0, "books", "Europe", "1.00", 1));
  model.apply(cell(5, "books", "Europe", "2.00", 1));
  assert.equal(model.prune(NOON + MINUTE), true);
  assert.equal(model.prune(NOON + MINUTE), false);
  assert.equal(model.cells.size, 1);
  assert.equal(model.total("revenue"), 2_000_000_000_000n);
});

test("totals are sorted, largest first, then by name", () => {
  const model = sales();
  model.apply(cell(0, "toys", "Europe", "1.00", 1));
  model.apply(cell(0, "books", "Europe", "1.00", 1));
  model.apply(cell(0, "beauty", "Asia", "7.00", 1));
  model.apply(cell(0, null, "Asia", "0.50", 1));
  assert.deepEqual(
    model.totalsBy("category", "revenue").map(([name]) => name),
    ["beauty", "books", "toys", "unknown"],
  );
});

test("the timeline spans the data, fills gaps with zero and widens its buckets", () => {
  const model = sales({ liveFrom: -Infinity });
  assert.deepEqual(model.timeline("orders").starts, []);
  model.apply(cell(0, "books", "Europe", "1.00", 1));
  model.apply(cell(3, "books", "Asia", "1.00", 2));
  const near = model.timeline("orders");
  assert.equal(near.step, MINUTE);
  assert.deepEqual(near.starts, [0, 1, 2, 3].map((minutes) => NOON + minutes * MINUTE));
  assert.deepEqual(near.groups.get("books"), [1, 0, 0, 2]);

  model.apply(cell(60 * 24, "books", "Asia", "1.00", 4));
  const far = model.timeline("orders");
  assert.ok(far.starts.length <= 182);
  assert.equal(far.groups.get("books").reduce((sum, value) => sum + value), 7);
});

test("a history in days is drawn no finer than in days", () => {
  const model = sales();
  model.setHistory(
    [{ dimensions: { category: "books" }, points: [{ start: "2026-02-28T00:00:00Z", values: { orders: 2 } }, { start: "2026-03-01T00:00:00Z", values: { orders: 3 } }] }],
    "day",
  );
  model.apply(cell(0, "books", "Europe", "1.00", 4));
  const { step, starts, groups } = model.timeline("orders");
  assert.deepEqual([step, starts.length, groups.get("books")], [24 * 60 * MINUTE, 2, [2, 7]]);
});

test("days are those of the zone, and a day of 23 hours is one", () => {
  const model = sales({ liveFrom: Date.parse("2026-03-29T20:00:00Z") });
  const point = (start, orders) => ({ start, values: { orders } });
  const points = [point("2026-03-27T23:00:00Z", 1), point("2026-03-28T23:00:00Z", 2)];
  model.setHistory([{ dimensions: { category: "books" }, points }], "day", "Europe/Berlin");
  const live = (time, orders) => model.apply({ ...cell(0, "books", "Europe", "1.00", orders), start: time });
  live("2026-03-29T21:59:00Z", 4);
  live("2026-03-29T22:00:00Z", 8);
  const { starts, groups } = model.timeline("orders");
  const expected = ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"].map(Date.parse);
  assert.deepEqual([starts, groups.get("books")], [expected, [1, 6, 8]]);
});

test("buckets of days, weeks and months begin at midnights of the zone", () => {
  const DAY = 24 * 60 * MINUTE;
  const first = (zone, days, time) => {
    const buckets = bucketsOf(days * DAY, new Calendar(zone));
    return new Date(buckets.begins(buckets.of(Date.parse(time)))).toISOString();
  };
  assert.equal(first("Europe/Berlin", 1, "2026-10-25T12:00:00Z"), "2026-10-24T22:00:00.000Z");
  assert.equal(first("Europe/Berlin", 7, "2026-10-25T12:00:00Z"), "2026-10-18T22:00:00.000Z");
  assert.equal(first("Europe/Berlin", 31, "2026-10-25T12:00:00Z"), "2026-09-30T22:00:00.000Z");
  assert.equal(first("Asia/Tokyo", 366, "2026-10-25T12:00:00Z"), "2025-12-31T15:00:00.000Z");
  // Midnight of this day is left out in Santiago.
  assert.equal(first("America/Santiago", 1, "2026-09-06T12:00:00Z"), "2026-09-06T04:00:00.000Z");
  assert.equal(first("No/Such_Zone", 1, "2026-10-25T12:00:00Z"), "2026-10-25T00:00:00.000Z");
});

test("what can still change is known", () => {
  const model = sales();
  assert.equal(model.openFrom, null);
  model.apply(cell(0, "books", "Europe", "1.00", 1));
  model.apply(cell(1, "books", "Europe", "1.00", 1, false));
  model.apply(cell(2, "books", "Europe", "1.00", 1, false));
  assert.equal(model.openFrom, NOON + MINUTE);
  model.apply(cell(1, "books", "Europe", "1.00", 1, true));
  assert.equal(model.openFrom, NOON + 2 * MINUTE);
});

test("the books of a span are those of its hours, and of what came since", () => {
  const counts = (received, late) => ({ received, late, duplicate: 0, dead_lettered: 0 });
  const hours = {
    totals: counts(30, 3),
    sources: [
      {
        source: "shop",
        hours: [
          { hour: "2026-03-01T10:00:00Z", ...counts(10, 1) },
          { hour: "2026-03-01T11:00:00Z", ...counts(20, 2) },
        ],
      },
    ],
  };
  assert.deepEqual(booksSince(hours, NOON - 30 * MINUTE), counts(20, 2));
  assert.deepEqual(booksSince(hours, NOON - 90 * MINUTE), counts(30, 3));
  assert.deepEqual(booksSince(hours, NOON - 30 * MINUTE, counts(34, 3)), counts(24, 2));
});

test("colours follow from the names, and no two names share one", () => {
  const names = ["Books", "Games", "Toys", "Garden", "Music", "Other", "unknown"];
  assert.equal(names.length, SLOTS);
  const slots = slotsOf(names);
  assert.deepEqual(new Set(slots.values()), new Set([1, 2, 3, 4, 5, 6, 7]));
  assert.deepEqual(slotsOf([...names].reverse()), slots);
});

/** Sales with money, as the API tells them: by currency, and converted beside it. */
function money(...cells) {
  const model = new MetricModel("sales_metrics", ["revenue", "orders"], "category");
  const measures = [{ name: "orders" }, { name: "revenue", money: true }];
  model.define({ dimensions: ["category", "currency", "region"], window: { seconds: 60 }, measures });
  model.clear(-Infinity, NOON);
  model.setBase("EUR");
  cells.forEach(([currency, revenue, converted, unconverted], minute) => {
    const { dimensions, ...rest } = cell(minute, "books", "Europe", revenue, 1);
    model.apply({ ...rest, dimensions: { ...dimensions, currency }, converted: { revenue: converted }, unconverted: { revenue: unconverted } });
  });
  return model;
}

test("one currency is shown as it is, whatever the base currency", () => {
  const model = money(["JPY", "15000.00", "93.00", 0], ["JPY", "1000.00", null, 1]);
  assert.deepEqual([model.currency, model.total("revenue"), model.unconverted("revenue")], ["JPY", 16_000n * 10n ** 12n, 0]);
});

test("amounts of two currencies are never added: they are told in the base currency, or apart", () => {
  const model = money(["JPY", "15000.00", "93.00", 0], ["EUR", "20.00", "20.00", 0], ["KWD", "1.250", null, 1]);
  assert.deepEqual([model.currency, model.total("revenue"), model.unconverted("revenue")], ["EUR", 113n * 10n ** 12n, 1]);
  assert.deepEqual(model.totalsBy("category", "revenue"), [["books", 113n * 10n ** 12n]]);
  assert.deepEqual(model.timeline("revenue").groups, new Map([["books", [93, 20, 0]]]));
  assert.deepEqual(model.totalByCurrency("revenue"), [["EUR", 20n * 10n ** 12n], ["JPY", 15_000n * 10n ** 12n], ["KWD", 1_250n * 10n ** 9n]]);
  assert.equal(model.total("orders"), 3n * 10n ** 12n);
  model.setHistory([
    { dimensions: { category: "books", currency: "EUR" }, points: [{ start: "2026-03-01T11:58:00Z", values: { revenue: "5.00", orders: 1 }, converted: { revenue: "5.00" } }] },
    { dimensions: { category: "books", currency: "JPY" }, points: [{ start: "2026-03-01T11:58:00Z", values: { revenue: "900.00", orders: 1 }, converted: { revenue: "6.00" } }] },
  ]);
  assert.deepEqual(model.timeline("revenue").groups, new Map([["books", [11, 0, 93, 20, 0]]]));
});

test("a metric whose measures are no money has no currency", () => {
  const model = sales();
  model.apply(cell(0, "books", "Europe", "1.00", 1));
  assert.deepEqual([model.currency, model.totalByCurrency("revenue"), model.total("revenue")], [null, [], 10n ** 12n]);
});

test("an amount is written with the decimals of its currency", () => {
  assert.match(formatMoney(15_000n * 10n ** 12n, "JPY"), /^\D*15\D?000\D*$/);
  assert.match(formatMoney(1_250n * 10n ** 9n, "KWD"), /1.250/);
  assert.match(formatMoney(20n * 10n ** 12n, "EUR"), /20.00/);
  assert.match(formatMoney(20n * 10n ** 12n, null), /^20.00$/);
  assert.ok(!formatMoney(15_000n * 10n ** 12n, "JPY").includes("€"));
});

const times = ({ from, to }) => [from, to].map((ms) => (Number.isFinite(ms) ? new Date(ms).toISOString() : ms));

test("a day is the shop's, also where it has 23 hours", () => {
  const berlin = new Calendar("Europe/Berlin");
  const now = Date.parse("2026-03-30T10:07:08Z");
  const bounds = (span, windowMs = MINUTE) => times(windowBounds(SPANS[span], windowMs, now, berlin));
  assert.deepEqual(bounds("today"), ["2026-03-29T22:00:00.000Z", Infinity]);
  assert.deepEqual(bounds("yesterday"), ["2026-03-28T23:00:00.000Z", "2026-03-29T22:00:00.000Z"]);
  assert.deepEqual(bounds("15m"), ["2026-03-30T09:52:00.000Z", Infinity]);
  assert.deepEqual(bounds("all"), [-Infinity, Infinity]);
  // The nearest day of UTC, and not the one that is all but over.
  assert.deepEqual(bounds("yesterday", 24 * 60 * MINUTE), ["2026-03-29T00:00:00.000Z", "2026-03-30T00:00:00.000Z"]);
});

test("windows after a span are none of it", () => {
  const model = sales();
  model.clear(NOON, NOON, NOON + 2 * MINUTE);
  assert.equal(model.apply(cell(1, "books", "Europe", "1.00", 1)), Applied.Live);
  assert.equal(model.apply(cell(2, "books", "Europe", "2.00", 1)), Applied.Outside);
});

test("the books of a day that is over have its hours alone", () => {
  const hour = (at, received) => ({ hour: new Date(at).toISOString(), received, late: 0, duplicate: 0, dead_lettered: 0 });
  const totals = { received: 7, late: 0, duplicate: 0, dead_lettered: 0 };
  const hours = { totals, sources: [{ hours: [hour(NOON - 60 * MINUTE, 1), hour(NOON, 2), hour(NOON + 60 * MINUTE, 4)] }] };
  const newer = { ...totals, received: 9 };
  assert.equal(booksSince(hours, NOON, newer, NOON + 60 * MINUTE).received, 2);
  assert.equal(booksSince(hours, NOON, newer).received, 8, "what has come since is of now");
  assert.deepEqual(bookHours({ from: NOON + MINUTE, to: NOON + 61 * MINUTE }), { from: NOON, to: NOON + 120 * MINUTE });
});

test("shares are of what is there, and may be below nothing", () => {
  assert.equal(share(30n, 120n), 0.25);
  assert.equal(share(-30n, 120n), -0.25);
  assert.equal(share(-30n, -10n), null);
  assert.equal(share(0n, 0n), null);
});

test("an average leaves out what has no rate, and counts it", () => {
  const model = sales({ liveFrom: -Infinity });
  model.define({ dimensions: ["category", "currency", "region"], window: { seconds: 60 }, measures: [{ name: "revenue", money: true }, { name: "orders" }] });
  const paid = (currency, revenue, orders, more) => model.apply({ ...cell(0, "books", "Europe", revenue, orders), dimensions: { category: "books", currency, region: "Europe" }, ...more });
  paid("EUR", "60.00", 3, { converted: { revenue: "60.00" } });
  model.setBase("EUR");
  assert.deepEqual(model.average("revenue", "orders"), { sum: 60_000_000_000_000n, count: 3_000_000_000_000n, left: 0n });
  paid("XAF", "9000", 2, { converted: { revenue: null }, unconverted: { revenue: 2 } });
  assert.deepEqual(model.average("revenue", "orders"), { sum: 60_000_000_000_000n, count: 3_000_000_000_000n, left: 2_000_000_000_000n });
});

const returns = { name: "returns_by_reason", window: { kind: "tumbling", seconds: 60 }, dimensions: ["currency", "reason"], measures: [{ name: "items", kind: "count" }, { name: "value", kind: "sum", money: true }] };
const minute = (ago, values) => ({ start: new Date(NOON - ago * MINUTE).toISOString(), end: new Date(NOON - (ago - 1) * MINUTE).toISOString(), values });

test("a metric of the shop's own is a table of its dimensions, and amounts stay in their currencies", () => {
  const row = (reason, currency, items, value) => ({ dimensions: { reason, currency }, values: { items, value } });
  const { columns, rows, rest } = tableOf(returns, { rows: [row("late", "EUR", 1, "2.00"), row("broken", "USD", 5, "9.00"), row("broken", "EUR", 5, "7.00")], approximate: ["items"] });
  assert.deepEqual(columns.map(({ name, isApproximate = false }) => [name, isApproximate]), [["reason", false], ["currency", false], ["items", true], ["value", false]]);
  assert.deepEqual(rows.map(({ cells, currency }) => [...cells, currency]), [["broken", "EUR", 5, "7.00", "EUR"], ["late", "EUR", 1, "2.00", "EUR"], ["broken", "USD", 5, "9.00", "USD"]]);
  assert.equal(rest, 0);
  assert.equal(tableOf(returns, { rows: Array.from({ length: 20 }, (_, n) => row(`r${n}`, "EUR", n, "1.00")) }).rest, 12);
  assert.deepEqual(tableOf({ ...returns, dimensions: [], measures: [returns.measures[0]] }, { rows: [{ dimensions: {}, values: { items: 3 } }] }).rows[0].cells, ["All", 3]);
});

test("a card is sorted by what is earned, else by its first amount, else by its first measure", () => {
  const first = (...measures) => firstOf({ measures }).name;
  const money = (name) => ({ name, kind: "sum", money: true });
  const count = (name) => ({ name, kind: "count" });
  assert.equal(first(money("cancelled"), count("customers"), money("net"), money("revenue")), "net");
  assert.equal(first(count("items"), money("value"), money("worth")), "value");
  assert.equal(first(count("items"), count("rows")), "items");
});

test("the rest of a card's rows is asked for as the card is", () => {
  const metric = { name: "by customer" };
  const bounds = { from: NOON, to: NOON + MINUTE };
  const parameters = { from: "2026-03-01T12:00:00.000Z", to: "2026-03-01T12:01:00.000Z" };
  assert.deepEqual(questionOf(metric, "totals", bounds, ["currency", "customer"]), { path: "/v1/metrics/by%20customer/totals", parameters: { ...parameters, group_by: "currency,customer" } });
  assert.deepEqual(questionOf(metric, "series", { ...bounds, from: -Infinity }).parameters, { ...parameters, from: "1970-01-01T00:00:00.000Z" });
});

test("of windows that overlap the newest is told", () => {
  const series = [
    { dimensions: { reason: "broken", currency: "EUR" }, points: [minute(2, { items: 9, value: "1.00" }), minute(1, { items: 4, value: "1.00" })] },
    { dimensions: { reason: "late", currency: "EUR" }, points: [minute(2, { items: 7, value: "1.00" })] },
  ];
  const { rows, window } = tableOf({ ...returns, window: { kind: "sliding", seconds: 60 } }, { series });
  assert.deepEqual([rows.length, rows[0].cells[2], window.start], [1, 4, NOON - MINUTE]);
  assert.equal(tableOf(returns, { series: [] }).window, null);
});

test("the lines of a series have the same times, and a count is nothing where nothing came", () => {
  const series = ["EUR", "USD"].map((currency, at) => ({ dimensions: { currency }, points: at === 0 ? [minute(3, { items: 2 }), minute(0, { items: 1 })] : [minute(1, { items: 8 })] }));
  const { starts, lines } = lineUp(returns, returns.measures[0], { series, resolution: "window" }, new Calendar());
  assert.deepEqual(starts, [3, 2, 1, 0].map((ago) => NOON - ago * MINUTE));
  assert.deepEqual(lines.map(({ name, values }) => [name, values]), [["USD", [0, 0, 8, 0]], ["EUR", [2, 0, 0, 1]]]);
  const averages = lineUp(returns, { name: "items", kind: "average" }, { series, resolution: "window" }, new Calendar());
  assert.deepEqual(averages.lines[0].values, [null, null, 8, null], "an average of nothing has no value");
});

test("the shop's own metrics go before those that came with the suite", () => {
  const names = (all) => ranked(all.map((name) => ({ name }))).map(({ name }) => name);
  assert.deepEqual(names(["tidemill_check", "daily_sales", "visits", "a_metric", "daily_country"]), ["a_metric", "visits", "daily_country", "daily_sales"]);
  assert.equal(nameOf({ name: "returns_by_reason" }), "Returns by reason");
});

test("a text that is no time stays as it is", () => {
  assert.equal(withShopTimes("at 2026-99-01T00:00:00Z, 2026-03-01"), "at 2026-99-01T00:00:00Z, 2026-03-01");
  assert.doesNotMatch(withShopTimes("from 2026-03-01T12:00:00Z."), /Z/);
});
