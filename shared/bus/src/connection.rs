//! A connection, and publishing over it.

use std::{sync::Arc, time::Duration};

use async_nats::{
    ConnectOptions, HeaderMap,
    connection::State,
    jetstream::{
        self,
        context::PublishErrorKind,
        stream::{DirectGetErrorKind, LastRawMessageErrorKind, RawMessageErrorKind},
    },
};
use bytes::Bytes;
use tidemill_domain::{Backoff, PartitionCount};
use tidemill_events::{DecodeError, Encoded, HeaderSource, Message, StreamName};
use tokio::sync::Notify;

use crate::{Config, Error};

/// A connection to NATS; clones share it.
#[derive(Clone, Debug)]
pub struct Bus {
    pub(crate) client: async_nats::Client,
    pub(crate) context: jetstream::Context,
    pub(crate) config: Config,
    partitions: PartitionCount,
    /// A call has found a stream or bucket gone.
    pub(crate) missed: Arc<Notify>,
}

/// The server's word that a message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// Whether it was already there, by its message id.
    pub duplicate: bool,
}

/// A message as it stands in a stream.
#[derive(Debug)]
pub struct Stored<M> {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The message.
    pub message: M,
}

/// How much of a stream's room is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that its messages take.
    pub bytes: u64,
    /// Bytes that they may take.
    pub max_bytes: u64,
}

impl Usage {
    /// Whether less than this share of the room is taken.
    pub fn is_below(self, (part, whole): (u64, u64)) -> bool {
        u128::from(self.bytes) * u128::from(whole) < u128::from(self.max_bytes) * u128::from(part)
    }
}

/// The headers of a message that came.
#[derive(Debug)]
pub struct Headers<'a>(pub(crate) Option<&'a HeaderMap>);

impl HeaderSource for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0?.get(name).map(async_nats::HeaderValue::as_str)
    }
}

/// A server whose machine lost its power says nothing. After three pings
/// without an answer the client goes to another one.
const PING_INTERVAL: Duration = Duration::from_secs(2);

impl Bus {
    /// Connects as `name`, and keeps the connection alive from then on: a
    /// server that goes away is waited for.
    pub async fn connect(config: &Config, name: &str) -> Result<Self, Error> {
        let partitions =
            PartitionCount::try_from(config.partitions).map_err(|e| Error::Config(format!("partitions: {e}")))?;
        if config.timeout_seconds == 0 {
            return Err(Error::Config("timeout_seconds must be at least 1".into()));
        }
        let timeout = Duration::from_secs(config.timeout_seconds);
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(timeout)
            .request_timeout(Some(timeout))
            .ping_interval(PING_INTERVAL)
            .max_reconnects(None);
        let (servers, credentials) = config.servers();
        if let Some((user, password)) = credentials {
            options = options.user_and_password(user, password);
        }
        let client = options.connect(servers).await.map_err(|e| Error::Connect(e.to_string()))?;
        let context = jetstream::context::ContextBuilder::new().timeout(timeout).build(client.clone());
        Ok(Self { client, context, config: config.clone(), partitions, missed: Arc::default() })
    }

    /// The partitions of this installation.
    pub fn partitions(&self) -> PartitionCount {
        self.partitions
    }

    /// How many publishes to one stream are worth having under way. With one
    /// replica the server syncs message by message, so a second one would only stand
    /// in line; replicas agree on many at once.
    pub fn publishes_at_once(&self) -> usize {
        if self.config.replicas > 1 { 8 } else { 1 }
    }

    /// Whether the server answers, as far as the client knows.
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// Publishes a message and waits until the server has stored it. This is
    /// one attempt. A caller that retries repeats the same message: by its id
    /// the server knows the copy, and drops it.
    pub async fn publish<M: Message>(&self, message: &M) -> Result<Published, Error> {
        let encoded = message.encode()?;
        let headers = headers_of(&encoded);
        self.send(M::STREAM, encoded, headers).await
    }

