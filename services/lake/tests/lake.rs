//! The lake beside a running suite: nothing is lost and nothing is there twice,
//! whatever happens to it.

#[path = "lake/common.rs"]
mod common;
#[path = "lake/once.rs"]
mod once;
#[path = "lake/retail.rs"]
mod retail;
