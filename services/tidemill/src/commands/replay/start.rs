//! `tidemill replay start`

use std::{process::ExitCode, time::Duration};

use indicatif::ProgressBar;
use tidemill_aggregation::replay::{GenerationRecord, WantedState};
use tidemill_domain::{Clock, GenerationName, SystemClock, Timestamp};
use tidemill_events::ReferenceMode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    arguments::{ReplayFrom, ReplayReference, ReplayStartArguments},
    commands::ended::Ended,
    progress,
    replay::{
        LakePatience, PlannedChange, PlannedMetric, Replay, ReplayEnd, ReplayError, ReplayPlan, ReplayRequest,
        ReplaySettings, ReplayStart, ReplayTold, ReplayUntil,
    },
    table::{self, plain},
};

/// Characters of a name that are shown.
const NAME: usize = 60;

pub(super) async fn start(arguments: ReplayStartArguments) -> Ended {
    let settings = ReplaySettings { lake: arguments.lake.client(), ..arguments.place.suite.settings()? };
    let name = arguments.place.name.clone();
    let request = request(&arguments, &settings);
    let replay = Replay::open(settings, name.clone()).await?;
    let known = replay.record().await?;
    let rate = arguments.rate.unwrap_or_default();
    match &known {
        Some(record) => {
            check(&arguments, &request, record)?;
            tell!("generation {name} goes on where it was");
        }
        None => {
            let plan = replay.plan(&request, rate, patience(arguments.plan)).await?;
            show(&plan, arguments.json);
            if arguments.plan {
                return Ok(ExitCode::SUCCESS);
            }
            replay.begin(&plan, rate).await?;
        }
    }
    if arguments.plan {
        return Ok(ExitCode::SUCCESS);
    }
    let until = if arguments.once { ReplayUntil::CaughtUp } else { ReplayUntil::Unwanted };
    let stop = stopped_by_signals()?;
    let (bar, mut news) = (progress::bar("replay", 0), ReplayNews { has_caught_up: arguments.once, trouble: None });
    let told = |told: &ReplayTold| {
        draw(&bar, told);
        // A bar is drawn on a terminal alone.
        if let Some(line) = news.of(told, &name) {
            bar.suspend(|| tell!("{line}"));
        }
    };
    let ended = replay.run(&until, &replay.partitions(), &stop, told).await;
    bar.finish_and_clear();
    say!("{}", end(ended?, &name.to_string()));
    Ok(ExitCode::SUCCESS)
}

/// Who only asks does not wait for ever.
pub(in crate::commands) fn patience(only_asks: bool) -> LakePatience<'static> {
    LakePatience { most: only_asks.then_some(LakePatience::OF_A_QUESTION), tell: &|told| tell!("{told}") }
}

/// Cancelled by Ctrl-C, and by who asks the process to end.
pub(super) fn stopped_by_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let guard = stop.clone();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        guard.cancel();
    });
    Ok(stop)
}

fn request<'a>(arguments: &'a ReplayStartArguments, settings: &ReplaySettings) -> ReplayRequest<'a> {
    let now = SystemClock.now();
    ReplayRequest {
        name: arguments.place.name.clone(),
        from: start_of(arguments.from, now),
        definitions: arguments.definitions.as_deref(),
        rules: arguments.rules.as_deref(),
        reference: reference(arguments.reference, now, settings.enrichment.reference.lead_seconds),
        now,
    }
}

/// Where to begin.
pub(in crate::commands) fn start_of(from: Option<ReplayFrom>, now: Timestamp) -> ReplayStart {
    match from {
        None => ReplayStart::First,
        Some(ReplayFrom::Sequence(sequence)) => ReplayStart::Sequence(sequence),
        Some(ReplayFrom::When(when)) => ReplayStart::Time(when.at(now)),
    }
}

/// Which reference data to take; a change of them is known `lead_seconds` after it was made.
pub(in crate::commands) fn reference(
    asked: Option<ReplayReference>,
    now: Timestamp,
    lead_seconds: u32,
) -> ReferenceMode {
    match asked {
        None | Some(ReplayReference::AsOf) => ReferenceMode::AsOf,
        // What was accepted by now holds by then.
        Some(ReplayReference::Now) => ReferenceMode::Now { at: now.plus_millis(i64::from(lead_seconds) * 1000) },
    }
}

/// A generation goes on as it was begun, or not at all.
fn check(
    arguments: &ReplayStartArguments,
    request: &ReplayRequest<'_>,
    record: &GenerationRecord,
) -> Result<(), Box<dyn std::error::Error>> {
    let name = &record.name;
    if *name != request.name {
        return Err(ReplayError::Unknown { name: request.name.clone() }.into());
    }
    if record.wanted == WantedState::Cancelled {
        return Err(ReplayError::Cancelled { name: name.clone() }.into());
    }
    let differs = |what| Err(ReplayError::Differs { name: name.clone(), what }.into());
    if let Some(folder) = &arguments.definitions {
        let texts = tidemill_definitions::Metrics::files(Some(folder))?;
        let known = &record.inputs.definitions;
        let is_same = known.len() == texts.len() && known.iter().zip(&texts).all(|(of, (_, text))| of.text == *text);
        if !is_same {
            return differs("other definitions");
        }
    }
    if let Some(folder) = &arguments.rules {
        let texts = tidemill_alert::replay::rule_files(None, Some(folder))?;
        if !record.rules.iter().map(|of| &of.text).eq(texts.iter().map(|(_, text)| text)) {
            return differs("other rules");
        }
    }
    let is_now = |mode: ReferenceMode| mode != ReferenceMode::AsOf;
    if arguments.reference.is_some() && is_now(record.inputs.reference) != is_now(request.reference) {
        return differs("other reference data");
    }
    match request.from {
        ReplayStart::Sequence(sequence) if record.inputs.behind + 1 != sequence => differs("another start"),
        _ => Ok(()),
    }
}