    /// Publishes a message right behind `tail`, the stream sequence of its
    /// subject's last message (0 for none). Fails with [`Error::Conflict`] if
    /// the subject does not end there.
    ///
    /// A derived stream is not synced to disk, so a crash of the server may
    /// take its end away while the publisher lives on. Then the message is
    /// refused, since it would leave a gap. It is also refused if another
    /// publisher has taken over, or if it is a repetition and only the answer
    /// to the first attempt was lost. After a refusal, look for the end again.
    pub async fn publish_after<M: Message>(&self, message: &M, tail: u64) -> Result<Published, Error> {
        let encoded = message.encode()?;
        let mut headers = headers_of(&encoded);
        headers.insert(async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, async_nats::HeaderValue::from(tail));
        self.send(M::STREAM, encoded, headers).await
    }

    /// Sends it to this stream alone: where that is gone, another one may have taken its subjects.
    async fn send(&self, stream: StreamName, encoded: Encoded, mut headers: HeaderMap) -> Result<Published, Error> {
        headers.insert(async_nats::header::NATS_EXPECTED_STREAM, stream.as_str());
        let fault = |e: async_nats::jetstream::context::PublishError| {
            self.look_for_gone(&e.to_string());
            let subject = encoded.subject.clone();
            match e.kind() {
                PublishErrorKind::WrongLastSequence => Error::Conflict { subject },
                PublishErrorKind::Other if e.to_string().contains("maximum bytes exceeded") => Error::Full { subject },
                _ if is_too_large(&e.to_string()) => Error::TooLarge { subject, reason: e.to_string() },
                _ => Error::Publish { subject, reason: e.to_string() },
            }
        };
        let ack = self
            .context
            .publish_with_headers(encoded.subject.clone(), headers, encoded.payload)
            .await
            .map_err(fault)?
            .await
            .map_err(fault)?;
        Ok(Published { sequence: ack.sequence, duplicate: ack.duplicate })
    }

    /// Publishes a message again and again until the server has it, for stages
    /// whose only way forward is this message. The waits are those of
    /// [`Backoff`], and `on_retry` hears of each failure. Returns only an error
    /// that no retry can mend.
    pub async fn publish_until_stored<M: Message>(
        &self,
        message: &M,
        mut on_retry: impl FnMut(&Error),
    ) -> Result<Published, Error> {
        let mut backoff = Backoff::new();
        loop {
            match self.publish(message).await {
                Err(error) if error.is_transient() => {
                    on_retry(&error);
                    tokio::time::sleep(backoff.failed()).await;
                }
                done => return done,
            }
        }
    }

