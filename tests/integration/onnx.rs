//! Encoders of model directories against golden vectors from PyTorch and sentence-transformers.
//!
//! The models are the tiny ones in `tests/models`, made by the script there. Without ONNX Runtime
//! the tests say that they were skipped; with `ORT_DYLIB_PATH` set they may not be.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use sparsely::{
    Encoder, SparseVector, TermId,
    encode::{
        Activation, Combine, InferenceFreeEncoder, Pooling, Pruning,
        onnx::{Device, LongTexts, OnnxEncoder, OnnxOptions},
    },
};

use crate::support::models::{copy, edit, models};

/// The error that golden vectors may be off by: they were computed one text at a time by another
/// library.
const NEAR: f32 = 1e-4;

#[derive(Deserialize)]
pub(crate) struct Golden {
    pub(crate) texts: Vec<String>,
    terms: u32,
    tokens: u32,
    #[serde(flatten)]
    vectors: BTreeMap<String, Vec<Vec<(u32, f32)>>>,
}

pub(crate) fn golden() -> Golden {
    let bytes = fs::read(models().join("golden.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

impl Golden {
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    fn check(&self, name: &str, vectors: &[SparseVector]) {
        let golden = &self.vectors[name];
        assert_eq!(golden.len(), vectors.len());
        for ((golden, vector), text) in golden.iter().zip(vectors).zip(&self.texts) {
            near(&format!("{name}: {text:?}"), golden, vector);
        }
    }
}

/// A term may be in one of the two only if its weight is next to nothing.
pub(crate) fn near(what: &str, golden: &[(u32, f32)], vector: &SparseVector) {
    let golden: BTreeMap<u32, f32> = golden.iter().copied().collect();
    for (term, weight) in vector.iter() {
        let expected = golden.get(&term.get()).copied().unwrap_or(0.0);
        assert!(
            (weight - expected).abs() < NEAR,
            "{what}: term {term} has {weight}, expected {expected}"
        );
    }
    for (term, expected) in golden {
        let weight = vector.weight(TermId::from(term)).unwrap_or(0.0);
        assert!(
            (weight - expected).abs() < NEAR,
            "{what}: term {term} has {weight}, expected {expected}"
        );
    }
}

/// Opens a model, or says that there is no runtime to open it with.
pub(crate) fn open(directory: &Path, options: OnnxOptions) -> Option<OnnxEncoder> {
    match options.open(directory) {
        Ok(encoder) => Some(encoder),
        Err(error)
            if error.to_string().contains("ONNX Runtime's shared library")
                && std::env::var_os("ORT_DYLIB_PATH").is_none() =>
        {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{}: {error}", directory.display()),
    }
}

pub(crate) fn tiny(name: &str) -> Option<OnnxEncoder> {
    open(&models().join(name), OnnxOptions::new())
}

/// The router with the graph of the other model put where its exporter would put it.
pub(crate) fn router() -> tempfile::TempDir {
    let directory = copy("router");
    let folder = directory.path().join("document_0_MLMTransformer/onnx");
    fs::create_dir_all(&folder).unwrap();
    let graph = models().join("splade/onnx/model.onnx");
    fs::copy(graph, folder.join("model.onnx")).unwrap();
    directory
}

#[test]
fn a_sentence_transformers_model_gives_its_vectors() {
    let golden = golden();
    let Some(encoder) = tiny("splade") else {
        return;
    };
    let documents = encoder.encode_documents(&golden.texts()).unwrap();
    golden.check("splade", &documents);
    let queries = encoder.encode_queries(&golden.texts()).unwrap();
    golden.check("splade queries", &queries);
    assert_eq!(encoder.term_count(), golden.terms);
    assert_eq!(encoder.padding_terms(), golden.terms - golden.tokens);
    assert_eq!(encoder.device(), Device::Cpu);
    let text = "open the lock file";
    for id in encoder.own_terms(text).unwrap().unwrap() {
        let token = encoder.term(id).unwrap();
        assert!(text.contains(token.trim_start_matches("##")), "{token}");
    }
    assert_eq!(encoder.term(TermId::from(golden.terms)), None);
}

#[test]
fn batches_threads_and_sessions_change_nothing() {
    let golden = golden();
    let many: Vec<&str> = golden.texts().repeat(7);
    let settings = [
        OnnxOptions::new().batch_tokens(1),
        OnnxOptions::new().batch_tokens(10_000),
        OnnxOptions::new().threads(2),
        OnnxOptions::new().sessions(3).batch_tokens(32),
    ];
    for options in settings {
        let Some(encoder) = open(&models().join("splade"), options) else {
            return;
        };
        let vectors = encoder.encode_documents(&many).unwrap();
        for vectors in vectors.chunks(golden.texts.len()) {
            golden.check("splade", vectors);
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let vectors = encoder.encode_documents(&golden.texts()).unwrap();
                    golden.check("splade", &vectors);
                });
            }
        });
        assert_eq!(encoder.tally().texts, 11 * 11);
        assert_eq!(encoder.tally().truncated, 0);
    }
}

