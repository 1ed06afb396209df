//! `tidemill recommend experiment`

use std::process::ExitCode;

use serde::Deserialize;
use url::form_urlencoded::Serializer;

use super::Ended;
use crate::{
    arguments::ExperimentArguments,
    client::Client,
    table::{self, plain},
};

/// Characters of a name that are shown.
const NAME: usize = 64;

/// What reporting answers, as far as it is shown.
#[derive(Deserialize)]
struct Report {
    variants: Vec<Variant>,
    control: Option<String>,
    differences: Vec<Difference>,
}

#[derive(Deserialize)]
struct Variant {
    variant: String,
    impressions: u64,
    clicks: u64,
    click_through: Option<f64>,
    interval: Option<Interval>,
}

#[derive(Deserialize)]
struct Difference {
    variant: String,
    difference: f64,
    interval: Interval,
    significant: bool,
}

#[derive(Deserialize)]
struct Interval {
    low: f64,
    high: f64,
}

pub(super) async fn experiment(arguments: ExperimentArguments) -> Ended {
    let ExperimentArguments { name, control, from, to, reporting_url, key, json } = arguments;
    let client = Client::of_reporting(reporting_url, key);
    let path = path(&name, [("control", control.clone()), ("from", from), ("to", to)]);
    if json {
        let answer: serde_json::Value = client.get(&path).await?;
        say!("{answer}");
        return Ok(ExitCode::SUCCESS);
    }
    let report: Report = client.get(&path).await?;
    if report.variants.is_empty() {
        return Err(format!("nothing was shown of an experiment `{}`", plain(&name, NAME)).into());
    }
    tell(&report);
    match unknown_control(&report, control.as_deref()) {
        Some(unknown) => Err(unknown.into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What is told where nothing was shown of the variant that the others are to be compared with.
fn unknown_control(report: &Report, asked: Option<&str>) -> Option<String> {
    let asked = asked.filter(|_| report.control.is_none())?;
    let shown: Vec<String> = report.variants.iter().map(|variant| plain(&variant.variant, NAME)).collect();
    Some(format!("nothing was shown of a variant `{}`: there are {}", plain(asked, NAME), shown.join(", ")))
}

fn path(name: &str, parameters: [(&str, Option<String>); 3]) -> String {
    // A name may have any character; in a path, a blank is no plus.
    let name: String = Serializer::new(String::new()).append_key_only(name).finish().replace('+', "%20");
    let given = parameters.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
    let query = Serializer::new(String::new()).extend_pairs(given).finish();
    format!("/v1/experiments/{name}{}{query}", if query.is_empty() { "" } else { "?" })
}

fn tell(report: &Report) {
    let percent = |figure: f64| format!("{:.2} %", figure * 100.0);
    let between = |Interval { low, high }: &Interval| format!("{:.2} to {:.2} %", low * 100.0, high * 100.0);
    let rows: Vec<[String; 5]> = report
        .variants
        .iter()
        .map(|variant| {
            [
                plain(&variant.variant, NAME),
                variant.impressions.to_string(),
                variant.clicks.to_string(),
                variant.click_through.map_or_else(|| "-".into(), percent),
                variant.interval.as_ref().map_or_else(|| "-".into(), between),
            ]
        })
        .collect();
    let header = ["variant", "impressions", "clicks", "click-through", "95 % interval"];
    table::print(header, [false, true, true, true, true], &rows);
    let Some(control) = report.control.as_ref().filter(|_| !report.differences.is_empty()) else { return };
    say!("");
    let rows: Vec<[String; 4]> = report.differences.iter().map(Difference::row).collect();
    let against = format!("difference to {}", plain(control, NAME));
    table::print(["variant", against.as_str(), "95 % interval", "significant"], [false, true, true, false], &rows);
}

impl Difference {
    /// A difference of two shares is told in percentage points: a percent would be of the control's.
    fn row(&self) -> [String; 4] {
        let Self { variant, difference, interval: Interval { low, high }, significant } = self;
        [
            plain(variant, NAME),
            format!("{:+.2} points", difference * 100.0),
            format!("{:+.2} to {:+.2} points", low * 100.0, high * 100.0),
            if *significant { "yes" } else { "no" }.into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_what_is_given_make_the_path() {
        assert_eq!(path("a b/c", [("control", None), ("from", None), ("to", None)]), "/v1/experiments/a%20b%2Fc");
        let given = [("control", Some("x y".into())), ("from", None), ("to", Some("2026-11-01".into()))];
        assert_eq!(path("shelf", given), "/v1/experiments/shelf?control=x+y&to=2026-11-01");
    }

    #[test]
    fn differences_are_percentage_points() {
        let interval = Interval { low: -0.001, high: 0.043 };
        let difference = Difference { variant: "popular".into(), difference: 0.021, interval, significant: false };
        assert_eq!(difference.row(), ["popular", "+2.10 points", "-0.10 to +4.30 points", "no"]);
    }

    #[test]
    fn a_control_that_is_not_there_is_told() {
        let variant = |name: &str| Variant {
            variant: name.into(),
            impressions: 1,
            clicks: 0,
            click_through: None,
            interval: None,
        };
        let variants = vec![variant("control"), variant("mixed")];
        let report = |control: Option<&str>| Report {
            variants: Vec::new(),
            control: control.map(str::to_owned),
            differences: Vec::new(),
        };
        let none = Report { variants, ..report(None) };
        let told = "nothing was shown of a variant `nope`: there are control, mixed";
        assert_eq!(unknown_control(&none, Some("nope")).as_deref(), Some(told));
        assert_eq!(
            (unknown_control(&none, None), unknown_control(&report(Some("mixed")), Some("mixed"))),
            (None, None)
        );
    }
}
