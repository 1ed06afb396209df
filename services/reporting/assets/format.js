// Figures and times as the reader's language writes them.

import { toDecimalString, toApproximateNumber } from "./money.js";

const count = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const hourMinute = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const date = { day: "numeric", month: "short" };
/** By name: how times are written. */
const STYLES = {
  clock: { ...hourMinute, second: "2-digit" },
  minute: hourMinute,
  dayMinute: { ...date, ...hourMinute },
  shortDay: date,
  day: { ...date, year: "numeric" },
  full: { ...date, year: "numeric", ...hourMinute, second: "2-digit", timeZoneName: "longOffset" },
};
/** By zone and style. */
const times = new Map();
/** Whose clock is meant: the shop's, once the page knows it. */
let shop = undefined;

/** From now on times are told by the clock of this zone, and not by the reader's. */
export function tellTimesIn(zone) {
  shop = zone;
}

function timeFormat(style, zone = shop) {
  const key = `${zone ?? ""} ${style}`;
  if (!times.has(key)) times.set(key, new Intl.DateTimeFormat(undefined, { ...STYLES[style], timeZone: zone }));
  return times.get(key);
}

const DAY_MS = 86_400_000;

/** By currency: how amounts are written, as that currency rounds them and exactly. */
const moneyFormats = new Map();

/** Of a currency that is not known, a number with two decimals. */
function moneyFormat(currency) {
  if (!moneyFormats.has(currency)) {
    const style = currency ? { style: "currency", currency } : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
    moneyFormats.set(currency, {
      rounded: new Intl.NumberFormat(undefined, style),
      exact: new Intl.NumberFormat(undefined, { ...style, maximumFractionDigits: 12 }),
    });
  }
  return moneyFormats.get(currency);
}

/** Units (see money.js) as an amount with the decimals of its currency. */
export const formatMoney = (units, currency) => moneyFormat(currency).rounded.format(toDecimalString(units));
/** Units (see money.js) as an amount with every decimal that it has. */
export const formatExactMoney = (units, currency) => moneyFormat(currency).exact.format(toDecimalString(units));
/** A Number as an amount, for what is drawn. */
export const formatDrawnMoney = (value, currency) => moneyFormat(currency).rounded.format(value);
/** Units (see money.js) as a count. */
export const formatCount = (units) => count.format(toDecimalString(units));
/** A measure of any kind, as the API tells it; money in its currency. */
export function formatFigure(value, isMoney, currency) {
  if (value === null || value === undefined) return "–";
  if (isMoney) return moneyFormat(/^[A-Z]{3}$/.test(currency) ? currency : null).rounded.format(value);
  return typeof value === "number" || /^[+-]?\d/.test(value) ? count.format(value) : String(value);
}
export const formatNumber = (value) => (value === null ? "–" : count.format(value));
export const formatInteger = (value) => count.format(value);
export const formatCompact = (value) => compact.format(value);
export const formatPercent = (share) => percent.format(share);

/**
 * A part of a whole, both in units; null where the whole is nothing or less, of which
 * there are no parts. What was taken back more than it was sold is a negative part,
 * and the others are then more than all: together they are one.
 */
export function share(part, whole) {
  return whole > 0n ? toApproximateNumber(part) / toApproximateNumber(whole) : null;
}

/** A share of what is there, for people. */
export const formatShare = (part) => (part === null ? "–" : percent.format(part));

export const formatClock = (ms) => timeFormat("clock").format(ms);
/** A moment with all that there is to say of it: the day, the second and the zone. */
export const formatFull = (ms) => `${timeFormat("full").format(ms)}${shop ? ` (${shop})` : ""}`;

const isSameDay = (a, b) => timeFormat("day").format(a) === timeFormat("day").format(b);

/** A moment, with its day unless that is today. */
export function formatMoment(ms, now = Date.now()) {
  return timeFormat(isSameDay(ms, now) ? "minute" : "dayMinute").format(ms);
}

/** A time of the clock, without its day; seconds alone where the day is today's. */
export const formatRecent = (ms, now = Date.now()) => (isSameDay(ms, now) ? formatClock(ms) : formatMoment(ms, now));

/** A day of a zone, which another clock may put into two. */
export const formatDay = (ms, zone) => timeFormat("day", zone).format(ms);

/** A window of time, as short as it can be told; days are those of the zone. */
export function formatWindow(start, step, zone) {
  if (step >= DAY_MS) return formatDay(start, zone);
  return `${timeFormat("dayMinute").format(start)} – ${timeFormat("minute").format(start + step)}`;
}

/** Times under an axis, in seconds; the day is told where it begins. */
export function tickLabels(seconds, zone, now = Date.now()) {
  if (seconds.length > 1 && seconds[1] - seconds[0] >= DAY_MS / 1000) {
    return seconds.map((value) => timeFormat("shortDay", zone).format(value * 1000));
  }
  let shown = now;
  return seconds.map((value) => {
    const ms = value * 1000;
    const label = timeFormat(isSameDay(ms, shown) ? "minute" : "dayMinute").format(ms);
    shown = ms;
    return label;
  });
}

const UTC_TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g;

/** A text whose times of UTC are told as the page tells times. */
export const withShopTimes = (text) => text.replace(UTC_TIME, (time) => (Number.isNaN(Date.parse(time)) ? time : formatMoment(Date.parse(time))));
