//! Which rejected events share a letter.

use std::ops::Range;

use super::rejections::FailureGroup;

/// Bytes of a letter that stands for several events; what is more goes into
/// the next one.
const MAX_LETTER: usize = 256 << 10;
/// Bytes of a letter beside its texts and its body: names of headers, and what
/// the stream adds.
const FRAME: usize = 600;

/// A letter as it is planned: bodies of a group.
pub(super) struct Plan {
    pub(super) group: usize,
    pub(super) bodies: Range<usize>,
    /// Its size, roughly.
    pub(super) bytes: usize,
}

/// Cuts groups into letters.
pub(super) fn plan(groups: &[FailureGroup]) -> Vec<Plan> {
    let mut plans = Vec::with_capacity(groups.len());
    for (group, FailureGroup { failure, bodies, .. }) in groups.iter().enumerate() {
        let frame = FRAME + failure.reason.len() + failure.pointer.as_ref().map_or(0, String::len);
        let (mut start, mut bytes) = (0, 0);
        for (place, body) in bodies.iter().enumerate() {
            let more = body.listed_len();
            if place > start && bytes + more > MAX_LETTER {
                plans.push(Plan { group, bodies: start..place, bytes: frame + bytes });
                (start, bytes) = (place, 0);
            }
            bytes += more;
        }
        plans.push(Plan { group, bodies: start..bodies.len(), bytes: frame + bytes });
    }
    plans
}

#[cfg(test)]
mod tests;
