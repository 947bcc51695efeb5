//! A transformer with real weights, on real code and text in many scripts.
//!
//! `tests/models/export_minilm.py` makes the models and the golden vectors; `SPARSELY_MINILM` names
//! the directory it wrote. Without it these tests say that they were skipped.

use std::{fs, path::PathBuf};

use serde::Deserialize;
#[cfg(feature = "native")]
use sparsely::encode::native::{NativeEncoder, NativeOptions};
#[cfg(feature = "onnx-dynamic")]
use sparsely::encode::onnx::{OnnxEncoder, OnnxOptions};
use sparsely::{Encoder, TermId};

use crate::support::models::difference;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    vectors: Vec<Vec<(u32, f32)>>,
}

fn exported() -> Option<(PathBuf, Golden)> {
    let Some(directory) = std::env::var_os("SPARSELY_MINILM").map(PathBuf::from) else {
        println!("skipped: SPARSELY_MINILM does not name a directory of export_minilm.py");
        return None;
    };
    let golden = fs::read(directory.join("golden.json")).unwrap();
    Some((directory, serde_json::from_slice(&golden).unwrap()))
}

fn check(encoder: &dyn Encoder, golden: &Golden, batch: usize) -> f32 {
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    let mut worst = 0.0_f32;
    for (texts, golden) in texts.chunks(batch).zip(golden.vectors.chunks(batch)) {
        let vectors = encoder.encode_documents(texts).unwrap();
        for (golden, vector) in golden.iter().zip(&vectors) {
            worst = worst.max(difference(golden, vector));
        }
    }
    worst
}

#[cfg(feature = "onnx-dynamic")]
#[test]
fn minilm_agrees_within_a_ten_thousandth() {
    let Some((directory, golden)) = exported() else {
        return;
    };
    for (model, batch, tokens) in [
        ("splade", 1, 512),
        ("splade", 32, 4096),
        ("split", 32, 4096),
        ("pooled", 32, 512),
        ("left", 32, 4096),
    ] {
        let options = OnnxOptions::new().batch_tokens(tokens);
        let encoder = options.open(directory.join(model)).unwrap();
        let worst = check(&encoder, &golden, batch);
        println!("{model}, batches of {batch}: {worst:.1e}");
        assert!(worst < 1e-4, "{model}: {worst}");
        let tally = encoder.tally();
        assert!(tally.tokens > 128 * 20, "its tokenizer's own limit is off");
        assert_eq!(encoder.term(TermId::from(101)).as_deref(), Some("[CLS]"));
    }
}

/// From its weights, without a runtime: the same golden vectors.
#[cfg(feature = "native")]
#[test]
fn minilm_agrees_without_a_graph() {
    let Some((directory, golden)) = exported() else {
        return;
    };
    for (batch, threads) in [(1, 1), (32, 1), (32, 2)] {
        let options = NativeOptions::new().threads(threads);
        let encoder: NativeEncoder = options.open(directory.join("native")).unwrap();
        let worst = check(&encoder, &golden, batch);
        println!("native, batches of {batch}, {threads} threads: {worst:.1e}");
        assert!(worst < 1e-4, "{worst}");
        let tally = encoder.tally();
        assert!(tally.tokens > 128 * 20, "its tokenizer's own limit is off");
        assert_eq!(encoder.term(TermId::from(101)).as_deref(), Some("[CLS]"));
    }
}

#[cfg(feature = "onnx-dynamic")]
#[test]
fn minilm_in_eight_bits_does_not_depend_on_its_batch() {
    let Some((directory, golden)) = exported() else {
        return;
    };
    let encoder = OnnxEncoder::open(directory.join("int8")).unwrap();
    assert!(encoder.runs_alone());
    let texts: Vec<&str> = golden.texts[..8].iter().map(String::as_str).collect();
    let together = encoder.encode_documents(&texts).unwrap();
    for (text, vector) in texts.iter().zip(&together) {
        assert_eq!(encoder.encode_document(text).unwrap(), *vector);
    }
}
