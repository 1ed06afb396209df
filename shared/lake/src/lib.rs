//! The tables of the lake: where they are, what their columns are, and how a commit goes to them once.