#[test]
fn every_kind_of_output_is_understood() {
    let golden = golden();
    for (model, vectors) in [
        ("narrow", "splade"),
        ("pooled", "splade"),
        ("hidden", "splade"),
        ("pairs", "pairs"),
        ("token_pairs", "token_pairs"),
        ("token_weights", "token_weights"),
        ("decoder", "decoder"),
    ] {
        let options = if model.contains("pairs") {
            OnnxOptions::new().terms(golden.terms)
        } else {
            OnnxOptions::new()
        };
        let Some(encoder) = open(&models().join(model), options) else {
            return;
        };
        let documents = encoder.encode_documents(&golden.texts()).unwrap();
        golden.check(vectors, &documents);
        for text in golden.texts() {
            encoder.encode_query(text).unwrap();
        }
    }
}

#[test]
fn a_graph_of_one_shape_is_filled_up() {
    let golden = golden();
    let Some(encoder) = tiny("fixed") else { return };
    let vectors = encoder.encode_documents(&golden.texts()).unwrap();
    let mut compared = 0;
    for (at, text) in golden.texts.iter().enumerate() {
        let before = encoder.tally().truncated;
        encoder.encode_document(text).unwrap();
        if encoder.tally().truncated == before {
            near(text, &golden.vectors["splade"][at], &vectors[at]);
            compared += 1;
        }
    }
    assert!(compared >= 4, "{compared} texts fit 16 tokens");
}

#[test]
fn filling_on_either_side_gives_the_same_vectors() {
    let golden = golden();
    for (from, to) in [("\"left\"", "\"right\""), ("\"left\"", "\"left\"")] {
        let directory = copy("decoder");
        edit(&directory.path().join("tokenizer_config.json"), from, to);
        let Some(encoder) = open(directory.path(), OnnxOptions::new().batch_tokens(4096)) else {
            return;
        };
        let vectors = encoder.encode_documents(&golden.texts()).unwrap();
        golden.check("decoder", &vectors);
    }
}

#[test]
fn pooling_follows_the_directory_and_then_the_caller() {
    let golden = golden();
    let directory = copy("splade");
    let config = directory.path().join("1_SpladePooling/config.json");
    edit(&config, "\"max\"", "\"sum\"");
    let Some(encoder) = open(directory.path(), OnnxOptions::new()) else {
        return;
    };
    let vectors = encoder.encode_documents(&golden.texts()).unwrap();
    golden.check("splade sum", &vectors);
    let sum = Pooling {
        combine: Combine::Sum,
        ..Pooling::SPLADE
    };
    let encoder = open(&models().join("hidden"), OnnxOptions::new().pooling(sum)).unwrap();
    let vectors = encoder.encode_documents(&golden.texts()).unwrap();
    golden.check("splade sum", &vectors);
    let twice = Pooling {
        activation: Activation::Log1pTwice,
        ..Pooling::SPLADE
    };
    let encoder = open(&models().join("narrow"), OnnxOptions::new().pooling(twice)).unwrap();
    let vectors = encoder.encode_documents(&golden.texts()).unwrap();
    golden.check("router", &vectors);
}

