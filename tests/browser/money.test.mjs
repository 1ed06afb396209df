// Run with `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { addDecimals, parseMicros, toApproximateNumber, toDecimalString } from "../../services/reporting/assets/money.js";

test("amounts are parsed into millionths", () => {
  assert.equal(parseMicros("0"), 0n);
  assert.equal(parseMicros("12.30"), 12_300_000n);
  assert.equal(parseMicros("-0.000001"), -1n);
  assert.equal(parseMicros("+7"), 7_000_000n);
  assert.equal(parseMicros("1.1234560000"), 1_123_456n);
  assert.equal(parseMicros(42), 42_000_000n);
  assert.equal(parseMicros(-3), -3_000_000n);
  assert.equal(parseMicros("100000000000000000000.01"), 100_000_000_000_000_000_000_010_000n);
});

test("what cannot be held exactly is refused", () => {
  for (const value of ["", ".5", "5.", "1e3", "NaN", "1,000", "0x10", " 1", "1.1234567", 1e-7, 2 ** 53, Number.NaN, null, undefined]) {
    assert.throws(() => parseMicros(value), RangeError, String(value));
  }
});

test("amounts are written with no more decimals than they have, and no fewer than asked", () => {
  assert.equal(toDecimalString(0n), "0");
  assert.equal(toDecimalString(0n, 2), "0.00");
  assert.equal(toDecimalString(12_300_000n, 2), "12.30");
  assert.equal(toDecimalString(12_300_000n), "12.3");
  assert.equal(toDecimalString(9_747_747_934_000n, 2), "9747747.934");
  assert.equal(toDecimalString(-1n, 2), "-0.000001");
  assert.equal(toDecimalString(-5_000_000n), "-5");
});

test("a written amount is read back as the same amount", () => {
  for (const micros of [0n, 1n, -1n, 999_999n, 1_000_000n, -12_345_678_901_234_567_890n]) {
    assert.equal(parseMicros(toDecimalString(micros)), micros);
    assert.equal(parseMicros(toDecimalString(micros, 2)), micros);
  }
});

test("adding never rounds", () => {
  assert.equal(addDecimals(["0.1", "0.2"]), "0.30");
  assert.equal(addDecimals(new Array(1000).fill("0.001")), "1.00");
  assert.equal(addDecimals(["9007199254740993", "0.01", "-0.01"]), "9007199254740993.00");
  assert.equal(addDecimals([]), "0.00");
});

test("numbers for drawing are near", () => {
  assert.equal(toApproximateNumber(12_300_000n), 12.3);
  assert.equal(toApproximateNumber(-500_000n), -0.5);
});
