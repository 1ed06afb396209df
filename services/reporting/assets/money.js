// Exact decimal amounts. The API sends amounts as decimal strings, because a
// binary floating point number cannot hold 0.10; here they are whole units of
// 10^-12 in a BigInt, so that adding never rounds.

const FRACTION_DIGITS = 12;
/** The units of one. */
export const SCALE = 10n ** BigInt(FRACTION_DIGITS);
const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?$/;

/**
 * Parses "1234.5" (or a number from JSON) into units.
 * Throws a RangeError for anything that cannot be held exactly.
 */
export function parseUnits(value) {
  if (Number.isSafeInteger(value)) return BigInt(value) * SCALE;
  if (Number.isInteger(value)) throw new RangeError(`not exact any more: ${value}`);
  const match = DECIMAL.exec(String(value));
  if (!match) throw new RangeError(`not a decimal amount: ${value}`);
  const [, sign, whole, fraction = ""] = match;
  const digits = fraction.replace(/0+$/, "");
  if (digits.length > FRACTION_DIGITS) {
    throw new RangeError(`more than ${FRACTION_DIGITS} decimals: ${value}`);
  }
  const units = BigInt(whole) * SCALE + BigInt(digits.padEnd(FRACTION_DIGITS, "0"));
  return sign === "-" ? -units : units;
}

/**
 * The exact decimal string of units, with at least `minDecimals` decimals
 * and no further trailing zeros.
 */
export function toDecimalString(units, minDecimals = 0) {
  const negative = units < 0n;
  const magnitude = negative ? -units : units;
  const whole = (magnitude / SCALE).toString();
  const fraction = (magnitude % SCALE)
    .toString()
    .padStart(FRACTION_DIGITS, "0")
    .replace(/0+$/, "")
    .padEnd(minDecimals, "0");
  return `${negative ? "-" : ""}${whole}${fraction ? `.${fraction}` : ""}`;
}

/** The nearest Number, for the height of a bar or a line; never for a figure. */
export function toApproximateNumber(units) {
  return Number(units / SCALE) + Number(units % SCALE) / Number(SCALE);
}

/** Adds decimal strings exactly and returns the sum as a decimal string. */
export function addDecimals(values, minDecimals = 2) {
  let sum = 0n;
  for (const value of values) sum += parseUnits(value);
  return toDecimalString(sum, minDecimals);
}
