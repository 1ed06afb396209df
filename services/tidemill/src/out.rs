//! What commands print. A reader that has seen enough, as `head` has, closes its
//! end: that is no failure, and what is printed after that goes nowhere.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
    sync::OnceLock,
};

/// Why a line of the result could not be written, the first time.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line of the result.
macro_rules! say {
    ($($part:tt)*) => { $crate::out::say(::std::format_args!($($part)*)) };
}

/// Tells a person something beside the result.
macro_rules! tell {
    ($($part:tt)*) => { $crate::out::tell(::std::format_args!($($part)*)) };
}

pub(crate) fn say(line: fmt::Arguments<'_>) {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            // The first one says it.
            let _ = FAILED.set(error);
        }
        _ => {}
    }
}

pub(crate) fn tell(line: fmt::Arguments<'_>) {
    // There is no other place to tell it.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether the result was lost, as on a full disk, and why.
pub(crate) fn failure() -> Option<&'static io::Error> {
    FAILED.get()
}
