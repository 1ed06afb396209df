//! The report as a picture.

use std::fmt::Write;

use super::report::{EvaluationReport, ModelReport};

pub(super) const COLOURS: [&str; 4] = ["#0f766e", "#94a3b8", "#b45309", "#1d4ed8"];
const HEIGHT: f64 = 220.0;
const BAR: f64 = 34.0;

/// A figure of a model.
type FigureOf = fn(&ModelReport) -> f64;

/// A bar chart as SVG: HR, MRR, NDCG, coverage and popularity bias of each model, under a
/// heading with the name of the file.
#[must_use]
pub fn plot(report: &EvaluationReport, file: &str) -> String {
    let groups: [(&str, FigureOf); 5] = [
        ("HR@20", |model| model.figures.hit_rate),
        ("MRR@20", |model| model.figures.reciprocal_rank),
        ("NDCG@20", |model| model.figures.gain),
        ("coverage@20", |model| model.figures.coverage),
        ("popularity bias", |model| model.figures.popularity),
    ];
    let group_width = report.models.len() as f64 * BAR + 30.0;
    let width = 40.0 + group_width * groups.len() as f64;
    let mut svg = String::new();
    let file = file.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let heading = format!("{} cases of {file}", report.cases);
    // Writing to a string does not fail.
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -24 {width} 344" font-family="sans-serif" font-size="11">
<title>{heading}</title>
<rect y="-24" width="{width}" height="344" fill="#ffffff"/>
<text x="40" y="-4" font-size="13" font-weight="bold">{heading}</text>"##
    );
    for (number, model) in report.models.iter().enumerate() {
        let (x, colour) = (40.0 + 170.0 * number as f64, COLOURS[number % COLOURS.len()]);
        let _ = writeln!(svg, r#"<rect x="{x}" y="12" width="10" height="10" fill="{colour}"/>"#);
        let _ = writeln!(svg, r#"<text x="{}" y="21">{}</text>"#, x + 15.0, model.name);
    }
    for (group, (title, figure)) in groups.iter().enumerate() {
        let left = 40.0 + group_width * group as f64;
        for (number, model) in report.models.iter().enumerate() {
            let value = figure(model);
            let (height, x) = (value.clamp(0.0, 1.0) * HEIGHT, left + BAR * number as f64);
            let (y, colour) = (50.0 + HEIGHT - height, COLOURS[number % COLOURS.len()]);
            let _ = writeln!(
                svg,
                r#"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{height:.1}" fill="{colour}"/>
<text x="{:.1}" y="{:.1}" text-anchor="middle">{value:.3}</text>"#,
                BAR - 4.0,
                x + BAR / 2.0 - 2.0,
                y - 4.0
            );
        }
        let middle = left + (group_width - 30.0) / 2.0;
        let _ =
            writeln!(svg, r#"<text x="{middle:.1}" y="290" text-anchor="middle" font-weight="bold">{title}</text>"#);
    }
    let _ = writeln!(svg, "</svg>");
    svg
}
