//! What several tests share: a file system that fails on demand, and small documents.

pub(crate) mod clock;
pub(crate) mod model;
#[cfg(any(feature = "native", feature = "onnx-dynamic"))]
pub(crate) mod models;
pub(crate) mod mutants;
pub(crate) mod report;
pub(crate) mod simulated;
