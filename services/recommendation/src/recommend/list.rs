//! What is asked of a list, and what is in it.

use std::collections::HashSet;

use crate::learning::VisitorId;

/// Items of one kind that rules may choose from.
pub(super) const CANDIDATES: usize = 300;

/// Why an item is recommended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Why {
    /// Visits that have something in common with this one have it.
    Visits {
        /// How many.
        visits: u32,
    },
    /// Who has to do with the one has to do with the other.
    Similar {
        /// In how many visits.
        visits: u32,
    },
    /// Baskets have both.
    Together { baskets: u32, confidence: f64, lift: f64 },
    /// It is popular in a category of the visit.
    Category {
        /// In how many visits.
        visits: u32,
    },
    /// It is popular.
    Popular {
        /// In how many visits.
        visits: u32,
    },
    /// It is popular lately.
    Trending {
        /// In how many visits.
        visits: u32,
    },
}

/// An item that is recommended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Recommended {
    pub(crate) item: String,
    pub(crate) category: Option<String>,
    pub(crate) score: f64,
    pub(crate) why: Why,
}

/// What is asked of every kind of list.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListWanted {
    /// Items at most.
    pub(crate) n: usize,
    /// Of this category alone.
    pub(crate) category: Option<String>,
    /// Not these.
    pub(crate) without: HashSet<String>,
}

/// Whose visit is to be continued.
#[derive(Debug, Clone, Default)]
pub(crate) struct VisitAsked {
    pub(crate) customer: Option<VisitorId>,
    pub(crate) session: Option<VisitorId>,
    /// What the visit is about, as the caller knows it; the latest last.
    pub(crate) items: Vec<String>,
}
