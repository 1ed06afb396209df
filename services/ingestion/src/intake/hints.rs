//! What a sender is told of events that were accepted.

use std::collections::BTreeSet;

use tidemill_service::FieldError;

use super::schema::{EventData, Schemas};
use crate::error::clip;

/// Hints in one answer; beyond them nothing is looked for.
const MAX_HINTS: usize = 20;

/// A member that is not understood, or not read, of the first event that has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hint {
    /// The event's place in the request, from 0.
    pub(crate) index: usize,
    pub(crate) field: FieldError,
}

/// The hints of one request: each member of a type once.
#[derive(Debug, Default)]
pub(crate) struct Hints {
    is_wanted: bool,
    told: BTreeSet<(String, String)>,
    listed: Vec<Hint>,
}

impl Hints {
    /// For a request whose sender writes the events as their schemas have them. One
    /// that translates them from elsewhere sends much that no schema knows.
    pub(crate) fn wanted(is_wanted: bool) -> Self {
        Self { is_wanted, ..Self::default() }
    }

    pub(crate) fn listed(&self) -> &[Hint] {
        &self.listed
    }

    /// Looks for members of an event that its schema does not know, or that hold what
    /// cannot be read.
    pub(crate) fn look<'d>(&mut self, index: usize, kind: &str, data: Option<impl EventData<'d>>, schemas: &Schemas) {
        if !self.is_wanted || self.listed.len() >= MAX_HINTS {
            return;
        }
        schemas.remark(kind, data, &mut |pointer, remark| {
            if self.told.insert((kind.to_owned(), pattern(pointer))) {
                let field = FieldError { pointer: clip(&format!("/data{pointer}")), detail: remark.detail(kind) };
                self.listed.push(Hint { index, field });
            }
            self.listed.len() < MAX_HINTS
        });
    }
}

/// A pointer without the places in lists.
fn pattern(pointer: &str) -> String {
    let is_place = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = pointer.split('/').map(|part| if is_place(part) { "*" } else { part });
    clip(&parts.collect::<Vec<_>>().join("/"))
}
