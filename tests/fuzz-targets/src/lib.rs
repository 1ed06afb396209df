//! What must hold of any input, however hostile: one function a target, which
//! panics where it does not hold.
//!
//! `make fuzz` runs each under libFuzzer (`tests/fuzz`), `make test` over the
//! corpus and mutations of it (`tests/replay.rs`).

mod definitions;
mod events;
mod input;
mod intake;
mod line_protocol;
mod messages;

/// A target: a panic is a find.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also its folder's in the corpus.
pub const TARGETS: [(&str, Target); 9] = [
    ("condition", definitions::condition),
    ("event", events::event),
    ("inflate", intake::inflate),
    ("json", intake::json),
    ("validate", intake::validate),
    ("line_protocol", line_protocol::line_protocol),
    ("message", messages::message),
    ("metric", definitions::metric),
    ("rule", definitions::rule),
];

/// Runs the target of this name.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("no target is named {name}"));
    target(input);
}
