//! The index against its rules in their plainest form.

mod answers;
mod laws;
mod reference;
mod shapes;
