//! The recommendation service: what a visitor wants next, learnt from the stream.
//!
//! Every replica learns all partitions of `ENRICHED` (`stage`) into a `model` in memory,
//! and answers from it alone (`recommend`, by `rules`). The replicas share the partitions
//! among them for what is stored: the owner of a partition keeps what its events tell
//! (`learning`), customers' `profiles`, and the index in pages (`store`). So a replica
//! that starts goes on from there. The owner also tells how well its clicks were predicted
//! (`measure`, `evaluations`).

mod app;
mod config;
mod error;
mod evaluations;
mod http;
mod known_erasures;
mod learning;
mod measure;
mod model;
mod profiles;
mod readiness;
mod recommend;
mod rules;
mod stage;
mod store;
mod telemetry;
#[cfg(test)]
mod testing;
mod upkeep;

use std::sync::Arc;

use tidemill_definitions::CustomerSegments;
use tidemill_events::Durable;
use tidemill_service::{Access, Context, Handle, Role, Server, Service, StartError, Starting};

use self::{
    app::Recommender, error::Error, learning::LearntMembers, model::LearntModel, readiness::CatchingUp, store::Store,
    telemetry::Telemetry,
};

pub use self::{
    config::Config,
    learning::BUILT_IN as BUILT_IN_LEARNING,
    rules::{BUILT_IN as BUILT_IN_RULES, RulesInUse},
};

/// The service.
#[derive(Debug, Clone, Copy)]
pub struct RecommendationService;

impl Service for RecommendationService {
    const NAME: &'static str = "recommendation";
    type Config = Config;

    /// Starts the service: waits for its dependencies, takes in what is stored, serves,
    /// and learns.
    fn start(config: Config, context: Context) -> Starting {
        Box::pin(async move {
            let rules = RulesInUse::load(&config)?;
            begin(config, context, rules).await
        })
    }

    fn check(config: &Config) -> Result<(), StartError> {
        config.check()?;
        RulesInUse::load(config)?;
        members(config).map(drop)
    }
}

impl RecommendationService {
    /// Starts it with rules that somebody else has, and may exchange.
    pub fn start_with(config: Config, context: Context, rules: RulesInUse) -> Starting {
        Box::pin(begin(config, context, rules))
    }
}

/// By what is learnt.
fn members(config: &Config) -> Result<LearntMembers, StartError> {
    LearntMembers::load(config.learning.definition.as_deref()).map_err(StartError::new)
}

async fn begin(config: Config, context: Context, rules: RulesInUse) -> Result<Handle, StartError> {
    config.check()?;
    let members = members(&config)?;
    let segments = CustomerSegments::built_in().map_err(StartError::new)?;
    let most_items = usize::try_from(config.kept.items.get()).unwrap_or(usize::MAX);
    let model = LearntModel::new(config.index.clone(), most_items).map_err(StartError::new)?.by(&rules);
    let telemetry = Telemetry::register(&context.registry);
    // The page of products asks with the session of the dashboard, which reads lists and no profile.
    let access = Access::start(&config.auth, &context, &[Role::Read, Role::Operate])?.with_sessions();
    let server = Server::start(&context, &config.http, http::openapi()).await?;
    let bus = context.connect_bus(&config.nats).await?;
    let open = || Store::open(&config.store, context.breaker("store"), bus.partitions().all());
    let store = context.retry("store", open, Error::is_transient).await?;
    let app =
        Recommender::new(context.clone(), bus.clone(), store, members, rules, segments, model, telemetry, &config);
    let app = Arc::new(app);
    context.retry("store", async || app.load().await, Error::is_transient).await?;
    context.retry("nats", async || app.check_log().await, Error::is_transient).await?;
    let ends = context.retry("nats", async || readiness::log_ends(&app).await, Error::is_transient).await?;
    // So that what the log has need not wait for it.
    context.retry("store", async || upkeep::keep_up_with_erasures(&app).await, Error::is_transient).await?;
    // Before there are routes: those are all that is waited for otherwise.
    let catching_up = CatchingUp::new(&context.health, ends);
    context.spawn("readiness", readiness::catch_up(app.clone(), catching_up));
    server.install(http::routes(&access, app.clone()))?;
    for partition in bus.partitions().all() {
        context.spawn("learn", stage::learn(app.clone(), partition));
    }
    let shared = app.clone();
    let partitions = bus.partitions().all();
    let owned = tidemill_ownership::share(&context, &bus, partitions, move |lease| stage::keep(shared.clone(), lease));
    context.spawn("pages", stage::write_pages(app.clone()));
    if config.profiles.published_per_second > 0 {
        let per_second = config.profiles.published_per_second;
        context.spawn("profiles", stage::publish_profiles(app.clone(), per_second));
    }
    context.spawn("erasures", upkeep::erase(app.clone()));
    context.spawn("charts", upkeep::renew_charts(app.clone()));
    context.spawn("upkeep", upkeep::run(app.clone()));
    if app.evaluation.is_wanted() {
        context.spawn("evaluation", evaluations::run(app.clone()));
    }
    let reached = app.clone();
    context.spawn("log", tidemill_stage::watch_log(context.clone(), bus.clone(), move || reached.reached()));
    let lag = move |partition, waiting| app.telemetry.lag(partition, waiting);
    let durable = |partition| Some(Durable::Recommendation(partition));
    context.spawn("lag", tidemill_stage::watch(context.clone(), bus, owned, "standing_partition", durable, lag));
    Ok(Handle { address: server.address() })
}
