//! The hooks of the consumer loop: one partition of `RAW`, in order, into
//! `ENRICHED`.
//!
//! What a batch becomes is a function of the log up to it and of the reference
//! data. It is published, then stored in a checkpoint with the partition's
//! floor, then acknowledged. So a process that dies in between does the same
//! again, under the same message id. A process that was paused and wakes up
//! after another has taken over is refused twice: by NATS, which takes a batch
//! only behind the one before it, and by the store, where the floor has moved.

mod steps;
mod work;

pub(crate) use work::run;
