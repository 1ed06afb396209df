// What the figures lack because a definition was changed.

/**
 * What a version of a metric has not counted, in a sentence; "" where it has counted all.
 * @param answer an answer of the API about the metric, of which `counted_from` and `uncounted` are read
 * @param format a moment in milliseconds as text
 */
export function uncountedText({ counted_from: from, uncounted = [] }, format) {
  const moment = (text) => format(Date.parse(text));
  const parts = uncounted.map(({ from, to }) => (to === null ? `since ${moment(from)}` : `from ${moment(from)} to ${moment(to)}`));
  if (from !== undefined) parts.unshift(`before ${moment(from)}`);
  return parts.length === 0 ? "" : `What came in ${parts.join(", and ")} is not counted: the definition of this metric was changed.`;
}
