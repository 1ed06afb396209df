// What is shown of a metric of a shop's own, made of the API's answers.

import { bucketsOf } from "./calendar.js";
import { RESOLUTION_MS } from "./model.js";

/** As many rows as a table shows. */
const MAX_ROWS = 8;
/** As many points as a line is filled up to. */
const MAX_POINTS = 5_000;
/** Definitions that come with the suite: those of a shop go first. */
const SHIPPED = new Set(["daily_country", "daily_sales"]);
/** What `tidemill check` sends: it is no figure of the shop. */
const OF_CHECK = "tidemill_check";
/** What is nothing where there are no events. */
const COUNTED = new Set(["count", "sum", "distinct"]);

/** Metrics in the order in which they are shown. */
export function ranked(metrics) {
  const place = ({ name }) => [Number(SHIPPED.has(name)), name];
  return metrics.filter(({ name }) => name !== OF_CHECK).sort((a, b) => (place(a) < place(b) ? -1 : 1));
}

/** A name for people: `returns_by_reason` is "Returns by reason". */
export function nameOf({ label, name }) {
  const words = label || name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** What a shop earns is called so; the API tells measures in the order of their names. */
const EARNED = ["net", "revenue"];

/** The measure that is drawn and sorted by: what is earned, else the first that is money, else the first. */
export function firstOf({ measures }) {
  const amounts = measures.filter(({ money }) => money);
  const earned = EARNED.map((name) => amounts.find((measure) => measure.name === name)).find((measure) => measure !== undefined);
  return earned ?? amounts[0] ?? measures[0];
}

/** The question to the API that a card is an answer to: where it is asked, and its parameters. */
export function questionOf({ name }, view, { from, to }, groupBy = []) {
  const time = (ms) => new Date(ms === -Infinity ? 0 : ms).toISOString();
  const by = groupBy.length > 0 ? { group_by: groupBy.join(",") } : {};
  return { path: `/v1/metrics/${encodeURIComponent(name)}/${view}`, parameters: { from: time(from), to: time(to), ...by } };
}

/** The newest window of a series, as rows of totals. */
function newest({ series }) {
  const last = (points) => points.at(-1);
  const starts = series.map(({ points }) => last(points)?.start).filter((start) => start !== undefined);
  const start = starts.sort().at(-1);
  const found = series.filter(({ points }) => start !== undefined && last(points)?.start === start);
  const rows = found.map(({ dimensions, points }) => ({ dimensions, values: last(points).values }));
  const end = found.length > 0 ? last(found[0].points).end : undefined;
  return { rows, window: start === undefined ? null : { start: Date.parse(start), end: Date.parse(end) } };
}

const amount = (value) => (value === null || value === undefined ? -Infinity : Number(value));

/**
 * The table of an answer: a column for each dimension and measure, and the rows with most
 * of the first measure, currency by currency. Amounts are never added.
 * @returns `{columns, rows: [{cells, currency}], rest, window}`; `rest` is how many rows are left out
 */
export function tableOf(metric, answer) {
  const { rows, window } = answer.rows ? { rows: answer.rows, window: null } : newest(answer);
  const hasMoney = metric.measures.some(({ money }) => money);
  // The currency is told beside the amounts.
  const names = [...metric.dimensions.filter((name) => !hasMoney || name !== "currency"), ...(hasMoney ? ["currency"] : [])];
  const first = firstOf(metric);
  const place = ({ dimensions, values }) => [first.money ? dimensions.currency ?? "" : "", -amount(values[first.name])];
  const compare = ([currency, most], [other, more]) => (currency === other ? most - more || 0 : currency < other ? -1 : 1);
  const sorted = [...rows].sort((a, b) => compare(place(a), place(b)));
  const approximate = new Set(answer.approximate ?? []);
  const measures = metric.measures.map(({ name, money = false }) => ({ name, money, measure: true, isApproximate: approximate.has(name) }));
  return {
    // A metric without dimensions has one row, which wants a name.
    columns: [...(names.length > 0 ? names : [""]).map((name) => ({ name, measure: false })), ...measures],
    rows: sorted.slice(0, MAX_ROWS).map(({ dimensions, values }) => ({
      cells: [...(names.length > 0 ? names.map((name) => dimensions[name] ?? "unknown") : ["All"]), ...measures.map(({ name }) => values[name])],
      currency: dimensions.currency,
    })),
    rest: Math.max(0, sorted.length - MAX_ROWS),
    window,
  };
}

/**
 * The lines of a series, one for each of its groups, at the same times. Where there were
 * no events, a count is nothing, and anything else has no value.
 * @returns `{starts, step, lines: [{name, values}]}`
 */
export function lineUp(metric, { name: measure, kind }, { series, resolution }, calendar) {
  const windowMs = metric.window.seconds * 1000;
  const step = RESOLUTION_MS[resolution] ?? windowMs;
  const times = [...new Set(series.flatMap(({ points }) => points.map(({ start }) => Date.parse(start))))].sort((a, b) => a - b);
  const starts = metric.window.kind === "tumbling" ? filled(times, step, calendar) : times;
  const none = COUNTED.has(kind) ? 0 : null;
  const lines = series.map(({ dimensions, points }) => {
    const known = new Map(points.map(({ start, values }) => [Date.parse(start), values[measure]]));
    const value = (at) => (known.has(at) ? (known.get(at) ?? null) : none);
    const values = starts.map(value).map((value) => (value === null ? null : Number(value)));
    return { name: dimensions.currency ?? "all", values, sum: values.reduce((sum, value) => sum + (value ?? 0), 0) };
  });
  return { starts, step, lines: lines.sort((a, b) => b.sum - a.sum) };
}

/** The times with those between them, and the times alone where those would be too many. */
function filled(times, step, calendar) {
  if (times.length === 0) return [];
  const buckets = bucketsOf(step, calendar);
  const first = buckets.of(times[0]);
  const length = buckets.of(times.at(-1)) - first + 1;
  if (length > MAX_POINTS) return times;
  const between = Array.from({ length }, (_, at) => buckets.begins(first + at));
  // The first and the last period of an answer are cut at its bounds.
  return [...new Set([...between.filter((time) => time >= times[0]), ...times])].sort((a, b) => a - b);
}
