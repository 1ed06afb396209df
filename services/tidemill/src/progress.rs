//! Progress bars, on standard error: results go to standard output.

use std::{fmt, time::Duration};

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// Something turns while it lasts.
pub(crate) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

/// A bar that counts to `total`.
pub(crate) fn bar(what: &'static str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>9} [{bar:40}] {human_pos}/{human_len} {rate} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that cannot be drawn is no failure.
            let _ = write!(out, "{}/s", rate(state.per_sec()));
        })
        .progress_chars("=> ");
    let bar = ProgressBar::new(total).with_style(style).with_prefix(what);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// So many a second, as exact as a person reads it.
fn rate(a_second: f64) -> String {
    if a_second < 100.0 {
        return format!("{a_second:.1}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative, and rounded")]
    HumanCount(a_second.round() as u64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_rate_has_no_decimals() {
        assert_eq!(
            [0.0, 2.26, 99.94, 340.5, 999.6, 7_076.342_1].map(rate),
            ["0.0", "2.3", "99.9", "341", "1,000", "7,076"]
        );
    }
}
