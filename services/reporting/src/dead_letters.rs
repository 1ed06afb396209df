//! Dead letters: listed from the store, their bodies read from the stream, and
//! what may be done with one.
//!
//! A letter is `dead` until somebody orders something. Ordered to be sent
//! again it is `redriving`, until its event is in the log (`accepted`) or has
//! failed once more (`failed_again`, as another letter). Or it is `discarded`.
//! The letter itself stays what it is: the outcome of its event's first
//! attempt. What is sent again is received anew, and so the books balance.

mod action;
mod body;
mod letter;
mod masking;
mod names;

pub use action::ActionRequest;
pub(crate) use action::{ActionFilter, LetterAction};
pub(crate) use body::{excerpt_of, format_of, masked_body, whole_body};
pub(crate) use letter::{ActionRefusal, LetterFilter, ListedLetter, MAX_SEQUENCE};
pub(crate) use masking::{MASK, text as masked_text};
pub use names::RequestKind;
pub(crate) use names::{Act, ActionProgress, LetterState};
