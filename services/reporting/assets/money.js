// Exact decimal amounts. The API sends amounts as decimal strings, because a
// binary floating point number cannot hold 0.10; here they are whole
// millionths in a BigInt, so that adding never rounds.

const FRACTION_DIGITS = 6;
const SCALE = 10n ** BigInt(FRACTION_DIGITS);
const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?$/;

/**
 * Parses "1234.5" (or a number from JSON) into millionths.
 * Throws a RangeError for anything that cannot be held exactly.
 */
export function parseMicros(value) {
  if (Number.isSafeInteger(value)) return BigInt(value) * SCALE;
  if (Number.isInteger(value)) throw new RangeError(`not exact any more: ${value}`);
  const match = DECIMAL.exec(String(value));
  if (!match) throw new RangeError(`not a decimal amount: ${value}`);
  const [, sign, whole, fraction = ""] = match;
  const digits = fraction.replace(/0+$/, "");
  if (digits.length > FRACTION_DIGITS) {
    throw new RangeError(`more than ${FRACTION_DIGITS} decimals: ${value}`);
  }
  const micros = BigInt(whole) * SCALE + BigInt(digits.padEnd(FRACTION_DIGITS, "0"));
  return sign === "-" ? -micros : micros;
}

/**
 * The exact decimal string of millionths, with at least `minDecimals` decimals
 * and no further trailing zeros.
 */
export function toDecimalString(micros, minDecimals = 0) {
  const negative = micros < 0n;
  const magnitude = negative ? -micros : micros;
  const whole = (magnitude / SCALE).toString();
  const fraction = (magnitude % SCALE)
    .toString()
    .padStart(FRACTION_DIGITS, "0")
    .replace(/0+$/, "")
    .padEnd(minDecimals, "0");
  return `${negative ? "-" : ""}${whole}${fraction ? `.${fraction}` : ""}`;
}

/** The nearest Number, for the height of a bar or a line; never for a figure. */
export function toApproximateNumber(micros) {
  return Number(micros / SCALE) + Number(micros % SCALE) / Number(SCALE);
}

/** Adds decimal strings exactly and returns the sum as a decimal string. */
export function addDecimals(values, minDecimals = 2) {
  let sum = 0n;
  for (const value of values) sum += parseMicros(value);
  return toDecimalString(sum, minDecimals);
}
