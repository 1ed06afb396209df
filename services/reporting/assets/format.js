// Figures and times as the reader's language writes them.

import { toDecimalString, toApproximateNumber } from "./money.js";

const count = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const hourMinute = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const clock = new Intl.DateTimeFormat(undefined, { ...hourMinute, second: "2-digit" });
const minute = new Intl.DateTimeFormat(undefined, hourMinute);
const dayMinute = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", ...hourMinute });
/** By zone: how a day is written. */
const days = new Map();

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
export const formatInteger = (value) => count.format(value);
export const formatCompact = (value) => compact.format(value);
export const formatPercent = (share) => percent.format(share);

/** A part of a whole, both in units, between 0 and 1. */
export function share(part, whole) {
  return whole > 0n ? Math.max(0, toApproximateNumber(part) / toApproximateNumber(whole)) : 0;
}

export const formatClock = (ms) => clock.format(ms);

/** A moment, with its day unless that is today. */
export function formatMoment(ms, now = Date.now()) {
  return new Date(ms).toDateString() === new Date(now).toDateString()
    ? minute.format(ms)
    : dayMinute.format(ms);
}

/** A day of a zone, which the reader's clock may put into two. */
export function formatDay(ms, zone) {
  if (!days.has(zone)) days.set(zone, new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", timeZone: zone }));
  return days.get(zone).format(ms);
}

/** A window of time, as short as it can be told; days are those of the zone. */
export function formatWindow(start, step, zone) {
  if (step >= DAY_MS) return formatDay(start, zone);
  return `${dayMinute.format(start)} – ${minute.format(start + step)}`;
}
