//! Durable pull consumers.
//!
//! A reader that keeps its place in a store of its own needs no memory of the
//! server: its consumer is in the server's memory alone, and acknowledgements
//! only show others how far it is. The other readers go on where the server says,
//! so their consumers are on disk, and each message is acknowledged by itself.

use std::{collections::HashSet, fmt, time::Duration};

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, Consumer, DeliverPolicy, pull},
    message::Acker,
};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt};
use tidemill_domain::Timestamp;
use tidemill_events::{DecodeError, Durable, Encoded, Message, StreamName};

use crate::{
    Bus, Error, Usage,
    connection::{Headers, headers_of},
};

/// Bytes asked for at once. Over-asking makes the server cut the client off
/// as a slow consumer.
const MAX_BYTES_PER_PULL: usize = 8 << 20;
/// Unacknowledged messages at once; bounds what a consumer holds in memory.
const MAX_ACK_PENDING: i64 = 512;
const ACK_WAIT: Duration = Duration::from_secs(60);
/// The same for a reader that keeps its own place. What it has taken comes again
/// when it opens the consumer anew, and not before: then it would be out of order.
const PLACED_ACK_WAIT: Duration = Duration::from_secs(3600);
/// How long the server keeps a pull request open. If a client hangs while its
/// connection is up, its request takes messages away from the next holder for
/// this long.
const PULL_EXPIRES: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long the server remembers a reader that belongs to one replica, once nobody
/// asks it for messages.
const FOLLOWER_TTL: Duration = Duration::from_secs(60);

/// An open durable consumer. Once it is dropped, the messages that it held go
/// to the next [`Bus::subscribe`].
pub struct Subscription {
    name: String,
    stream: pull::Stream,
    is_each_by_itself: bool,
    /// The delivery that came last, by the consumer's own count.
    last_delivery: u64,
}

/// Where a durable consumer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The stream sequence up to which everything is acknowledged.
    pub reached: u64,
    /// Messages that are yet to be acknowledged: those not delivered and those
    /// in flight.
    pub waiting: u64,
}

/// A message as a consumer got it.
pub struct Delivery {
    message: async_nats::Message,
    /// None of a message that no consumer got.
    pub(crate) acker: Option<Acker>,
    /// Whether an acknowledgement is about this message alone, and not about all
    /// before it.
    pub(crate) is_by_itself: bool,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// How often it has been delivered, this time included.
    pub deliveries: u64,
    /// When the server stored it.
    pub stored_at: Timestamp,
}

impl Bus {
    /// Opens a durable consumer, and makes it if it is missing. The server at
    /// once hands out again, in stream order, whatever an earlier holder had
    /// not acknowledged.
    pub async fn subscribe(&self, durable: Durable) -> Result<Subscription, Error> {
        self.open(durable, None).await
    }

    /// Like [`subscribe`](Self::subscribe), but begins right behind the message
    /// `sequence` of the stream, whatever was acknowledged. With 0 it begins
    /// with the first message that the stream still has. This is for a reader
    /// that keeps its own place, and may have been put back to an earlier one.
    pub async fn subscribe_behind(&self, durable: Durable, sequence: u64) -> Result<Subscription, Error> {
        self.open(durable, Some(sequence + 1)).await
    }

    /// Like [`subscribe_behind`](Self::subscribe_behind), for a replica that reads what
    /// others read too: its consumer is its own, and the server forgets it soon after the
    /// replica is gone.
    pub async fn follow_behind(&self, durable: Durable, replica: &str, sequence: u64) -> Result<Subscription, Error> {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
        let name = format!("{}-{}", durable.name(), replica.chars().map(plain).collect::<String>());
        let failed = |reason: String| Error::Consume { name: name.clone(), reason };
        let own =
            pull::Config { durable_name: Some(name.clone()), inactive_threshold: FOLLOWER_TTL, ..config(durable) };
        let made = self.context.create_consumer_on_stream(own, durable.stream().as_str()).await;
        let consumer = made.map_err(|e| failed(self.told(e.to_string())))?;
        read(name.clone(), consumer, durable, Some(sequence + 1)).await
    }

    async fn open(&self, durable: Durable, from: Option<u64>) -> Result<Subscription, Error> {
        let failed = |reason: String| Error::Consume { name: durable.name(), reason };
        let consumer = self.consumer(durable).await.map_err(|e| failed(self.told(e)))?;
        read(durable.name(), consumer, durable, from).await
    }

