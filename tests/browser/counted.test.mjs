// Run with `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { countedNotes, uncountedText, uncountedTimes } from "../../services/reporting/assets/counted.js";

const format = (ms) => new Date(ms).toISOString().slice(11, 16);

test("what is not counted is said, and nothing where all is", () => {
  assert.equal(uncountedText({}, format), "");
  assert.equal(uncountedText({ uncounted: [] }, format), "");
  const uncounted = [
    { from: "2026-03-01T12:00:00Z", to: "2026-03-01T12:30:00Z" },
    { from: "2026-03-01T13:00:00Z", to: null },
  ];
  assert.equal(
    uncountedText({ counted_from: "2026-03-01T11:00:00Z", uncounted }, format),
    "What came in before 11:00, and from 12:00 to 12:30, and since 13:00 is not counted: the definition of this metric was changed.",
  );
});

test("what is kept no longer is said, beside what is not counted", () => {
  const kept = "What was before 11:00 is no longer kept here; the lake has it.";
  assert.equal(uncountedText({ kept_since: "2026-03-01T11:00:00Z" }, format), kept);
  const both = uncountedText({ counted_from: "2026-03-01T12:00:00Z", kept_since: "2026-03-01T11:00:00Z" }, format);
  assert.ok(both.startsWith("What came in before 12:00 is not counted") && both.endsWith(` ${kept}`), both);
  assert.deepEqual(countedNotes({ kept_since: "2026-03-01T11:00:00Z" }, format), ["kept since 11:00"]);
});

test("a card says since when it counts, and what it lacks in between", () => {
  assert.deepEqual(countedNotes({}, format), []);
  const uncounted = [{ from: "2026-03-01T12:00:00Z", to: "2026-03-01T12:30:00Z" }];
  assert.deepEqual(countedNotes({ counted_from: "2026-03-01T11:00:00Z", uncounted }, format), ["counted since 11:00", "without what came in from 12:00 to 12:30"]);
  assert.deepEqual(countedNotes({ counted_from: "2026-03-01T11:00:00Z" }, format), ["counted since 11:00"]);
  assert.equal(uncountedTimes({ uncounted }, format), "from 12:00 to 12:30");
});
