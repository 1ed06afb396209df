//! A schema as a plan: the checks that it asks for, made on the tree of an event
//! without a value of its own.
//!
//! A plan knows the keywords of the built-in schemas, and those that are as simple.
//! A schema with any other has none. What a plan does not find valid goes to the
//! validator of `jsonschema`, which alone says what is wrong. So all that matters is
//! that nothing is valid here and not there.

mod check;
mod compile;
mod literal;

pub(super) use self::check::SchemaPlan;

#[cfg(test)]
mod tests;
