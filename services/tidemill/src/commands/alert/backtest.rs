//! `tidemill alert backtest`

use std::{error::Error, process::ExitCode};

use serde_json::{Value, json};
use tidemill_domain::{Clock as _, SystemClock};
use tidemill_events::AlertTransition;
use tokio_util::sync::CancellationToken;

use crate::{
    arguments::BacktestArguments,
    commands::replay::{because, patience, reference, start_of},
    failure::whole,
    progress,
    replay::{
        Backtest, BacktestFound, BacktestTold, PlannedChange, PlannedRule, ReplayPlan, ReplayRequest, ReplaySettings,
        ReplayStart, generation,
    },
    table::{self, plain},
};

/// Characters of a text that are shown.
const SHOWN: usize = 60;
const DIFFERENT: u8 = 1;
const NOT_TRIED: u8 = 2;

pub(super) async fn backtest(arguments: BacktestArguments) -> ExitCode {
    match tried(&arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(DIFFERENT),
        Err(error) => {
            tell!("tidemill: {}", tidemill_service::Printable(whole(&*error)));
            ExitCode::from(NOT_TRIED)
        }
    }
}

/// Whether the rules raise the alerts that were raised.
async fn tried(arguments: &BacktestArguments) -> Result<bool, Box<dyn Error>> {
    let settings = ReplaySettings { lake: arguments.lake.client(), ..arguments.suite.settings()? };
    let (stores, lead) = (settings.stores.clone(), settings.enrichment.reference.lead_seconds);
    let backtest = Backtest::open(settings).await?;
    let now = SystemClock.now();
    let plan = match &arguments.name {
        Some(name) => {
            let (_, record) = generation(&stores, name).await?;
            let own = ReplayStart::Sequence(record.inputs.behind + 1);
            let from = arguments.from.map_or(own, |from| start_of(Some(from), now));
            backtest.plan_of(&record, from, patience(true)).await?
        }
        None => {
            let request = ReplayRequest {
                name: "backtest".parse()?,
                from: start_of(arguments.from, now),
                definitions: arguments.definitions.as_deref(),
                rules: arguments.rules.as_deref(),
                reference: reference(arguments.reference, now, lead),
                now,
            };
            backtest.plan(&request, patience(true)).await?
        }
    };
    tell!("sequences {} to {} of RAW, {} events", plan.behind + 1, plan.log.1, plan.events_told());
    let stop = CancellationToken::new();
    let guard = stop.clone();
    tokio::spawn(async move {
        // Without a handler Ctrl-C ends the process by itself.
        if tokio::signal::ctrl_c().await.is_ok() {
            guard.cancel();
        }
    });
    let bar = progress::bar("backtest", 0);
    let draw = |told: &BacktestTold| {
        bar.set_length(told.of.saturating_sub(plan.behind));
        bar.set_position(told.done.saturating_sub(plan.behind));
        bar.set_message(match &told.trouble {
            Some(trouble) => plain(trouble, 3 * SHOWN),
            None => format!("{} events, {} alerts", told.events, told.alerts),
        });
    };
    let found = backtest.run(&plan, &stop, draw).await;
    bar.finish_and_clear();
    let found = found?.ok_or("it was stopped, and nothing is kept of it")?;
    match arguments.json {
        true => say!("{}", told(&plan, &found)),
        false => show(&plan, &found, arguments.limit),
    }
    Ok(found.alerts.are_equal() && !found.is_cut)
}

/// Why a rule raises other alerts, where it does.
fn reasons(plan: &ReplayPlan, rule: &str, differs: bool) -> Vec<PlannedChange> {
    let planned: Option<&PlannedRule> = plan.rules.iter().find(|of| of.rule == rule);
    planned.filter(|_| differs).map(|of| of.because.clone()).unwrap_or_default()
}

/// As JSON. An alert is as ALERTS has it.
fn told(plan: &ReplayPlan, found: &BacktestFound) -> Value {
    let counts = found.alerts.counts();
    let rule = |of: &PlannedRule| {
        let counts = counts.get(of.rule.as_str()).copied().unwrap_or_default();
        json!({
            "rule": of.rule, "because": of.because, "both": counts.both, "only_live": counts.only_live,
            "only_here": counts.only_here,
        })
    };
    json!({
        "equal": found.alerts.are_equal(), "cut": found.is_cut, "behind": found.log.0, "end": found.log.1,
        "events": found.events, "rules": plan.rules.iter().map(rule).collect::<Vec<_>>(),
        "both": found.alerts.both, "only_live": found.alerts.only_live, "only_here": found.alerts.only_here,
    })
}

fn show(plan: &ReplayPlan, found: &BacktestFound, limit: usize) {
    let counts = found.alerts.counts();
    let row = |of: &PlannedRule| {
        let count = counts.get(of.rule.as_str()).copied().unwrap_or_default();
        let differs = count.only_live + count.only_here > 0;
        let why = match reasons(plan, &of.rule, differs) {
            reasons if reasons.is_empty() && differs => "unknown".into(),
            reasons if reasons.is_empty() => String::new(),
            reasons => because(&reasons),
        };
        let [both, live, here] = [count.both, count.only_live, count.only_here].map(|n| n.to_string());
        [plain(&of.rule, SHOWN), both, live, here, why]
    };
    let rows: Vec<_> = plan.rules.iter().map(row).collect();
    table::print(["rule", "both", "only live", "only here", "why"], [false, true, true, true, false], &rows);
    let alerts = &found.alerts;
    // What differs first.
    let sides = [(&alerts.only_here, "here"), (&alerts.only_live, "live"), (&alerts.both, "both")];
    let rows: Vec<_> = sides.iter().flat_map(|(list, side)| list.iter().map(|alert| shown(alert, side))).collect();
    if !rows.is_empty() {
        say!("");
        let header = ["of", "raised by", "rule", "alert", "about", "RAW"];
        table::print(header, [false, false, false, false, false, true], &rows[..rows.len().min(limit)]);
    }
    if rows.len() > limit {
        say!("and {} more; --limit shows them", rows.len() - limit);
    }
    if found.is_cut {
        say!("the rules raise too many alerts: it ended at sequence {} of {}", found.log.1, plan.log.1);
    }
}

fn shown(alert: &AlertTransition, side: &str) -> [String; 6] {
    let about: Vec<_> = alert.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let title = plain(&alert.title, SHOWN);
    let (rule, about) = (plain(&alert.rule, SHOWN), plain(&about.join(", "), SHOWN));
    [alert.event_time.to_string(), side.to_owned(), rule, title, about, alert.raw_seq.to_string()]
}