#[test]
fn a_router_needs_no_graph_for_queries() {
    let golden = golden();
    let directory = router();
    let alone = InferenceFreeEncoder::open(directory.path()).unwrap();
    let queries = alone.encode_queries(&golden.texts()).unwrap();
    golden.check("router queries", &queries);
    assert!(alone.encode_documents(&["a"]).is_err());

    // The names that older versions wrote.
    let config = directory.path().join("router_config.json");
    edit(
        &config,
        "modules.sparse_static_embedding.SparseStaticEmbedding",
        "models.IDF",
    );
    let pooling = directory
        .path()
        .join("document_1_SpladePooling/config.json");
    edit(&pooling, "embedding_dimension", "word_embedding_dimension");
    for directory in [router(), directory] {
        let Some(encoder) = open(directory.path(), OnnxOptions::new()) else {
            return;
        };
        assert!(encoder.has_query_table());
        let documents = encoder.encode_documents(&golden.texts()).unwrap();
        golden.check("router", &documents);
        let queries = encoder.encode_queries(&golden.texts()).unwrap();
        golden.check("router queries", &queries);
        let alone = InferenceFreeEncoder::open(directory.path())
            .unwrap()
            .answering_for(encoder.fingerprint());
        assert_eq!(alone.fingerprint(), encoder.fingerprint());
    }
}

/// The same graph twice, pooled otherwise for queries.
#[test]
fn queries_and_documents_may_have_a_graph_each() {
    let golden = golden();
    let directory = router();
    let config = directory.path().join("router_config.json");
    edit(
        &config,
        "\"types\": {",
        "\"types\": {\"splade\": \"SpladePooling\",",
    );
    let query = "\"query\": [\n            \"query_0_SparseStaticEmbedding\"";
    edit(
        &config,
        query,
        "\"query\": [\"document_0_MLMTransformer\", \"splade\"",
    );
    let folder = directory.path().join("splade");
    fs::create_dir(&folder).unwrap();
    let pooling = models().join("splade/1_SpladePooling/config.json");
    fs::copy(pooling, folder.join("config.json")).unwrap();
    let Some(encoder) = open(directory.path(), OnnxOptions::new()) else {
        return;
    };
    let documents = encoder.encode_documents(&golden.texts()).unwrap();
    golden.check("router", &documents);
    let queries = encoder.encode_queries(&golden.texts()).unwrap();
    golden.check("splade", &queries);
    assert_eq!(encoder.tally().texts, 22);
}

#[test]
fn a_table_of_json_weights_is_the_same_table() {
    let golden = golden();
    let encoder = InferenceFreeEncoder::open(models().join("narrow")).unwrap();
    let queries = encoder.encode_queries(&golden.texts()).unwrap();
    golden.check("router queries", &queries);
    let top = encoder.query_top(2).encode_query(&golden.texts[0]).unwrap();
    assert_eq!(top, queries[0].keep(2));
}

#[test]
fn pruning_keeps_the_heaviest_of_either_side() {
    let options = OnnxOptions::new().pruning(Pruning::TOP_10_100);
    let Some(encoder) = open(&models().join("splade"), options) else {
        return;
    };
    let full = tiny("splade").unwrap();
    let text = "open the lock file again and again";
    let query = encoder.encode_query(text).unwrap();
    assert_eq!(query, full.encode_query(text).unwrap().keep(10));
    let document = encoder.encode_document(text).unwrap();
    assert_eq!(document, full.encode_document(text).unwrap().keep(100));
    let options = OnnxOptions::new().pruning(Pruning::NONE.threshold(0.5));
    let encoder = open(&models().join("splade"), options).unwrap();
    let document = encoder.encode_document(text).unwrap();
    assert!(document.weights().iter().all(|weight| *weight > 0.5));
    assert!(!document.is_empty());
}

#[test]
fn fingerprints_tell_what_changes_documents() {
    let Some(encoder) = tiny("splade") else {
        return;
    };
    let print = |options: OnnxOptions| {
        let encoder = options.open(models().join("splade")).unwrap();
        encoder.fingerprint()
    };
    let own = encoder.fingerprint();
    let same = [
        OnnxOptions::new().threads(2).sessions(2).batch_tokens(9),
        OnnxOptions::new().query_prompt("ask: ").query_length(16),
        OnnxOptions::new().pruning(Pruning::NONE.query_top(4)),
    ];
    for options in same {
        assert_eq!(print(options), own);
    }
    let different = [
        OnnxOptions::new().document_prompt("text: "),
        OnnxOptions::new().document_length(16),
        OnnxOptions::new().pruning(Pruning::NONE.document_top(4)),
        OnnxOptions::new().long_texts(LongTexts::Windows { overlap: 2 }),
        OnnxOptions::new().pooling(Pooling {
            combine: Combine::Sum,
            ..Pooling::SPLADE
        }),
    ];
    for options in different {
        assert_ne!(print(options), own);
    }
    let directory = copy("splade");
    edit(
        &directory.path().join("tokenizer.json"),
        "\"##a\"",
        "\"##Z\"",
    );
    let other = open(directory.path(), OnnxOptions::new()).unwrap();
    assert_ne!(other.fingerprint(), own);
}