    /// The last message of a subject, or `None` where there is none.
    pub async fn last<M: Message>(&self, subject: &str) -> Result<Option<Stored<M>>, Error> {
        let stream = self.stream(M::STREAM).await?;
        // This asks the leader: a follower may be behind, and the answer
        // decides where a stage goes on.
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(stored) => Ok(Some(decode_stored(stored.sequence, &stored.headers, stored.payload)?)),
            Err(e) if e.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(e) => Err(self.read_error(M::STREAM, &e)),
        }
    }

    /// The sequence of a subject's last message, whatever it is; 0 for none. This is what
    /// [`publish_after`](Self::publish_after) is told.
    pub async fn tail(&self, name: StreamName, subject: &str) -> Result<u64, Error> {
        let stream = self.stream(name).await?;
        match stream.get_last_raw_message_by_subject(subject).await {
            Ok(stored) => Ok(stored.sequence),
            Err(e) if e.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(0),
            Err(e) => Err(self.read_error(name, &e)),
        }
    }

    /// The message with this sequence, or `None` where it is gone.
    pub async fn message_at<M: Message>(&self, sequence: u64) -> Result<Option<Stored<M>>, Error> {
        let stream = self.stream(M::STREAM).await?;
        match stream.direct_get(sequence).await {
            Ok(stored) => Ok(Some(decode_stored(stored.sequence, &stored.headers, stored.payload)?)),
            Err(e) if e.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.read_error(M::STREAM, &e)),
        }
    }

    /// The first message of a subject at or behind a sequence: its own
    /// sequence, and the message or why it cannot be read. `None` if there is
    /// none.
    pub async fn next_at<M: Message>(
        &self,
        subject: &str,
        sequence: u64,
    ) -> Result<Option<(u64, Result<M, DecodeError>)>, Error> {
        let stream = self.stream(M::STREAM).await?;
        match stream.direct_get_next_for_subject(subject, Some(sequence)).await {
            Ok(stored) => Ok(Some((stored.sequence, M::decode(&Headers(Some(&stored.headers)), stored.payload)))),
            Err(e) if e.kind() == DirectGetErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.read_error(M::STREAM, &e)),
        }
    }

    /// How much of a stream's room is taken.
    pub async fn usage(&self, name: StreamName) -> Result<Usage, Error> {
        let info = self.info(name).await?;
        Ok(Usage { bytes: info.state.bytes, max_bytes: u64::try_from(info.config.max_bytes).unwrap_or(u64::MAX) })
    }

    /// The sequence of the last message that a stream ever had; 0 for none.
    pub async fn end(&self, name: StreamName) -> Result<u64, Error> {
        Ok(self.state(name).await?.last_sequence)
    }

    /// The sequences of the first message that a stream still has, and of the last that it
    /// ever had. Where it has none, the first is the one behind the last.
    pub async fn extent(&self, name: StreamName) -> Result<(u64, u64), Error> {
        let state = self.state(name).await?;
        Ok((state.first_sequence.max(1), state.last_sequence))
    }

    pub(crate) async fn state(&self, name: StreamName) -> Result<jetstream::stream::State, Error> {
        Ok(self.info(name).await?.state)
    }

    pub(crate) async fn info(&self, name: StreamName) -> Result<jetstream::stream::Info, Error> {
        let stream = self.context.get_stream(name.as_str()).await.map_err(|e| self.read_error(name, &e))?;
        Ok(stream.cached_info().clone())
    }

    /// Deletes the message with this sequence; one that is gone already is no
    /// error.
    pub async fn delete<M: Message>(&self, sequence: u64) -> Result<(), Error> {
        let stream = self.stream(M::STREAM).await?;
        let Err(error) = stream.delete_message(sequence).await else { return Ok(()) };
        // The server has several words for a message that is not there.
        match stream.get_raw_message(sequence).await {
            Err(e) if e.kind() == RawMessageErrorKind::NoMessageFound => Ok(()),
            _ => Err(Error::Delete { stream: M::STREAM.as_str(), reason: error.to_string() }),
        }
    }

    fn read_error(&self, stream: StreamName, reason: &impl ToString) -> Error {
        let reason = reason.to_string();
        self.look_for_gone(&reason);
        Error::Read { stream: stream.as_str(), reason }
    }

    /// Has it told where a call failed since a stream or bucket is not there. Then nobody
    /// listens to what is sent to it either, as is also so while it has no leader: who is
    /// told looks.
    pub(crate) fn look_for_gone(&self, reason: &str) {
        if ["stream not found", "no stream found", "no responders"].iter().any(|told| reason.contains(told)) {
            self.missed.notify_one();
        }
    }

    pub(crate) async fn stream(&self, name: StreamName) -> Result<jetstream::stream::Stream<()>, Error> {
        self.context.get_stream_no_info(name.as_str()).await.map_err(|e| self.read_error(name, &e))
    }
}

pub(crate) fn headers_of(encoded: &Encoded) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(async_nats::header::NATS_MESSAGE_ID, encoded.message_id.as_str());
    for (name, value) in &encoded.headers {
        headers.insert(*name, value.as_str());
    }
    headers
}

/// Whether the server, or the client in its place, refuses a message's size: no
/// repetition helps. 10097 is JetStream's code for large headers.
fn is_too_large(reason: &str) -> bool {
    ["max payload size exceeded", "header size exceeds", "10097"].iter().any(|told| reason.contains(told))
}

fn decode_stored<M: Message>(sequence: u64, headers: &HeaderMap, payload: Bytes) -> Result<Stored<M>, Error> {
    Ok(Stored { sequence, message: M::decode(&Headers(Some(headers)), payload)? })
}
