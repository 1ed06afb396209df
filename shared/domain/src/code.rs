//! The stable codes of what goes wrong, each with what to do about it.
//!
//! A code is the same wherever it is met: in an answer, a dead letter, a log
//! line, readiness or the label of a metric. `docs/reference/codes.md` is made
//! from this table.

use std::{fmt, str::FromStr};

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// Who sent the request: it has to change, or come again later.
    Sender,
    /// Who runs the suite.
    Operator,
    /// Nobody has to: the service goes on by itself.
    Nobody,
}

macro_rules! codes {
    ($($name:ident = $text:literal, $title:literal, $party:ident, $remedy:literal;)+) => {
        /// The stable code of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(
                #[doc = concat!($title, ".")]
                $name,
            )+
        }

        impl Code {
            /// Every code, in the order of the alphabet.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The code in words.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)+
                }
            }

            /// Who can do something about it.
            pub const fn party(self) -> Party {
                match self {
                    $(Self::$name => Party::$party,)+
                }
            }

            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$name => $remedy,)+
                }
            }
        }
    };
}

codes! {
    AllRejected = "all_rejected", "Everything was rejected", Sender,
        "Look at `rejected` in the answer: each event or record has a code of its own.";
    AlreadyAccepted = "already_accepted", "The event of the dead letter is in the log already", Operator,
        "Nothing. To send it once more anyway, set `force`; it is then counted as a duplicate.";
    AlreadyDiscarded = "already_discarded", "The dead letter is discarded", Operator,
        "Nothing: its body is gone. The event has to come from its sender again.";
    AlreadyRedriving = "already_redriving", "The event of the dead letter is on its way", Operator,
        "Wait for its outcome; `force` sends it again.";
    AnswerTooLarge = "answer_too_large", "The answer has too many rows or bytes", Sender,
        "Add LIMIT, ask for totals or for fewer columns.";
    Backlog = "backlog", "Later stages are behind", Sender,
        "Send the request again after `retry_after` seconds. Whoever runs the suite: scale or mend the stage that is behind; \
         `tidemill_ingestion_backlog_bytes` tells which stream waits.";
    BodyTimeout = "body_timeout", "The body did not arrive in time", Sender,
        "Send the request again, in smaller parts where the line is slow.";
    BodyTooLarge = "body_too_large", "The body is too large", Sender,
        "Send fewer events in one request. The answer names the limit.";
    BronzeGap = "bronze_gap", "Neither the log nor bronze has a batch", Operator,
        "Begin behind it: the message names its sequence. Bronze lacks what was sent while no lake ran, and what its \
         retention has dropped.";
    Bus = "bus", "NATS did not do what it was asked", Operator,
        "Look at the log line for what the server said, and at the server: whether it runs, and has room on its disk.";
    Busy = "busy", "The service is busy", Sender,
        "Send the request again after `retry_after` seconds. Where it happens often, add replicas or raise the limits.";
    ContractBroken = "contract_broken", "An event breaks a rule that stops its partition", Operator,
        "The message names rule and event. Mend its sender or the rule in the contract, and start the lake anew; the log \
         keeps what waits.";
    ControlCharacter = "control_character", "The address holds a control character", Sender,
        "Leave control characters out of paths and parameters.";
    DeadLetterCeiling = "dead_letter_ceiling", "Too large a share cannot be read", Operator,
        "The stage has halted, so that a fault of ours does not turn all events into dead letters. Look at the newest \
         dead letters; mend what they say, and start the service anew.";
    DeadLettersFull = "dead_letters_full", "The stream of dead letters is full", Operator,
        "Send dead letters again or discard them, or give NATS more room (`nats.log_bytes`).";
    Definition = "definition", "A file of definitions is wrong", Operator,
        "Mend the file that the message names.";
    DuplicateKey = "duplicate_key", "A key occurs twice", Sender,
        "Write each key of an object once.";
    EventTooLarge = "event_too_large", "The event is too large", Sender,
        "Leave out what is not needed, or split the event. The answer names the limit.";
    ForbiddenOrigin = "forbidden_origin", "The page's origin is not allowed", Operator,
        "Add the shop's origin to `cors.origins` of ingestion.";
    ForbiddenRole = "forbidden_role", "The key is for something else", Sender,
        "Use a key of the role that the answer names.";
    ForeignLog = "foreign_log", "The store belongs to another log", Operator,
        "The log was emptied or exchanged, and the store was not. Give the service the log that it knew, or an empty \
         store; docs/durability.md tells how.";
    ForeignPage = "foreign_page", "A page of another origin asks for this", Sender,
        "Call it from the suite's own page, or from a program.";
    ForeignTotals = "foreign_totals", "Totals have another shape than their definition", Operator,
        "Another release wrote them. Bring every service to one release.";
    GenerationBehind = "generation_behind", "The generation has not counted what the live totals have", Operator,
        "Wait until its replay has caught up (`tidemill replay status`), or set `force`.";
    GenerationDiffers = "generation_differs", "The generation was begun with other definitions or another start", Operator,
        "Go on with what it was begun with, or begin another one under another name.";
    GenerationServed = "generation_served", "The generation answers questions", Operator,
        "Roll it back, and retire it then.";
    ImpreciseNumber = "imprecise_number", "A number cannot be held exactly", Sender,
        "Send the number as a text, in quotation marks.";
    InflatedTooLarge = "inflated_too_large", "The inflated body is too large", Sender,
        "Send fewer events in one request. The answer names the limit.";
    Internal = "internal", "Internal error", Operator,
        "A fault of ours. The service's log has the particulars; please report them.";
    InvalidContract = "invalid_contract", "A data contract is wrong", Operator,
        "Mend the file at the line that the message names.";
    InvalidEvent = "invalid_event", "The event is not a valid CloudEvent", Sender,
        "Mend the attributes that `errors` names.";
    InvalidParameter = "invalid_parameter", "Invalid parameter", Sender,
        "Mend the parameters that `errors` or `detail` names; `/openapi.json` has what is allowed.";
    InvalidRecord = "invalid_record", "The record breaks a rule", Sender,
        "Mend the members that `errors` names.";
    InvalidRequest = "invalid_request", "Invalid request", Sender,
        "Mend the members that `errors` names.";
    InvalidSql = "invalid_sql", "Invalid SQL", Sender,
        "Mend the question as `detail` says; docs/sql.md tells what is understood.";
    LakeDamaged = "lake_damaged", "A file of the lake is missing or cut", Operator,
        "Put the file back from a backup, or make the layer anew; docs/lake.md tells how. The log keeps what waits.";
    LakeDenied = "lake_denied", "The lake's store refuses the credentials", Operator,
        "Look at the keys and rights of `lake.s3`, or at those of the folder. Nothing is lost meanwhile.";
    LakeFull = "lake_full", "The lake's store has no room", Operator,
        "Give it room. The log keeps what waits, as long as it has room itself.";
    LakeProtocol = "lake_protocol", "A table of the lake asks for a newer release of Delta", Operator,
        "Another program has changed the table's protocol. Take the feature away again, or use a newer release.";
    LakeSchema = "lake_schema", "A table of the lake is another one", Operator,
        "The message names what differs. Another release made the table, or another lake uses the folder.";
    LakeStore = "lake_store", "The lake's store did not do what it was asked", Operator,
        "Look at the log line for what the store said. While it is away the lake waits; nothing is lost.";
    LakeUnfit = "lake_unfit", "The lake's store does not know conditional puts", Operator,
        "It would let two replicas overwrite each other's versions. Take a store that honours `If-None-Match`, or a folder.";
    LogForgotten = "log_forgotten", "The log has no such beginning any more", Operator,
        "Begin at what the log still has; the message names it.";
    LogUnavailable = "log_unavailable", "The log cannot be written now", Operator,
        "Senders repeat the request. Look at NATS: whether it runs, and has room on its disk.";
    MalformedBody = "malformed_body", "The body is malformed", Sender,
        "Send what the content type says. `detail` tells where it ends to be so.";
    MalformedEncoding = "malformed_encoding", "The body does not inflate", Sender,
        "Send the whole body, compressed as `Content-Encoding` says.";
    MalformedEvent = "malformed_event", "A line of a batch is no event", Operator,
        "Only ingestion should write to RAW: find out who else does.";
    MalformedHeader = "malformed_header", "A header of the request cannot be read", Sender,
        "The answer names the header, and what its value has to be.";
    MalformedJson = "malformed_json", "The event is not valid JSON", Sender,
        "Mend the JSON at the place that `pointer` and `detail` name.";
    MalformedMessage = "malformed_message", "A message cannot be read", Operator,
        "Only the suite should write to its streams: find out who else does. The dead letter has the message.";
    MethodNotAllowed = "method_not_allowed", "The method is not answered here", Sender,
        "Use a method that the `Allow` header names.";
    MetricsStore = "metrics_store", "The metrics store did not do what it was asked", Operator,
        "Look at the log line for what InfluxDB said. The stage tries again; no total is lost.";
    MetricsTail = "metrics_tail", "The end of METRICS is not what was published last", Nobody,
        "The partition is opened afresh from its checkpoint.";
    MisdirectedRequest = "misdirected_request", "This host is not served here", Operator,
        "Add the name in the `Host` header to `http.hosts`.";
    MissingMessage = "missing_message", "A message of a stream is missing", Nobody,
        "The stream is read again from the last position that is stored.";
    MixedTotals = "mixed_totals", "Stored totals of one version have different shapes", Operator,
        "Another release wrote some of them. Bring every service to one release.";
    NotAnEvent = "not_an_event", "The dead letter is a message that a reader could not read", Operator,
        "The events in it have their outcome. Discard the letter when its cause is known.";
    NotFound = "not_found", "Nothing is here", Sender,
        "Look at `/openapi.json` for what there is.";
    NotKept = "not_kept", "Nothing is kept of the events that the dead letter counts", Operator,
        "The events have to come from their sender again. Letters beyond a key's budget are only counted.";
    NotReadOnly = "not_read_only", "The question would change something", Sender,
        "Ask by SELECT, EXPLAIN, SHOW TABLES, SHOW COLUMNS or DESCRIBE: the lake is only read.";
    NullCharacter = "null_character", "A text holds U+0000", Sender,
        "Leave U+0000 out: no database of the suite holds it.";
    Overlapping = "overlapping_windows", "Overlapping windows", Sender,
        "Ask for the series: totals of windows that overlap would count events more than once.";
    Overtaken = "overtaken", "Somebody else has just ordered something for the dead letter", Operator,
        "Look at the letter again.";
    PartitionsDiffer = "partitions_differ", "The log was made for another number of partitions", Operator,
        "Give every service the `nats.partitions` that the message names. The number of a log does not change: for another \
         one, end all services and begin with empty stores and streams.";
    RateLimited = "rate_limited", "Too many events", Sender,
        "Send the rest after `retry_after` seconds; the limit of a key is `limits.rate_per_key`.";
    ReservedSource = "reserved_source", "The source is one of the suite's own", Sender,
        "Name another source: those that begin with `tidemill/` are of what the suite's services tell themselves.";
    SchemaViolation = "schema_violation", "The data does not match its schema", Sender,
        "Mend the members that `errors` names, or the schema of the event type.";
    SqlFailed = "sql_failed", "The question failed on its values", Sender,
        "Look at `detail`: a division by zero, or a cast of a value that has no such form.";
    SqlTooCostly = "sql_too_costly", "The question takes too long or too much memory", Sender,
        "Ask for less time or fewer groups, or ask a table of gold. Section `sql` of the lake's settings has the limits.";
    Stopped = "stopped", "The work was given back", Nobody,
        "Who has it next does what is left.";
    Store = "store", "The database did not do what it was asked", Operator,
        "Look at the log line for what the database said. While it is away the stage waits; nothing is lost.";
    StoreRefused = "store_refused", "The database refused part of the data", Operator,
        "The dead letter has what it refused, and why. Everything else went on.";
    Superseded = "superseded", "Another replica has taken over", Nobody,
        "The other replica goes on from the last checkpoint.";
    TooDeep = "too_deep", "The event is nested too deeply", Sender,
        "Nest arrays and objects less deeply.";
    TooManyClients = "too_many_clients", "Too many clients", Operator,
        "Clients come again by themselves. Raise `live.clients`, or add replicas.";
    TooManyEvents = "too_many_events", "Too many events in one request", Sender,
        "Send fewer events in one request. The answer names the limit.";
    TooManyLogins = "too_many_logins", "Too many logins", Sender,
        "Wait for `retry_after` seconds.";
    TooManyOfOneAddress = "too_many_of_one_address", "Too many clients of one address", Operator,
        "Close other pages. Behind a proxy, set `live.trusted_proxies`, so that clients are told apart.";
    TooManyPoints = "too_many_points", "Too many points", Sender,
        "Bring `from` and `to` closer together, group by fewer dimensions, or ask for a coarser `resolution`.";
    TooManyRecords = "too_many_records", "Too many records in one request", Sender,
        "Send fewer records in one request. The answer names the limit.";
    Unaligned = "unaligned_range", "The range is not made of whole windows", Sender,
        "Ask for the range that `detail` names, or for a metric of shorter windows.";
    Unauthorized = "unauthorized", "A valid key is required", Sender,
        "Send a key as `Authorization: Bearer KEY`; docs/security.md tells which.";
    Unavailable = "unavailable", "The service is not ready", Sender,
        "Send the request again after `retry_after` seconds; `/readyz` tells what is waited for.";
    UnknownDeadLetter = "unknown_dead_letter", "Unknown dead letter", Operator,
        "Ask for the list: the letter may be forgotten, as its stream forgets it after 30 days.";
    UnknownGeneration = "unknown_generation", "Unknown generation", Sender,
        "`GET /v1/generations` lists them.";
    UnknownMetric = "unknown_metric", "Unknown metric", Sender,
        "`GET /v1/metrics` names those that there are.";
    UnknownOrder = "unknown_order", "Unknown order", Operator,
        "Look at the name that the order's answer gave. An order that was refused for every letter is not kept.";
    UnknownTable = "unknown_table", "There is no such table", Sender,
        "The answer names the tables that there are.";
    UnknownTableVersion = "unknown_table_version", "The table has no such version", Sender,
        "Ask for a version or a time that is kept; versions go after the time that `lake` sets for them.";
    UnknownType = "unknown_type", "The event type is not known", Operator,
        "Add a schema for the type to `schemas.folder`, or let `schemas.unknown` accept it without one.";
    UnknownVersion = "unknown_version", "Unknown version", Sender,
        "The answer names the versions that the metric has.";
    UnreadableEnd = "unreadable_end", "The last message of a partition cannot be read", Operator,
        "The partition stands until a release that can read it is there: bring every service to the newest release.";
    UnsupportedEncoding = "unsupported_encoding", "The content encoding is not supported", Sender,
        "Use gzip, zstd, lz4 or none.";
    UnsupportedMediaType = "unsupported_media_type", "The content type is not supported", Sender,
        "Use a content type that the answer names.";
    UnsupportedVersion = "unsupported_version", "A message is of a version that is not known", Operator,
        "A newer release wrote it: bring every service to that release, then send the dead letters again.";
    TooEarly = "valid_from_too_early", "The change comes too early", Sender,
        "Set `valid_from` to the time that the answer names, or later, so that every replica knows in time.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// No code is written so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no code")]
pub struct CodeError(String);

impl FromStr for Code {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or_else(|| CodeError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_written_once_and_read_back() {
        assert!(Code::ALL.is_sorted_by_key(|code| code.as_str()), "in the order of the alphabet");
        for (i, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(Code::ALL[i + 1..].iter().all(|other| other.as_str() != code.as_str()), "{code}");
        }
        assert_eq!("nonsense".parse::<Code>(), Err(CodeError("nonsense".into())));
    }

    #[test]
    fn every_code_is_told_in_sentences() {
        for code in Code::ALL {
            assert!(!code.title().ends_with('.') && code.title().starts_with(char::is_uppercase), "{code}");
            let remedy = code.remedy();
            assert!(remedy.ends_with('.') && remedy.starts_with(|c: char| c == '`' || c.is_uppercase()), "{code}");
        }
    }
}