    /// The same reason, once those who look for what is gone have heard of it.
    fn told(&self, reason: String) -> String {
        self.look_for_gone(&reason);
        reason
    }

    /// The consumer on the server, which is made if it is missing.
    async fn consumer(&self, durable: Durable) -> Result<Consumer<pull::Config>, String> {
        let stream = durable.stream().as_str();
        let error = match self.context.create_consumer_on_stream(config(durable), stream).await {
            Ok(consumer) => return Ok(consumer),
            Err(error) => error.to_string(),
        };
        // One of an earlier release was kept on disk. The server changes neither
        // that nor the kind of acknowledgements, and its reader has the place.
        let of_stream = self.stream(durable.stream()).await.map_err(|e| e.to_string())?;
        let is_older = durable.has_place_elsewhere()
            && of_stream.consumer_info(durable.name()).await.is_ok_and(|info| !info.config.memory_storage);
        if !is_older {
            return Err(error);
        }
        of_stream.delete_consumer(&durable.name()).await.map_err(|e| e.to_string())?;
        self.context.create_consumer_on_stream(config(durable), stream).await.map_err(|e| e.to_string())
    }

    /// Messages that a durable consumer has yet to acknowledge: those not
    /// delivered and those in flight. From the leader's answer.
    pub async fn lag(&self, durable: Durable) -> Result<u64, Error> {
        Ok(self.progress(durable).await?.waiting)
    }

    /// Where a durable consumer stands. From the leader's answer.
    pub async fn progress(&self, durable: Durable) -> Result<Progress, Error> {
        let info = self
            .stream(durable.stream())
            .await?
            .consumer_info(durable.name())
            .await
            .map_err(|e| Error::Consume { name: durable.name(), reason: e.to_string() })?;
        Ok(Progress {
            reached: info.ack_floor.stream_sequence,
            waiting: info.num_pending + info.num_ack_pending as u64,
        })
    }
}

impl Bus {
    /// Of a stream's room, what messages take that these readers have yet to
    /// acknowledge: about, since a message counts as the mean of all. A reader that was
    /// never there has nothing to read.
    pub async fn unread(&self, name: StreamName, readers: &HashSet<String>) -> Result<Usage, Error> {
        let failed = |e: &dyn std::fmt::Display| Error::Read { stream: name.as_str(), reason: e.to_string() };
        let info = self.info(name).await?;
        let mut consumers = self.stream(name).await?.consumers();
        let mut waiting = 0_u64;
        while let Some(consumer) = consumers.try_next().await.map_err(|e| failed(&e))? {
            if readers.contains(&consumer.name) {
                waiting = waiting.saturating_add(consumer.num_pending + consumer.num_ack_pending as u64);
            }
        }
        let bytes = u128::from(info.state.bytes) * u128::from(waiting) / u128::from(info.state.messages.max(1));
        let max_bytes = u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX);
        Ok(Usage { bytes: u64::try_from(bytes).unwrap_or(u64::MAX), max_bytes })
    }
}

/// Has a consumer begin where it is to, and reads it.
async fn read(
    name: String,
    mut consumer: Consumer<pull::Config>,
    durable: Durable,
    from: Option<u64>,
) -> Result<Subscription, Error> {
    let failed = |reason: String| Error::Consume { name: name.clone(), reason };
    // From here on the server counts deliveries anew. This side counts
    // along, and so notices if one goes to an earlier holder that is still
    // asking.
    let delivered = consumer.reset(from).await.map_err(|e| failed(e.to_string()))?.info.delivered.consumer_sequence;
    let stream = consumer
        .stream()
        .max_messages_per_batch(256)
        .max_bytes_per_batch(MAX_BYTES_PER_PULL)
        .heartbeat(HEARTBEAT)
        .expires(PULL_EXPIRES)
        .messages()
        .await
        .map_err(|e| failed(e.to_string()))?;
    Ok(Subscription { name, stream, is_each_by_itself: !durable.has_place_elsewhere(), last_delivery: delivered })
}

