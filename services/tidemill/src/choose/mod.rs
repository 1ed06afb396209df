//! Which architecture fits: a pure function of what is asked of the suite.

mod anti_patterns;
mod needs;
mod rules;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use anti_patterns::AntiPattern;
pub use needs::{Changes, EventsPerDay, Latency, LookBack, Reaction, SuiteNeeds, Tables};

use crate::profile::{ProfilePart, SuiteProfile};

/// What fits, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// The architecture, and the profile that runs it.
    pub pattern: SuiteProfile,
    /// Services that it has.
    pub services: &'static [ProfilePart],
    /// Why this one. Never empty.
    pub reasons: Vec<String>,
    /// What goes wrong in places like this one.
    pub anti_patterns: Vec<AntiPattern>,
    /// Starts it on this machine.
    pub laptop: String,
    /// Installs it on Kubernetes, or goes over to it.
    pub helm: String,
    /// Where one goes from here, and when.
    pub next: Option<NextStep>,
    /// What was asked.
    pub answers: SuiteNeeds,
}

/// The step behind a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NextStep {
    /// Which.
    pub pattern: SuiteProfile,
    /// When it is time.
    pub when: &'static str,
}

/// What fits.
pub fn choose(answers: SuiteNeeds) -> Choice {
    let (pattern, reasons) = rules::decide(&answers);
    Choice {
        pattern,
        services: pattern.parts(),
        reasons,
        anti_patterns: anti_patterns::of(&answers, pattern),
        laptop: laptop(pattern),
        helm: helm(pattern),
        next: next(pattern),
        answers,
    }
}

fn laptop(pattern: SuiteProfile) -> String {
    format!("tidemill up --profile {} --data DATA", pattern.name())
}

/// The same command installs, and goes over from another profile: what was set before stays.
fn helm(pattern: SuiteProfile) -> String {
    let bucket = if pattern.has(ProfilePart::Lake) { " --set lake.url=s3://BUCKET/PREFIX" } else { "" };
    format!(
        "helm upgrade --install tidemill helm/tidemill --namespace tidemill --create-namespace \
         --reset-then-reuse-values --values helm/tidemill/profiles/{}.yaml{bucket}",
        pattern.name()
    )
}

const fn next(pattern: SuiteProfile) -> Option<NextStep> {
    let (pattern, when) = match pattern {
        SuiteProfile::Medallion => {
            (SuiteProfile::MedallionStreaming, "somebody waits for a number, instead of coming back for it")
        }
        SuiteProfile::MedallionStreaming => {
            (SuiteProfile::Lambda, "live answers and tables are to tell the same of the past")
        }
        SuiteProfile::Kappa => {
            (SuiteProfile::Lambda, "numbers of the past have to be made again that the log no longer has")
        }
        SuiteProfile::Lambda => (SuiteProfile::Full, "the suite is to act: to alert, or to recommend"),
        SuiteProfile::Full => return None,
    };
    Some(NextStep { pattern, when })
}
