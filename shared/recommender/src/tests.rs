//! The index against its rules in their plainest form.

mod laws;
mod reference;
mod shapes;
