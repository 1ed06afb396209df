//! What JetStream alone does with the bytes of a load: publishes them to one
//! stream, and relays them to a second one, by nothing but async-nats. A suite's
//! throughput is told as a share of this.
//!
//!     jetstream-relay NATS_URL FILE MESSAGE_BYTES
//!
//! The file has an event a line. The streams are made as the suite makes RAW and
//! ENRICHED: the first synced as the server syncs, the second persisted
//! asynchronously. It ends when the second one has everything. The last line is
//! one JSON object.

#![allow(clippy::print_stdout, reason = "a command line talks to people")]

use std::{collections::VecDeque, error::Error, future::IntoFuture, time::Instant};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, pull},
    context::PublishAckFuture,
    stream::{PersistenceMode, StorageType},
};
use bytes::Bytes;
use futures::StreamExt;

/// Messages that may wait for their acknowledgement.
const IN_FLIGHT: usize = 64;
const PULL: usize = 64;
const SOURCE: &str = "BENCH_RAW";
const TARGET: &str = "BENCH_ENRICHED";

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, file, size] = &arguments[..] else {
        return Err("give the address of NATS, a file, and the bytes of a message".into());
    };
    let text = Bytes::from(std::fs::read(file)?);
    let messages = cut(&text, size.parse()?);
    let events = text.iter().filter(|byte| **byte == b'\n').count();
    let server: async_nats::ServerAddr = url.parse()?;
    let mut options = async_nats::ConnectOptions::new();
    if let (Some(user), Some(password)) = (server.username(), server.password()) {
        options = options.user_and_password(user.to_owned(), password.to_owned());
    }
    let context = jetstream::new(options.connect(server).await?);
    make(&context, SOURCE, None).await?;
    make(&context, TARGET, Some(PersistenceMode::Async)).await?;

    let begun = Instant::now();
    let count = messages.len();
    let publishing = tokio::spawn(publish(context.clone(), messages));
    relay(&context, count).await?;
    publishing.await??;
    let seconds = begun.elapsed().as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "events of a file are far fewer than 2^52")]
    let told = serde_json::json!({
        "events": events,
        "bytes": text.len(),
        "messages": count,
        "seconds": seconds,
        "events_per_s": events as f64 / seconds,
        "cpu_s": cpu_seconds(),
    });
    println!("{told}");
    Ok(())
}

/// Whole lines, as many as make a message of at least so many bytes.
fn cut(text: &Bytes, size: usize) -> Vec<Bytes> {
    let (mut messages, mut from) = (Vec::new(), 0);
    for (at, _) in text.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if at + 1 - from >= size || at + 1 == text.len() {
            messages.push(text.slice(from..=at));
            from = at + 1;
        }
    }
    messages
}

async fn make(context: &jetstream::Context, name: &str, persist_mode: Option<PersistenceMode>) -> Result<()> {
    let config = jetstream::stream::Config {
        name: name.into(),
        storage: StorageType::File,
        persist_mode,
        ..jetstream::stream::Config::default()
    };
    context.create_stream(config).await?;
    Ok(())
}

async fn publish(context: jetstream::Context, messages: Vec<Bytes>) -> Result<()> {
    let mut waiting = VecDeque::new();
    for message in messages {
        send(&context, SOURCE, message, &mut waiting).await?;
    }
    all(waiting).await
}

async fn send(
    context: &jetstream::Context,
    subject: &'static str,
    message: Bytes,
    waiting: &mut VecDeque<PublishAckFuture>,
) -> Result<()> {
    if waiting.len() >= IN_FLIGHT
        && let Some(oldest) = waiting.pop_front()
    {
        oldest.into_future().await?;
    }
    waiting.push_back(context.publish(subject, message).await?);
    Ok(())
}

async fn all(waiting: VecDeque<PublishAckFuture>) -> Result<()> {
    for acknowledgement in waiting {
        acknowledgement.into_future().await?;
    }
    Ok(())
}

async fn relay(context: &jetstream::Context, count: usize) -> Result<()> {
    let config = pull::Config {
        durable_name: Some("relay".into()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 512,
        ..pull::Config::default()
    };
    let consumer = context.get_stream(SOURCE).await?.create_consumer(config).await?;
    let mut messages = consumer.stream().max_messages_per_batch(PULL).messages().await?;
    let mut waiting = VecDeque::new();
    for _ in 0..count {
        let message = messages.next().await.ok_or("the first stream ended")??;
        send(context, TARGET, message.payload.clone(), &mut waiting).await?;
        message.ack().await?;
    }
    all(waiting).await
}

/// Processor seconds of this process; `None` where the system does not tell.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(f64::from(ticks()? + ticks()?) / 100.0)
}
