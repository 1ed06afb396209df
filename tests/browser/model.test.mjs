// Run with `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { bucketsOf, Calendar } from "../../services/reporting/assets/calendar.js";
import { formatMoney } from "../../services/reporting/assets/format.js";
import { Applied, booksSince, MetricModel } from "../../services/reporting/assets/model.js";
import { slotsOf, SLOTS } from "../../services/reporting/assets/slots.js";

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
  assert.equal(model.completeUntil, null);
  model.apply(cell(0, "books", "Europe", "1.00", 1));
  model.apply(cell(1, "books", "Europe", "1.00", 1, false));
  model.apply(cell(2, "books", "Europe", "1.00", 1, false));
  assert.equal(model.openFrom, NOON + MINUTE);
  assert.equal(model.completeUntil, NOON + MINUTE);
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
