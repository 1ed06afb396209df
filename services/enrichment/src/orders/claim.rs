//! Pieces of one product that came back, and what they are worth.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use tidemill_domain::Amount;

use super::line::{OrderLine, part_of, unit_price};

/// Pieces that came back, of which the same is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// Where a line of the order has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sku: Option<String>,
    pub(super) basis: ClaimBasis,
    pub(super) is_refund: bool,
    pub(super) pieces: Amount,
    /// What is told of them all.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) told: Amount,
}

/// What decides what a piece gives back, and what is told of one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClaimBasis {
    /// What it was sold for.
    Sold,
    /// A price: no more than it was sold for.
    Price(Amount),
    /// An amount, which counts by itself: the pieces are gone all the same.
    Amount(Amount),
}

/// What claims come to, those of amounts left out.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Worth {
    /// By what pieces were sold for.
    pub(super) sold: Amount,
    pub(super) priced: Amount,
    /// What prices ask for pieces that are not there.
    pub(super) beyond: Amount,
}

/// Pieces of a line that no claim has.
struct OpenPieces<'l> {
    line: &'l OrderLine,
    /// Of one, without and with its discounts.
    list: Amount,
    paid: Amount,
    taken: Amount,
}

struct OpenClaim<'c> {
    claim: &'c Claim,
    taken: Amount,
}

/// Which pieces a claim takes first.
const ROUNDS: [fn(&Claim, &OpenPieces<'_>) -> bool; 4] = [
    |claim, pieces| claim.is_of_sku(pieces) && claim.is_of_price(pieces),
    |claim, pieces| claim.is_of_sku(pieces),
    |claim, pieces| claim.may_be_of(pieces) && claim.is_of_price(pieces),
    Claim::may_be_of,
];

impl Claim {
    /// By this they stand in one order, however they came: those without a price
    /// first, then the dearest.
    pub(super) fn rank(&self) -> (bool, Reverse<Amount>, ClaimBasis, Option<&str>, bool) {
        let price = match self.basis {
            ClaimBasis::Sold => None,
            ClaimBasis::Price(price) | ClaimBasis::Amount(price) => Some(price),
        };
        (price.is_some(), Reverse(price.unwrap_or_default()), self.basis, self.sku.as_deref(), self.is_refund)
    }

    fn is_of_sku(&self, pieces: &OpenPieces<'_>) -> bool {
        self.sku.is_some() && self.sku == pieces.line.sku
    }

    /// One of another sku is never of them.
    fn may_be_of(&self, pieces: &OpenPieces<'_>) -> bool {
        self.sku.is_none() || pieces.line.sku.is_none()
    }

    fn is_of_price(&self, pieces: &OpenPieces<'_>) -> bool {
        self.basis == ClaimBasis::Price(pieces.list)
    }
}

impl Worth {
    /// What claims, in their order, give back of lines of one product: each piece is
    /// taken once, of several the dearest first.
    pub(super) fn of<'c>(claims: impl IntoIterator<Item = &'c Claim>, lines: &[&OrderLine]) -> Self {
        let sold = lines.iter().copied().filter(|line| !line.pieces().is_zero());
        let mut pieces: Vec<_> = sold.map(OpenPieces::new).collect();
        pieces.sort_by_key(|pieces| Reverse(pieces.paid));
        let mut claims: Vec<_> = claims.into_iter().map(OpenClaim::new).collect();
        let mut worth = Self::default();
        for fits in ROUNDS {
            for claim in &mut claims {
                for pieces in pieces.iter_mut().filter(|pieces| fits(claim.claim, pieces)) {
                    claim.take(pieces, &mut worth);
                }
            }
        }
        worth.beyond = claims.iter().map(OpenClaim::asked).sum();
        worth
    }

    pub(super) fn all(self) -> Amount {
        self.sold + self.priced
    }
}

impl<'l> OpenPieces<'l> {
    fn new(line: &'l OrderLine) -> Self {
        let (list, paid) = (unit_price(line.gross, line.quantity), unit_price(line.revenue, line.quantity));
        Self { line, list, paid, taken: Amount::ZERO }
    }
}

impl<'c> OpenClaim<'c> {
    fn new(claim: &'c Claim) -> Self {
        Self { claim, taken: Amount::ZERO }
    }

    fn take(&mut self, pieces: &mut OpenPieces<'_>, worth: &mut Worth) {
        let count = (self.claim.pieces - self.taken).min(pieces.line.pieces() - pieces.taken);
        if count.is_zero() {
            return;
        }
        let sold = pieces.line.price_of(pieces.taken, count);
        match self.claim.basis {
            ClaimBasis::Sold => worth.sold += sold,
            ClaimBasis::Price(_) => worth.priced += self.told(count).min(sold),
            ClaimBasis::Amount(_) => {}
        }
        self.taken += count;
        pieces.taken += count;
    }

    /// What is told of so many of those that are not taken.
    fn told(&self, count: Amount) -> Amount {
        part_of(self.claim.told, self.claim.pieces, self.taken, count)
    }

    /// What its price asks for those that are not taken.
    fn asked(&self) -> Amount {
        match self.claim.basis {
            ClaimBasis::Price(_) => self.told(self.claim.pieces - self.taken),
            ClaimBasis::Sold | ClaimBasis::Amount(_) => Amount::ZERO,
        }
    }
}
