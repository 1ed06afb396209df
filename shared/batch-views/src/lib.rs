//! Batch plans: what the stream counts, computed from the lake's tables.
