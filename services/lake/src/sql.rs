//! Questions in SQL, each in a process of its own: what a question takes, it takes from that process, whose memory
//! is bounded and which can be ended at any moment. The process is this program once more.

mod child;
mod folder;
mod job;
mod memory;
mod passed;
mod process;
mod processes;

pub use self::child::{SQL_PROCESS, answer_question};
pub(crate) use self::{job::SqlPlace, processes::SqlProcesses};