fn show(plan: &ReplayPlan, json: bool) {
    if json {
        say!("{}", serde_json::to_string(plan).unwrap_or_default());
        return;
    }
    let ReplayPlan { generation, log, behind, batches, events, bronze, seconds, metrics, rules, .. } = plan;
    say!("generation  {generation}");
    say!("log         sequences {} to {} of RAW; counted from {}", log.0, log.1, behind + 1);
    say!("events      {}, in {batches} batches", plan.events_told());
    if bronze.batches > 0 {
        let in_log = (events - bronze.events, batches - bronze.batches);
        say!("  of bronze {}, in {} batches, which the log has forgotten", bronze.events, bronze.batches);
        say!("  of RAW    {}, in {} batches", plan.told(in_log.0), in_log.1);
    }
    say!("time        about {}", length(*seconds));
    say!("");
    let row = |of: &PlannedMetric| [plain(&of.metric, NAME), because(&of.because)];
    table::print(["metric", "its totals"], [false, false], &metrics.iter().map(row).collect::<Vec<_>>());
    let changed = rules.iter().filter(|rule| rule.because.iter().any(|of| CHANGES_RULES.contains(of)));
    let changed: Vec<_> = changed.map(|of| [plain(&of.rule, NAME), because(&of.because)]).collect();
    if !changed.is_empty() {
        say!("");
        table::print(["rule", "its alerts"], [false, false], &changed);
        say!("`tidemill alert backtest --name {generation}` shows them; nobody else is told");
    }
}

/// What a rule or its metric has of its own.
const CHANGES_RULES: [PlannedChange; 4] =
    [PlannedChange::New, PlannedChange::Gone, PlannedChange::Rule, PlannedChange::Definition];

pub(in crate::commands) fn because(because: &[PlannedChange]) -> String {
    let word = |change: &PlannedChange| match change {
        PlannedChange::New => "new",
        PlannedChange::Gone => "not in the generation",
        PlannedChange::Rule => "change: another rule",
        PlannedChange::Definition => "change: another definition",
        PlannedChange::ReferenceData => "change where reference data has changed",
        PlannedChange::Start => "begin later",
    };
    match because.is_empty() {
        true => "stay as they are".into(),
        false => because.iter().map(word).collect::<Vec<_>>().join(", "),
    }
}

fn length(seconds: u64) -> String {
    indicatif::HumanDuration(Duration::from_secs(seconds.max(1))).to_string()
}

/// What is told of a replay once, when it comes about.
#[derive(Default)]
struct ReplayNews {
    has_caught_up: bool,
    trouble: Option<String>,
}

impl ReplayNews {
    fn of(&mut self, told: &ReplayTold, name: &GenerationName) -> Option<String> {
        if told.has_caught_up && !self.has_caught_up {
            self.has_caught_up = true;
            return Some(format!("generation {name} has caught up, and follows the log"));
        }
        let trouble = told.trouble.clone();
        let is_new = trouble.is_some() && trouble != self.trouble;
        self.trouble.clone_from(&trouble);
        trouble.filter(|_| is_new).map(|why| format!("waiting: {why}"))
    }
}

pub(super) fn draw(bar: &ProgressBar, told: &ReplayTold) {
    let ReplayTold { done, of, events, has_caught_up, is_paused, trouble } = told;
    if *is_paused {
        bar.set_message("paused; `tidemill replay resume` has it go on");
        return;
    }
    bar.set_length(*of);
    bar.set_position(*done);
    bar.set_message(match (trouble, has_caught_up) {
        (Some(trouble), _) => plain(trouble, 3 * NAME),
        (None, true) => format!("{events} events; it has caught up, and follows the log"),
        (None, false) => format!("{events} events"),
    });
}

pub(super) fn end(end: ReplayEnd, name: &str) -> String {
    match end {
        ReplayEnd::CaughtUp => format!("generation {name} has caught up"),
        ReplayEnd::Cancelled => format!("generation {name} was cancelled"),
        ReplayEnd::Stopped => format!("generation {name} stands; start it again to go on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::when::When;

    #[test]
    fn a_start_is_a_time_or_a_sequence() {
        assert_eq!("12".parse(), Ok(ReplayFrom::Sequence(12)));
        assert_eq!("2d".parse(), Ok(ReplayFrom::When(When::Ago(2 * 86_400_000))));
        let then = Timestamp::saturating_from_millis(1000);
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(ReplayFrom::When(When::At(then))));
        assert!("0".parse::<ReplayFrom>().is_err() && "yesterday".parse::<ReplayFrom>().is_err());
    }

    #[test]
    fn what_comes_about_is_told_once() {
        let (mut news, name) = (ReplayNews::default(), "v2".parse().expect("a name"));
        let away = ReplayTold { trouble: Some("the lake is away".into()), ..ReplayTold::default() };
        let caught_up = ReplayTold { has_caught_up: true, ..ReplayTold::default() };
        let of = [&away, &away, &ReplayTold::default(), &away, &caught_up, &caught_up];
        let told = of.map(|told| news.of(told, &name));
        let waiting = || Some("waiting: the lake is away".to_owned());
        let whole = Some("generation v2 has caught up, and follows the log".to_owned());
        assert_eq!(told, [waiting(), None, None, waiting(), whole, None]);
    }

    #[test]
    fn a_plan_says_what_becomes_of_a_metric() {
        assert_eq!(because(&[]), "stay as they are");
        let both = [PlannedChange::Definition, PlannedChange::Start];
        assert_eq!(because(&both), "change: another definition, begin later");
    }
}
