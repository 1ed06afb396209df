//! What came back of one product of an order.

use serde::{Deserialize, Serialize};
use tidemill_domain::Amount;

use super::{
    LineStatement,
    claim::{Claim, ClaimBasis, Worth},
    line::{OrderLine, unit_price},
};

/// Prices of one product that are remembered at most.
const MAX_CLAIMS: usize = 32;

/// What came back of one product, by all statements so far. What it gives back is
/// worked out from these, so that it does not depend on which came first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ProductReturns {
    pub(super) product: String,
    /// In their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    claims: Vec<Claim>,
    /// An item said neither how many nor how much.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_all: bool,
    /// What items give back by amounts of their own.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    amounts: Amount,
    /// What it came to.
    #[serde(flatten)]
    sum: ProductSum,
}

/// What came back of a product, in money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct ProductSum {
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) given: Amount,
    /// What is asked beyond what its pieces were sold for.
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) beyond: Amount,
}

impl ProductReturns {
    pub(super) fn new(product: &str) -> Self {
        Self { product: product.into(), ..Self::default() }
    }

    pub(super) const fn claims(&self) -> usize {
        self.claims.len()
    }

    /// Adds an item that comes back, for this amount where one is known. Whether it
    /// is one price too many: then it counts as an amount, and its pieces do not.
    pub(super) fn add(
        &mut self,
        item: &LineStatement,
        amount: Option<Amount>,
        kind: ItemKind,
        lines: &[&OrderLine],
        decimals: u32,
    ) -> bool {
        self.amounts += amount.unwrap_or_default();
        let Some(claim) = claim(item, amount, kind.is_refund, lines) else {
            self.is_all |= amount.is_none() && item.quantity.is_none();
            return false;
        };
        match self.claims.binary_search_by(|known| known.rank().cmp(&claim.rank())) {
            Ok(place) => {
                let known = &mut self.claims[place];
                known.pieces += claim.pieces;
                known.told += claim.told;
            }
            Err(_) if kind.is_full || self.claims.len() >= MAX_CLAIMS => {
                if amount.is_none() {
                    self.amounts += rounded(Worth::of([&claim], lines).all(), decimals_of(lines, decimals));
                }
                return true;
            }
            Err(place) => self.claims.insert(place, claim),
        }
        false
    }

    /// What all of it comes to now, less what it came to before.
    pub(super) fn settle(&mut self, lines: &[&OrderLine], decimals: u32) -> ProductSum {
        let revenue: Amount = lines.iter().map(|line| line.price_of(Amount::ZERO, line.pieces())).sum();
        let told = self.claims.iter().map(|claim| claim.told.decimals());
        let decimals = told.fold(decimals_of(lines, decimals), u32::max);
        let worth = Worth::of(&self.claims, lines);
        let sum = self.amounts + rounded(worth.all(), decimals);
        let given = if self.is_all { revenue } else { sum.min(revenue) };
        let beyond = rounded(self.beyond(worth.priced, revenue, lines), decimals);
        let before = self.sum;
        // Never less: what an event gave back it has given back.
        let given = given.max(self.amounts).max(before.given);
        self.sum = ProductSum { given, beyond: beyond.max(before.beyond) };
        ProductSum { given: given - before.given, beyond: self.sum.beyond - before.beyond }
    }

    /// What is asked and not given. Amounts count in full: what they alone come to
    /// beyond the lines, the order knows. The money for what was cancelled goes back:
    /// that is nothing beyond.
    fn beyond(&self, priced: Amount, revenue: Amount, lines: &[&OrderLine]) -> Amount {
        let refunds = || self.claims.iter().filter(|claim| claim.is_refund);
        let worth = Worth::of(refunds(), lines);
        let pieces: Amount = lines.iter().map(|line| line.pieces()).sum();
        let is_twice = refunds().map(|claim| claim.pieces).sum::<Amount>() > pieces;
        let asked = if is_twice { worth.all().max(priced) } else { priced };
        (self.amounts + asked - self.amounts.max(revenue)).max(Amount::ZERO) + worth.beyond
    }
}

/// How an item comes back.
#[derive(Debug, Clone, Copy)]
pub(super) struct ItemKind {
    pub(super) is_refund: bool,
    /// The order has no place for a further price.
    pub(super) is_full: bool,
}

/// What an item gives back where nothing else of its product came back.
pub(super) fn worth_alone(item: &LineStatement, lines: &[&OrderLine], decimals: u32) -> Amount {
    let all = || lines.iter().map(|line| line.revenue).sum();
    item.amount.unwrap_or_else(|| {
        let claim = claim(item, None, true, lines);
        if item.quantity.is_none() && claim.is_none() {
            return all();
        }
        rounded(Worth::of(&claim, lines).all(), decimals_of(lines, decimals))
    })
}

/// The pieces that an item tells of. One that has a sku alone tells of all of that.
fn claim(item: &LineStatement, amount: Option<Amount>, is_refund: bool, lines: &[&OrderLine]) -> Option<Claim> {
    let has_sku = |sku: &&String| lines.iter().any(|line| line.sku.as_ref() == Some(sku));
    let sku = item.sku.as_ref().filter(has_sku);
    let of_sku = || {
        let lines = lines.iter().filter(|line| line.sku.as_ref() == sku);
        lines.map(|line| line.quantity).sum::<Amount>()
    };
    let alone = sku.filter(|_| amount.is_none()).map(|_| of_sku());
    let pieces = item.quantity.or(alone).filter(|pieces| !pieces.is_zero())?;
    // What is cancelled was not paid, whatever its price.
    let price = item.told().filter(|_| is_refund);
    let (basis, told) = match (amount, price) {
        (Some(amount), _) => (ClaimBasis::Amount(unit_price(amount, pieces)), amount),
        (None, Some(price)) => (ClaimBasis::Price(unit_price(price, pieces)), price),
        (None, None) => (ClaimBasis::Sold, Amount::ZERO),
    };
    Some(Claim { sku: sku.cloned(), basis, is_refund, pieces, told })
}

fn decimals_of(lines: &[&OrderLine], decimals: u32) -> u32 {
    lines.iter().map(|line| line.revenue.decimals()).fold(decimals, u32::max)
}

fn rounded(amount: Amount, decimals: u32) -> Amount {
    amount.share(Amount::from_int(1), Amount::from_int(1), decimals)
}