#[test]
fn long_texts_are_cut_off_or_come_in_windows() {
    let golden = golden();
    let long = golden.texts()[..3].repeat(40).join(" ");
    let Some(encoder) = tiny("splade") else {
        return;
    };
    encoder.encode_document(&long).unwrap();
    let tally = encoder.tally();
    assert_eq!((tally.texts, tally.truncated, tally.tokens), (1, 1, 48));
    assert!(tally.lost_tokens > 400, "{tally:?}");

    let passages = encoder.encode_passages(&long, 8).unwrap();
    assert!(passages.len() > 10);
    assert_eq!(passages[0].0.start, 0);
    assert_eq!(passages.last().unwrap().0.end, long.len());
    for pair in passages.windows(2) {
        assert!(pair[1].0.start < pair[0].0.end, "passages overlap");
        assert!(long.is_char_boundary(pair[1].0.start));
    }
    let options = OnnxOptions::new().long_texts(LongTexts::Windows { overlap: 8 });
    let windows = open(&models().join("splade"), options).unwrap();
    let whole = windows.encode_document(&long).unwrap();
    assert_eq!(windows.tally().truncated, 0);
    for (term, weight) in whole.iter() {
        let weights = passages.iter().filter_map(|passage| passage.1.weight(term));
        assert_eq!(weights.fold(0.0, f32::max), weight);
    }
    // A short text is one window, as before.
    let short = windows.encode_documents(&golden.texts()).unwrap();
    golden.check("splade", &short);
}

#[test]
fn quantized_activations_do_not_leak_between_texts() {
    let golden = golden();
    let Some(encoder) = tiny("int8") else { return };
    assert!(encoder.runs_alone());
    let together = encoder.encode_documents(&golden.texts()).unwrap();
    for (text, vector) in golden.texts().iter().zip(&together) {
        assert_eq!(encoder.encode_document(text).unwrap(), *vector);
    }
    assert!(!tiny("splade").unwrap().runs_alone());
}

#[test]
fn a_stream_keeps_order_and_stops_when_told() {
    use std::ops::ControlFlow;
    let golden = golden();
    let Some(encoder) = tiny("splade") else {
        return;
    };
    let count = 2500;
    let texts = || (0..count).map(|at| Ok((at, golden.texts[at % golden.texts.len()].clone())));
    let mut seen = Vec::new();
    let mut steps = 0;
    let mut report = |_| {
        steps += 1;
        ControlFlow::Continue(())
    };
    let mut progress = sparsely::Progress::new(&mut report);
    let done = encoder
        .encode_stream(texts(), &mut progress, |at, vector| {
            seen.push(at);
            let golden = &golden.vectors["splade"][at % golden.texts.len()];
            near("stream", golden, &vector);
            Ok(())
        })
        .unwrap();
    assert_eq!(done, 2500);
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
    assert!(steps >= 3);

    let mut report = |_| ControlFlow::Break(());
    let mut progress = sparsely::Progress::new(&mut report);
    let mut given = 0;
    let error = encoder
        .encode_stream(texts(), &mut progress, |_, _| {
            given += 1;
            Ok(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), sparsely::ErrorKind::Cancelled);
    assert_eq!(given, 1024);
}

#[test]
fn any_directory_opens_behind_the_trait() {
    let golden = golden();
    if tiny("splade").is_none() {
        return;
    }
    let encoder = sparsely::encode::open(models().join("splade")).unwrap();
    let vectors = encoder.encode_documents(&golden.texts()).unwrap();
    golden.check("splade", &vectors);
}
