// What the figures lack: because a definition was changed, or since old totals are kept no longer.

/**
 * When that came in what a version of a metric has not counted; "" where it has counted all.
 * @param answer an answer of the API about the metric, of which `counted_from` and `uncounted` are read
 * @param format a moment in milliseconds as text
 */
export function uncountedTimes({ counted_from: from, uncounted = [] }, format) {
  const moment = (text) => format(Date.parse(text));
  const parts = uncounted.map(({ from, to }) => (to === null ? `since ${moment(from)}` : `from ${moment(from)} to ${moment(to)}`));
  if (from !== undefined) parts.unshift(`before ${moment(from)}`);
  return parts.join(", and ");
}

/**
 * What an answer lacks, in sentences; "" where it lacks nothing. The parameters are those of `uncountedTimes`; `kept_since` is read too.
 */
export function uncountedText(answer, format) {
  const times = uncountedTimes(answer, format);
  const sentences = [
    times === "" ? "" : `What came in ${times} is not counted: the definition of this metric was changed.`,
    answer.kept_since === undefined ? "" : `What was before ${format(Date.parse(answer.kept_since))} is no longer kept here; the lake has it.`,
  ];
  return sentences.filter((sentence) => sentence !== "").join(" ");
}

/** The same in the notes of a card: since when it counts and is kept, and what it lacks in between. */
export function countedNotes(answer, format) {
  const since = answer.counted_from === undefined ? "" : `counted since ${format(Date.parse(answer.counted_from))}`;
  const times = uncountedTimes({ ...answer, counted_from: undefined }, format);
  const kept = answer.kept_since === undefined ? "" : `kept since ${format(Date.parse(answer.kept_since))}`;
  return [since, kept, times === "" ? "" : `without what came in ${times}`].filter((note) => note !== "");
}
