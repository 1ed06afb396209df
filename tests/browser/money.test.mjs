// Run with `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { SCALE, addDecimals, parseUnits, toApproximateNumber, toDecimalString } from "../../services/reporting/assets/money.js";

test("amounts are parsed into units of 10^-12", () => {
  assert.equal(parseUnits("0"), 0n);
  assert.equal(parseUnits("12.30"), 12_300_000_000_000n);
  assert.equal(parseUnits("-0.000000000001"), -1n);
  assert.equal(parseUnits("+7"), 7n * SCALE);
  assert.equal(parseUnits("1.1234567890120000"), 1_123_456_789_012n);
  assert.equal(parseUnits(42), 42n * SCALE);
  assert.equal(parseUnits(-3), -3n * SCALE);
  assert.equal(parseUnits("100000000000000000000.01"), 100_000_000_000_000_000_000_010_000_000_000n);
});

test("what cannot be held exactly is refused", () => {
  for (const value of ["", ".5", "5.", "1e3", "NaN", "1,000", "0x10", " 1", "1.1234567890123", 1e-13, 2 ** 53, Number.NaN, null, undefined]) {
    assert.throws(() => parseUnits(value), RangeError, String(value));
  }
});

test("amounts are written with no more decimals than they have, and no fewer than asked", () => {
  assert.equal(toDecimalString(0n), "0");
  assert.equal(toDecimalString(0n, 2), "0.00");
  assert.equal(toDecimalString(12_300_000_000_000n, 2), "12.30");
  assert.equal(toDecimalString(12_300_000_000_000n), "12.3");
  assert.equal(toDecimalString(9_747_747_934_000_000_000n, 2), "9747747.934");
  assert.equal(toDecimalString(-1n, 2), "-0.000000000001");
  assert.equal(toDecimalString(-5n * SCALE), "-5");
});

test("a written amount is read back as the same amount", () => {
  for (const units of [0n, 1n, -1n, 999_999n, SCALE, -12_345_678_901_234_567_890n]) {
    assert.equal(parseUnits(toDecimalString(units)), units);
    assert.equal(parseUnits(toDecimalString(units, 2)), units);
  }
});

test("adding never rounds", () => {
  assert.equal(addDecimals(["0.1", "0.2"]), "0.30");
  assert.equal(addDecimals(new Array(1000).fill("0.001")), "1.00");
  assert.equal(addDecimals(["9007199254740993", "0.01", "-0.01"]), "9007199254740993.00");
  assert.equal(addDecimals([]), "0.00");
});

test("numbers for drawing are near", () => {
  assert.equal(toApproximateNumber(12_300_000_000_000n), 12.3);
  assert.equal(toApproximateNumber(-SCALE / 2n), -0.5);
});
