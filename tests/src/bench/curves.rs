//! The picture of what an event costs as something grows: a small diagram for each.

use super::growth::{Growth, GrowthPoint};

const WIDTH: f64 = 270.0;
const HEIGHT: f64 = 150.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 40.0;
const GAP: f64 = 56.0;
const COLUMNS: usize = 3;

/// The picture as SVG.
pub(super) fn svg(points: &[GrowthPoint]) -> String {
    let grown: Vec<Growth> =
        Growth::ALL.into_iter().filter(|grows| points.iter().any(|point| point.grows == *grows)).collect();
    let rows = grown.len().div_ceil(COLUMNS);
    let (width, height) = (left_of(COLUMNS), TOP + number(rows) * (HEIGHT + GAP));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"14\" font-weight=\"bold\">processor seconds for a million events (all parts)</text>\n"
    );
    for (at, grows) in grown.into_iter().enumerate() {
        let of: Vec<&GrowthPoint> = points.iter().filter(|point| point.grows == grows).collect();
        let left = LEFT + left_of(at % COLUMNS);
        let top = TOP + number(at / COLUMNS) * (HEIGHT + GAP);
        out.push_str(&panel(grows, &of, left, top));
    }
    out.push_str("</svg>\n");
    out
}

fn left_of(column: usize) -> f64 {
    number(column) * (WIDTH + LEFT)
}

fn panel(grows: Growth, points: &[&GrowthPoint], left: f64, top: f64) -> String {
    let highest = points.iter().map(|point| point.shown()).fold(1.0, f64::max) * 1.15;
    let width = WIDTH - 30.0;
    let x = |at: usize| left + width * (number(at) + 0.5) / number(points.len().max(1));
    let y = |value: f64| top + HEIGHT * (1.0 - value / highest);
    let (base, end) = (top + HEIGHT, left + width);
    let mut out = format!(
        "<line x1=\"{left:.1}\" y1=\"{base:.1}\" x2=\"{end:.1}\" y2=\"{base:.1}\" stroke=\"#8c959f\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n",
        left + width / 2.0,
        base + 32.0,
        grows.title()
    );
    let path: Vec<String> =
        points.iter().enumerate().map(|(at, point)| format!("{:.1},{:.1}", x(at), y(point.shown()))).collect();
    out.push_str(&format!(
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\"/>\n",
        path.join(" ")
    ));
    for (at, point) in points.iter().enumerate() {
        let (x, y) = (x(at), y(point.shown()));
        out.push_str(&format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#1f6feb\"><title>{:.0} events/s</title></circle>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{:.1}</text>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#57606a\">{}</text>\n",
            point.events_per_s,
            y - 9.0,
            point.shown(),
            base + 15.0,
            point.step
        ));
    }
    out
}

#[allow(clippy::cast_precision_loss, reason = "a few")]
fn number(count: usize) -> f64 {
    count as f64
}
