// What the figures lack because a definition was changed.

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
 * What a version of a metric has not counted, in a sentence; "" where it has counted all. The parameters are those of `uncountedTimes`.
 */
export function uncountedText(answer, format) {
  const times = uncountedTimes(answer, format);
  return times === "" ? "" : `What came in ${times} is not counted: the definition of this metric was changed.`;
}

/** The same in the notes of a card: since when it counts, and what it lacks in between. */
export function countedNotes(answer, format) {
  const since = answer.counted_from === undefined ? "" : `counted since ${format(Date.parse(answer.counted_from))}`;
  const times = uncountedTimes({ ...answer, counted_from: undefined }, format);
  return [since, times === "" ? "" : `without what came in ${times}`].filter((note) => note !== "");
}
