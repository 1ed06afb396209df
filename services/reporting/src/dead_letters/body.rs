//! The body of a dead letter, as it is shown.

use base64::{Engine, engine::general_purpose::STANDARD};
use tidemill_events::{
    DeadLetter, Events,
    bodies::{self, Body},
    personal::Members,
};

use super::masking;

#[cfg(test)]
mod tests;

/// Bytes of a body that a list shows.
const EXCERPT: usize = 4096;

/// The letter's body as text, or those of several events as a list, without
/// what is personal; `None` where nothing is kept.
pub(crate) fn masked_body(letter: &DeadLetter) -> Option<String> {
    let kept = letter.bodies().ok().filter(|bodies| !bodies.is_empty())?;
    let personal = Members::new(letter.personal.iter().cloned());
    let mask = |body: &Body| masking::body(&body.bytes, &personal);
    match letter.events {
        Events::Several(_) => {
            let masked = |body: &Body| Body { bytes: mask(body).into(), ..*body };
            let list = bodies::encode(&kept.iter().map(masked).collect::<Vec<_>>()).ok()?;
            String::from_utf8(list.into()).ok()
        }
        Events::One | Events::Counted(_) => kept.first().map(mask),
    }
}

/// The letter's body, or the first of several, as a list shows it; `None` where
/// nothing is kept.
pub(crate) fn excerpt_of(letter: &DeadLetter) -> Option<String> {
    let bodies = letter.bodies().ok()?;
    let personal = Members::new(letter.personal.iter().cloned());
    bodies.first().map(|body| excerpt(masking::body(&body.bytes, &personal)))
}

/// As much of a text as a list shows.
fn excerpt(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(EXCERPT));
    text
}

/// A body as it is.
pub(crate) fn whole_body(letter: &DeadLetter) -> (Option<String>, &'static str) {
    match std::str::from_utf8(&letter.body) {
        Ok(text) => (Some(text.to_owned()), format_of(letter)),
        Err(_) => (Some(STANDARD.encode(&letter.body)), "base64"),
    }
}

pub(crate) fn format_of(letter: &DeadLetter) -> &'static str {
    if matches!(letter.events, Events::Several(_)) { "list" } else { "utf-8" }
}
