//! What is left of an order.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tidemill_domain::Amount;

use super::{
    LineStatement,
    line::OrderLine,
    product::{ItemKind, ProductReturns, ProductSum},
};

/// Prices of all products of an order that are remembered at most.
const MAX_CLAIMS: usize = 1_000;

/// What is neither given back nor cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OrderRemains {
    pub(super) lines: Vec<OrderLine>,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) shipping: Amount,
    #[serde(default, skip_serializing_if = "Amount::is_zero")]
    pub(super) tax: Amount,
    /// By product: what came back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) returns: Vec<ProductReturns>,
}

impl OrderRemains {
    /// The lines of a product.
    pub(super) fn lines_of(&self, product: &str) -> Vec<&OrderLine> {
        self.lines.iter().filter(|line| line.product.as_deref() == Some(product)).collect()
    }

    /// Adds an item that comes back of a product that it has. Whether there was no
    /// place to remember its pieces.
    pub(super) fn add(
        &mut self,
        product: &str,
        item: &LineStatement,
        amount: Option<Amount>,
        is_refund: bool,
        decimals: u32,
    ) -> bool {
        let is_full = self.returns.iter().map(ProductReturns::claims).sum::<usize>() >= MAX_CLAIMS;
        let place = self.returns.iter().position(|returns| returns.product == product);
        let mut returns =
            place.map_or_else(|| ProductReturns::new(product), |place| std::mem::take(&mut self.returns[place]));
        let kind = ItemKind { is_refund, is_full };
        let is_unfollowed = returns.add(item, amount, kind, &self.lines_of(product), decimals);
        match place {
            Some(place) => self.returns[place] = returns,
            None => self.returns.push(returns),
        }
        is_unfollowed
    }

    /// What each of these products comes to, less what it came to before: by line what
    /// there is money for, and what there is none for.
    pub(super) fn settle(&mut self, products: &BTreeSet<&str>, decimals: u32) -> (Vec<Amount>, ProductSum) {
        let mut by_line = vec![Amount::ZERO; self.lines.len()];
        let mut rest = ProductSum::default();
        let mut returns = std::mem::take(&mut self.returns);
        for returns in returns.iter_mut().filter(|returns| products.contains(&*returns.product)) {
            let ProductSum { mut given, beyond } = returns.settle(&self.lines_of(&returns.product), decimals);
            let lines = self.lines.iter().zip(&mut by_line);
            for (line, taken) in lines.filter(|(line, _)| line.product.as_ref() == Some(&returns.product)) {
                *taken = given.min(line.left);
                given -= *taken;
            }
            rest.given += given;
            rest.beyond += beyond;
        }
        self.returns = returns;
        (by_line, rest)
    }
}
