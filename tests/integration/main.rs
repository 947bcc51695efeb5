//! One binary for all integration tests, by journey and by hazard.

mod code_search;
mod collections;
mod concurrency;
mod corrupt;
mod crash;
mod differential;
mod floors;
#[path = "../../benches/generate/mod.rs"]
mod generate;
mod journeys;
mod measures;
mod memory;
#[cfg(feature = "onnx-dynamic")]
mod onnx;
#[cfg(feature = "onnx-dynamic")]
mod onnx_bad_input;
#[cfg(feature = "onnx-dynamic")]
mod onnx_minilm;
mod quality;
mod static_encoder;
mod support;
mod two_step;
mod words;
