//! The picture of a history: throughput, and processor seconds for a million
//! events, run by run.

use super::history::KeptRun;

const WIDTH: f64 = 860.0;
const PANEL: f64 = 240.0;
const LEFT: f64 = 80.0;
const TOP: f64 = 40.0;
const GAP: f64 = 60.0;

/// A line through runs of one kind.
struct Line<'r> {
    name: String,
    color: &'static str,
    /// Place of the run, and its value.
    points: Vec<(usize, f64, &'r KeptRun)>,
}

/// A figure of a run, under its name.
type Figure = (&'static str, fn(&KeptRun) -> f64);

const COLORS: [&str; 6] = ["#1f6feb", "#d1570a", "#2a9d4a", "#8250df", "#b3126b", "#57606a"];

/// The picture as SVG.
pub(super) fn svg(runs: &[KeptRun]) -> String {
    let panels: [(&str, &[Figure]); 2] = [
        (
            "events/s until the books balance (more is better)",
            &[
                ("batched", |run| run.figures.batched_events_per_s),
                ("one a request", |run| run.figures.single_events_per_s),
            ],
        ),
        (
            "processor seconds for a million events (less is better)",
            &[("all parts", |run| run.figures.cpu_s_per_million.get("total").copied().unwrap_or_default())],
        ),
    ];
    let height = TOP + 2.0 * (PANEL + GAP) + 20.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (at, (title, figures)) in (0_u8..).zip(panels) {
        let top = TOP + f64::from(at) * (PANEL + GAP);
        out.push_str(&panel(title, top, runs.len(), &lines(runs, figures)));
    }
    out.push_str("</svg>\n");
    out
}

fn lines<'r>(runs: &'r [KeptRun], figures: &[Figure]) -> Vec<Line<'r>> {
    let mut stores: Vec<&str> = runs.iter().map(|run| run.figures.store.as_str()).collect();
    stores.sort_unstable();
    stores.dedup();
    let of = |(store, (name, figure)): (&str, &Figure)| {
        let runs = runs.iter().enumerate().filter(|(_, run)| run.figures.store == store);
        (format!("{store}, {name}"), runs.map(|(at, run)| (at, figure(run), run)).collect())
    };
    let pairs = stores.into_iter().flat_map(|store| figures.iter().map(move |figure| (store, figure)));
    let named = pairs.map(of).zip(COLORS.iter().cycle());
    named.map(|((name, points), color)| Line { name, color, points }).collect()
}

/// One diagram, with a logarithmic scale: what comes later is a multiple of what
/// was before.
fn panel(title: &str, top: f64, runs: usize, lines: &[Line<'_>]) -> String {
    let values = || lines.iter().flat_map(|line| &line.points).map(|(_, value, _)| value.max(0.1));
    let low = values().fold(f64::INFINITY, f64::min).log10().floor();
    let high = values().fold(0.0, f64::max).log10().ceil().max(low + 1.0);
    let mut out = format!("<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>\n", top - 12.0);
    if runs == 0 {
        return out;
    }
    let y = |value: f64| top + PANEL * (1.0 - (value.max(0.1).log10() - low) / (high - low));
    #[allow(clippy::cast_precision_loss, reason = "runs are few")]
    let x = |at: usize| LEFT + (WIDTH - LEFT - 220.0) * (at as f64 + 0.5) / runs as f64;
    let mut power = low;
    while power <= high {
        let (at, value) = (y(10_f64.powf(power)), 10_f64.powf(power));
        out.push_str(&format!(
            "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#d0d7de\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>\n",
            WIDTH - 220.0,
            LEFT - 8.0,
            at + 4.0
        ));
        power += 1.0;
    }
    for (place, line) in lines.iter().enumerate() {
        out.push_str(&of_line(line, place, top, &x, &y));
    }
    out
}

fn of_line(line: &Line<'_>, place: usize, top: f64, x: &dyn Fn(usize) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let Line { name, color, points } = line;
    let path: Vec<String> = points.iter().map(|(at, value, _)| format!("{:.1},{:.1}", x(*at), y(*value))).collect();
    let mut out =
        format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\n", path.join(" "));
    for (at, value, run) in points {
        // A hollow point was measured beside other work.
        let fill = if run.figures.machine.is_quiet() { color } else { "#ffffff" };
        out.push_str(&format!(
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"{color}\"><title>{} {}: {value}\
             </title></circle>\n",
            x(*at),
            y(*value),
            run.date,
            run.commit
        ));
    }
    #[allow(clippy::cast_precision_loss, reason = "lines are few")]
    let at = top + 14.0 + 18.0 * place as f64;
    let left = WIDTH - 200.0;
    out.push_str(&format!(
        "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{color}\"/>\n\
         <text x=\"{:.1}\" y=\"{at:.1}\">{name}</text>\n",
        at - 9.0,
        left + 16.0
    ));
    out
}

#[cfg(test)]
mod tests {
    use tidemill_domain::Timestamp;

    use super::*;
    use crate::bench::report::tests::sample;

    #[test]
    fn every_run_has_a_point_of_each_figure() {
        let run = |store, events| KeptRun {
            date: Timestamp::EPOCH,
            commit: "0123456789".into(),
            figures: sample(store, events),
        };
        let picture = svg(&[run("sqlite", 7_000.0), run("postgres", 9_000.0), run("sqlite", 70_000.0)]);
        assert_eq!(picture.matches("<circle").count(), 3 * 3);
        assert_eq!(picture.matches("<polyline").count(), 2 * 3);
        assert!(picture.contains("1970-01-01T00:00:00Z 0123456789: 70000"), "{picture}");
        // Ten times as much is a decade of the scale.
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        assert!(svg(&[]).ends_with("</svg>\n"));
    }
}