fn config(durable: Durable) -> pull::Config {
    let (ack_policy, ack_wait) = match durable.has_place_elsewhere() {
        true => (AckPolicy::All, PLACED_ACK_WAIT),
        false => (AckPolicy::Explicit, ACK_WAIT),
    };
    pull::Config {
        durable_name: Some(durable.name()),
        filter_subject: durable.filter(),
        deliver_policy: DeliverPolicy::All,
        ack_policy,
        ack_wait,
        max_ack_pending: MAX_ACK_PENDING,
        headers_only: durable.headers_only(),
        memory_storage: durable.has_place_elsewhere(),
        ..pull::Config::default()
    }
}

impl Subscription {
    /// The next message, however long it takes. After an error the
    /// subscription is to be opened anew.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        match self.stream.next().await {
            Some(message) => self.delivery(message),
            None => Err(Error::Consume { name: self.name.clone(), reason: "the stream ended".into() }),
        }
    }

    /// The next message and whatever has already arrived behind it, at most
    /// `max`. A lone message is not kept waiting for company.
    pub async fn next_chunk(&mut self, max: usize) -> Result<Vec<Delivery>, Error> {
        let mut chunk = vec![self.next().await?];
        while chunk.len() < max {
            match self.stream.next().now_or_never() {
                Some(Some(message)) => chunk.push(self.delivery(message)?),
                Some(None) | None => break,
            }
        }
        Ok(chunk)
    }

    fn delivery(
        &mut self,
        message: Result<jetstream::Message, jetstream::consumer::pull::MessagesError>,
    ) -> Result<Delivery, Error> {
        let failed = |reason: String| Error::Consume { name: self.name.clone(), reason };
        let message = message.map_err(|e| failed(e.to_string()))?;
        let info = message.info().map_err(|e| failed(e.to_string()))?;
        // The server counts deliveries without gaps. A delivery that was lost
        // with a connection would come again only after the wait for its
        // acknowledgement, behind later ones. Readers go by the order of the
        // stream, so they start over instead.
        if info.consumer_sequence != self.last_delivery + 1 {
            return Err(failed(format!("delivery {} does not follow the last one", info.consumer_sequence)));
        }
        self.last_delivery = info.consumer_sequence;
        let stored_at = i64::try_from(info.published.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
        let (sequence, deliveries) = (info.stream_sequence, u64::try_from(info.delivered).unwrap_or(1));
        let (message, acker) = message.split();
        Ok(Delivery {
            sequence,
            deliveries,
            stored_at: Timestamp::saturating_from_millis(stored_at),
            is_by_itself: self.is_each_by_itself,
            message,
            acker: Some(acker),
        })
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, sequence, deliveries, .. } = self;
        let of = (&message.subject, sequence, deliveries);
        f.debug_tuple("Delivery").field(&of).finish()
    }
}

impl Delivery {
    /// A message that a stream had at this sequence and has forgotten, from where it was kept. Nobody waits for its
    /// acknowledgement.
    pub fn kept(message: Encoded, sequence: u64, stored_at: Timestamp) -> Self {
        let headers = headers_of(&message);
        let Encoded { subject, payload, .. } = message;
        let message = async_nats::Message {
            subject: subject.into(),
            reply: None,
            length: payload.len(),
            payload,
            headers: Some(headers),
            status: None,
            description: None,
        };
        Self { message, acker: None, is_by_itself: false, sequence, deliveries: 1, stored_at }
    }

    /// The message in its type.
    pub fn decode<M: Message>(&self) -> Result<M, Error> {
        Ok(M::decode(&Headers(self.message.headers.as_ref()), self.message.payload.clone())?)
    }

    /// The same, by another way to read it.
    pub fn decode_with<M: Message>(
        &self,
        read: impl FnOnce(&Headers<'_>, Bytes) -> Result<M, DecodeError>,
    ) -> Result<M, Error> {
        Ok(read(&Headers(self.message.headers.as_ref()), self.message.payload.clone())?)
    }

    /// The body as it came, for a dead letter.
    pub fn payload(&self) -> Bytes {
        self.message.payload.clone()
    }

    /// The subject it came by.
    pub fn subject(&self) -> &str {
        self.message.subject.as_str()
    }

    /// Acknowledges, and waits for the server's confirmation. For a reader that
    /// keeps its own place it is about all messages before this one too.
    pub async fn ack(&self) -> Result<(), Error> {
        match &self.acker {
            Some(acker) => acker.double_ack().await.map_err(|e| Error::Ack(e.to_string())),
            None => Ok(()),
        }
    }
}
