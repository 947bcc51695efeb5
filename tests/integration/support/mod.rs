//! What several tests share: a file system that fails on demand, and small documents.

pub(crate) mod model;
pub(crate) mod simulated;
