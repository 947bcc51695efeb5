//! One binary for all integration tests, by journey and by hazard.

mod accounts;
mod code_search;
mod collections;
mod concurrency;
mod corrupt;
mod crash;
mod differential;
mod floats;
mod floors;
#[path = "../../benches/generate/mod.rs"]
mod generate;
mod golden;
mod hazards;
mod interchange;
mod journeys;
mod lines;
mod measures;
mod memory;
mod merging;
#[cfg(any(feature = "native", feature = "onnx-dynamic"))]
mod minilm;
mod named;
#[cfg(feature = "native")]
mod native;
#[cfg(feature = "onnx-dynamic")]
mod onnx;
#[cfg(feature = "onnx-dynamic")]
mod onnx_bad_input;
mod os_cache;
mod partition;
mod passages;
#[cfg(sparsely_planted)]
mod planted;
mod quality;
mod refusals;
mod repairs;
#[cfg(feature = "sae")]
mod sae;
#[cfg(feature = "sae")]
mod sae_bad_input;
#[cfg(all(feature = "sae", feature = "onnx-dynamic"))]
mod sae_models;
#[cfg(feature = "sae")]
mod sae_training;
mod static_encoder;
mod support;
mod two_step;
mod words;
