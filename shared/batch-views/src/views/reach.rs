//! How far silver is in a view.

use serde::{Deserialize, Serialize};
use tidemill_domain::Partition;

use crate::gold::Coverage;

/// How far silver is in a view, as tables of gold tell it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ViewReach(pub(super) Coverage);

impl ViewReach {
    /// By partition, the `RAW` sequence.
    pub fn sequences(&self) -> impl Iterator<Item = (Partition, u64)> {
        self.0.sequences().filter_map(|(partition, raw_seq)| {
            Some((Partition::new(u16::try_from(partition).ok()?), u64::try_from(raw_seq).ok()?))
        })
    }
}
