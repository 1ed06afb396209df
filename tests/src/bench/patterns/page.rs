//! The page about the patterns, docs/patterns.md, which has the table of the run that is kept.

use std::path::{Path, PathBuf};

use super::figures::PatternRun;
use crate::error::Error;

/// Around what is made of a run.
const BEGIN: &str = "<!-- Made by `make patterns KEEP=1`. -->\n";
const END: &str = "<!-- As far as this. -->\n";

/// Writes the table into the page, where figures are kept beside one.
pub(super) fn keep(figures: &Path, run: &PatternRun) -> Result<(), Error> {
    let Some(page) = page_of(figures).filter(|page| page.is_file()) else { return Ok(()) };
    let text = std::fs::read_to_string(&page).map_err(Error::file(&page))?;
    let Some((before, _, after)) = parts(&text) else {
        return Err(Error::Refused(format!("{} has no place for figures", page.display())));
    };
    std::fs::write(&page, format!("{before}{BEGIN}{}{END}{after}", told(run))).map_err(Error::file(&page))
}

fn page_of(figures: &Path) -> Option<PathBuf> {
    Some(figures.parent()?.parent()?.join("patterns.md"))
}

/// What is before the figures, the figures, and what is behind them.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (figures, after) = rest.split_once(END)?;
    Some((before, figures, after))
}

/// The picture, the table, and of what they are.
fn told(run: &PatternRun) -> String {
    let workload = match run.workload.as_str() {
        "online-retail" => "Online Retail",
        _ => "Made invoice lines",
    };
    let mut times: Vec<String> = run.patterns.iter().map(|pattern| pattern.times.to_string()).collect();
    times.dedup();
    times.sort();
    times.dedup();
    format!(
        "\n![The patterns beside each other](performance/patterns.svg)\n\n{}\n\n{workload}, each line {} times; {} with \
         {} cores of {}. All figures are in [patterns.json](performance/patterns.json).\n\n",
        run.table(),
        times.join(" and "),
        if run.store == "sqlite" { "SQLite" } else { "PostgreSQL" },
        run.machine.cores,
        run.machine.cpu,
    )
}

#[cfg(test)]
mod tests {
    use super::{
        super::{figures::tests::sample, picture},
        *,
    };

    #[test]
    fn the_figures_of_a_page_are_replaced_and_nothing_else_is() {
        let folder = tidemill_testkit::tempdir();
        let docs = folder.path().join("docs");
        std::fs::create_dir_all(docs.join("performance")).expect("a folder");
        let (figures, page) = (docs.join("performance/patterns.json"), docs.join("patterns.md"));
        keep(&figures, &sample()).expect("there is no page");
        std::fs::write(&page, format!("before\n{BEGIN}old\n{END}after\n")).expect("writes");
        for _ in 0..2 {
            keep(&figures, &sample()).expect("writes");
        }
        let text = std::fs::read_to_string(&page).expect("the page");
        assert_eq!(text, format!("before\n{BEGIN}{}{END}after\n", told(&sample())));
        assert!(text.contains("each line 1 and 10 times; SQLite with 2 cores of a processor"), "{text}");
        assert!(!text.contains("old"), "{text}");
        std::fs::write(&page, "no place").expect("writes");
        assert!(keep(&figures, &sample()).is_err());
    }

    /// Whatever run is kept, picture and page are of it.
    #[test]
    fn the_page_and_the_picture_of_the_project_are_of_the_run_that_is_kept() {
        let file = tidemill_testkit::crate_folder().join("../docs/performance/patterns.json");
        let page = std::fs::read_to_string(page_of(&file).expect("a page")).expect("the page");
        let (_, figures, _) = parts(&page).expect("it has a place for figures");
        let Ok(kept) = std::fs::read_to_string(&file) else {
            return assert_eq!(figures, "", "no run is kept");
        };
        let run: PatternRun = serde_json::from_str(&kept).expect("figures");
        assert!(run.is_good());
        let drawn = std::fs::read_to_string(file.with_extension("svg")).expect("its picture");
        assert_eq!((figures, drawn), (&*told(&run), picture::svg(&run)), "keep a run by `make patterns KEEP=1`");
    }
}
