// Which colour of the palette a name has.

/** As many colours as the stylesheet has for series. */
export const SLOTS = 7;

/**
 * A slot from 1 on for each of at most `SLOTS` names: the one that the name asks
 * for, or the next that is free. It follows from the names alone, and not from
 * their order.
 */
export function slotsOf(names) {
  const taken = new Map();
  for (const name of [...names].sort()) {
    let slot = hash(name) % SLOTS;
    while (taken.has(slot)) slot = (slot + 1) % SLOTS;
    taken.set(slot, name);
  }
  return new Map([...taken].map(([slot, name]) => [name, slot + 1]));
}

/** FNV-1a, over the units of the text. */
function hash(text) {
  let sum = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193);
  return sum >>> 0;
}
