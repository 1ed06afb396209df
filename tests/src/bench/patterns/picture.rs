//! The picture of a run: a diagram for each figure, with a bar for each pattern at each size.

use super::figures::{PatternFigures, PatternRun};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 20.0;
const TOP: f64 = 40.0;
const GAP: f64 = 70.0;
const COLUMNS: usize = 2;
const COLORS: [&str; 5] = ["#1f6feb", "#d1570a", "#2a9d4a", "#8250df", "#b3126b"];

/// A figure of a pattern, under its name.
type Figure = (&'static str, fn(&PatternFigures) -> f64);

/// Less is better in all of them.
const FIGURES: [Figure; 6] = [
    ("seconds from an event to its number (median)", |of| of.visible_ms.p50 / 1_000.0),
    ("seconds until all numbers are there", PatternFigures::settled_s),
    ("processor seconds for a million events", |of| of.cpu_s_per_million),
    ("megabytes of memory at most", PatternFigures::memory_mb),
    ("bytes on disk for an event", |of| of.disk_bytes_per_event),
    ("seconds to make all numbers once more", |of| of.reprocessing.seconds),
];

/// The picture as SVG.
pub(super) fn svg(run: &PatternRun) -> String {
    let rows = FIGURES.len().div_ceil(COLUMNS);
    let (width, height) = (LEFT + number(COLUMNS) * (WIDTH + LEFT), TOP + number(rows) * (HEIGHT + GAP));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (at, figure) in FIGURES.iter().enumerate() {
        let left = LEFT + number(at % COLUMNS) * (WIDTH + LEFT);
        let top = TOP + number(at / COLUMNS) * (HEIGHT + GAP);
        out.push_str(&panel(figure, &run.patterns, left, top));
    }
    out.push_str("</svg>\n");
    out
}

/// The scale is logarithmic: patterns differ by powers of ten.
fn panel((title, figure): &Figure, patterns: &[PatternFigures], left: f64, top: f64) -> String {
    let value = |of: &PatternFigures| figure(of).max(0.001);
    let low = patterns.iter().map(value).fold(f64::INFINITY, f64::min).log10().floor() - 0.3;
    let high = patterns.iter().map(value).fold(0.0, f64::max).log10().max(low + 1.0);
    let base = top + HEIGHT;
    let mut out = format!(
        "<text x=\"{left:.1}\" y=\"{:.1}\" font-weight=\"bold\">{title}</text>\n\
         <line x1=\"{left:.1}\" y1=\"{base:.1}\" x2=\"{:.1}\" y2=\"{base:.1}\" stroke=\"#8c959f\"/>\n",
        top - 16.0,
        left + WIDTH
    );
    let place = WIDTH / number(patterns.len().max(1));
    for (at, of) in patterns.iter().enumerate() {
        let (x, tall) = (left + place * number(at), HEIGHT * (value(of).log10() - low) / (high - low));
        let color = COLORS[of.pattern as usize % COLORS.len()];
        out.push_str(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{tall:.1}\" fill=\"{color}\"><title>{} at {} \
             times: {:.3}</title></rect>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"9\">{}</text>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"8\" fill=\"#57606a\">{}×</text>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"8\">{}</text>\n",
            x + 2.0,
            base - tall,
            place - 4.0,
            of.pattern.name(),
            of.times,
            value(of),
            x + place / 2.0,
            base - tall - 4.0,
            short(value(of)),
            x + place / 2.0,
            base + 24.0,
            of.times,
            x + place / 2.0,
            base + 12.0,
            of.pattern.name().split('-').next_back().unwrap_or_default(),
        ));
    }
    out
}

/// As exact as fits above a bar.
fn short(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[allow(clippy::cast_precision_loss, reason = "a few")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::{super::figures::tests::sample, *};

    #[test]
    fn every_pattern_has_a_bar_in_each_diagram() {
        let run = sample();
        let picture = svg(&run);
        assert_eq!(picture.matches("<title>").count(), FIGURES.len() * run.patterns.len());
        assert!(picture.contains("medallion at 10 times: 0.090"), "{picture}");
        assert!(!picture.contains("NaN") && !picture.contains("inf") && !picture.contains("height=\"-"), "{picture}");
        let none = PatternRun { patterns: Vec::new(), ..run };
        assert!(svg(&none).ends_with("</svg>\n"));
    }
}
