//! Masked language models run from their weights, against golden vectors from transformers.
//!
//! The models are the tiny ones of `tests/models/make_families.py`, one per family.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use sparsely::{
    Encoder, ErrorKind, Progress, SparseVector, TermId,
    encode::{
        Combine, Pooling, SpecialTokens,
        native::{LongTexts, NativeEncoder, NativeOptions},
    },
};

use crate::support::models::{copy, difference, edit, models};

/// The error that golden vectors may be off by: they were computed by another library.
const NEAR: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    terms: u32,
    vectors: BTreeMap<String, Vec<Vec<(u32, f32)>>>,
    /// Of some texts the first numbers of each token after the first layer.
    #[cfg(feature = "sae")]
    hidden: BTreeMap<String, Vec<Vec<[f32; 4]>>>,
}

impl Golden {
    fn read() -> Golden {
        let bytes = fs::read(models().join("families.json")).unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    fn texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).collect()
    }

    fn check(&self, family: &str, vectors: &[SparseVector]) {
        let golden = &self.vectors[family];
        assert_eq!(golden.len(), vectors.len());
        for ((golden, vector), text) in golden.iter().zip(vectors).zip(&self.texts) {
            let worst = difference(golden, vector);
            assert!(worst < NEAR, "{family}: {text:?} is off by {worst}");
        }
    }
}

#[test]
fn every_family_gives_the_vectors_of_its_reference() {
    let golden = Golden::read();
    assert!(golden.vectors.len() >= 6);
    for family in golden.vectors.keys() {
        let encoder = NativeEncoder::open(models().join(family)).unwrap();
        let documents = encoder.encode_documents(&golden.texts()).unwrap();
        golden.check(family, &documents);
        let queries = encoder.encode_queries(&golden.texts()).unwrap();
        assert_eq!(queries, documents, "{family} has no prompts");
        assert_eq!(encoder.term_count(), golden.terms);
        assert_eq!(encoder.padding_terms(), 9);
        assert_eq!(encoder.term(TermId::from(2)).as_deref(), Some("[CLS]"));
        assert_eq!(encoder.tally().truncated, 0);
    }
}

#[test]
fn company_and_threads_change_nothing() {
    let golden = Golden::read();
    let many: Vec<&str> = golden.texts().repeat(9);
    for threads in [1, 2, 5] {
        let encoder = NativeOptions::new()
            .threads(threads)
            .open(models().join("bert"))
            .unwrap();
        let vectors = encoder.encode_documents(&many).unwrap();
        for vectors in vectors.chunks(golden.texts.len()) {
            golden.check("bert", vectors);
        }
        for (text, vector) in many.iter().zip(&vectors).take(golden.texts.len()) {
            let alone = encoder.encode_document(text).unwrap();
            assert!(difference(&pairs(&alone), vector) < 1e-5, "{text}");
        }
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let vectors = encoder.encode_documents(&golden.texts()).unwrap();
                    golden.check("bert", &vectors);
                });
            }
        });
    }
}

fn pairs(vector: &SparseVector) -> Vec<(u32, f32)> {
    vector
        .iter()
        .map(|(term, weight)| (term.get(), weight))
        .collect()
}

#[test]
fn pooling_lengths_and_windows_are_as_asked() {
    let text = "open the lock file and the dog jumps over the file again and again";
    let open = |options: NativeOptions| options.open(models().join("bert")).unwrap();
    let full = open(NativeOptions::new()).encode_document(text).unwrap();
    let without = open(NativeOptions::new().pooling(Pooling {
        special_tokens: SpecialTokens::Drop,
        ..Pooling::SPLADE
    }));
    let without = without.encode_document(text).unwrap();
    assert!(without.len() < full.len());
    for (term, weight) in without.iter() {
        assert!(full.weight(term).unwrap() >= weight);
    }
    let sum = open(NativeOptions::new().pooling(Pooling {
        combine: Combine::Sum,
        ..Pooling::SPLADE
    }));
    let sum = sum.encode_document(text).unwrap();
    assert_eq!(sum.terms(), full.terms());
    assert!(
        sum.iter()
            .zip(full.iter())
            .any(|(sum, max)| sum.1 > 2.0 * max.1)
    );

    let short = open(NativeOptions::new().document_length(8));
    short.encode_document(text).unwrap();
    assert_eq!(short.tally().truncated, 1);
    let overlap = 4;
    let windows = NativeOptions::new().document_length(12);
    let windows = open(windows.long_texts(LongTexts::Windows { overlap }));
    let whole = windows.encode_document(text).unwrap();
    let passages = windows.encode_passages(text, overlap).unwrap();
    assert!(passages.len() > 1);
    for (term, weight) in whole.iter() {
        let weights = passages.iter().filter_map(|passage| passage.1.weight(term));
        assert_eq!(weights.fold(0.0, f32::max), weight);
    }
    // Whatever a caller asks for, a model has no more positions than these.
    let long = open(NativeOptions::new().document_length(100_000));
    long.encode_document(&text.repeat(20)).unwrap();
    assert_eq!((long.tally().truncated, long.tally().tokens), (1, 48));
}

#[test]
fn a_directory_with_weights_opens_behind_the_trait() {
    let golden = Golden::read();
    let encoder = sparsely::encode::open(models().join("distilbert")).unwrap();
    let vectors = encoder.encode_documents(&golden.texts()).unwrap();
    golden.check("distilbert", &vectors);
    assert_eq!(encoder.fingerprint().name(), "native");
}

/// For autoencoders: the states after a layer, of models with and without a head.
#[cfg(feature = "sae")]
#[test]
fn hidden_states_are_those_of_the_layer() {
    use sparsely::encode::{
        native::NativeBackbone,
        sae::{HiddenStates, TextKind},
    };
    let golden = Golden::read();
    for (family, texts) in &golden.hidden {
        let open = |layer, threads| {
            let options = NativeOptions::new().threads(threads);
            NativeBackbone::open(models().join(family), options, layer)
        };
        for threads in [1, 3] {
            let backbone = open(Some(1), threads).unwrap();
            let given = backbone
                .hidden_states(&golden.texts(), TextKind::Document)
                .unwrap();
            assert_eq!((backbone.width(), given.len()), (16, golden.texts.len()));
            for (want, given) in texts.iter().zip(&given) {
                assert_eq!(want.len(), given.special.len());
                let tokens = given.values.chunks(16).zip(want);
                for (given, want) in tokens {
                    for (given, want) in given.iter().zip(want) {
                        assert!((given - want).abs() < NEAR, "{family}: {given} {want}");
                    }
                }
                let last = given.special.len() - 1;
                for (at, special) in given.special.iter().enumerate() {
                    assert_eq!(*special, at == 0 || at == last);
                }
            }
        }
        assert_ne!(
            open(Some(1), 1).unwrap().fingerprint(),
            open(Some(2), 1).unwrap().fingerprint()
        );
        assert_eq!(
            open(None, 1).unwrap().fingerprint(),
            open(Some(2), 1).unwrap().fingerprint()
        );
        assert!(
            open(Some(3), 1)
                .unwrap_err()
                .to_string()
                .contains("2 layers")
        );
    }
    // What is behind the layer, and the head, need not be there.
    let directory = copy("bert");
    let file = directory.path().join("model.safetensors");
    rename(
        &file,
        "layer.1.output.dense.bias",
        "layer.1.output.dense.bios",
    );
    rename(
        &file,
        "cls.predictions.transform.dense.w",
        "cls.predictions.transform.dunse.w",
    );
    let options = NativeOptions::new();
    let backbone = NativeBackbone::open(directory.path(), options, Some(1)).unwrap();
    backbone.hidden_states(&["a", ""], TextKind::Query).unwrap();
}

/// A Router whose queries and documents have a transformer each.
/// `bert` with what comes after it in `tests/models/csr`.
#[cfg(feature = "sae")]
fn with_autoencoder(name: &str) -> tempfile::TempDir {
    let directory = copy("bert");
    let from = models().join("csr").join(name);
    fs::copy(
        from.join("modules.json"),
        directory.path().join("modules.json"),
    )
    .unwrap();
    for folder in fs::read_dir(&from).unwrap().map(Result::unwrap) {
        if folder.path().is_dir() {
            let to = directory.path().join(folder.file_name());
            fs::create_dir(&to).unwrap();
            for file in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    }
    directory
}

#[cfg(feature = "sae")]
#[test]
fn a_dense_model_with_an_autoencoder_gives_the_vectors_of_sentence_transformers() {
    #[derive(Deserialize)]
    struct Golden {
        texts: Vec<String>,
        vectors: BTreeMap<String, Vec<Vec<(u32, f32)>>>,
    }
    let bytes = fs::read(models().join("csr/golden.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(golden.vectors.len(), 2);
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    for (name, vectors) in &golden.vectors {
        let directory = with_autoencoder(name);
        let encoder = sparsely::encode::open(directory.path()).unwrap();
        assert_eq!(encoder.term_count(), 40);
        let found = encoder.encode_documents(&texts).unwrap();
        for ((golden, vector), text) in vectors.iter().zip(&found).zip(&texts) {
            let worst = difference(golden, vector);
            assert!(worst < NEAR, "{name}: {text:?} is off by {worst}");
        }
        assert_eq!(encoder.encode_queries(&texts).unwrap(), found);
        let message = refusal(directory.path());
        assert!(message.contains("SparseAutoEncoder"), "{message}");
    }
    // `max_active_dims` of the whole model takes the place of the module's own.
    let directory = with_autoencoder("mean");
    let settings = directory.path().join("config_sentence_transformers.json");
    fs::write(&settings, "{\"max_active_dims\": 2}").unwrap();
    let encoder = sparsely::encode::open(directory.path()).unwrap();
    assert_eq!(encoder.encode_document(texts[0]).unwrap().len(), 2);
    for (file, from, to, said) in [
        ("1_Pooling/config.json", "\"mean\"", "\"max\"", "\"max\""),
        (
            "1_Pooling/config.json",
            "\"mean\"",
            "[\"mean\", \"cls\"]",
            "cls",
        ),
        (
            "modules.json",
            "normalize.Normalize",
            "dense.Dense",
            "Dense",
        ),
        (
            "modules.json",
            "3_Sparse",
            "4_Sparse",
            "4_SparseAutoEncoder",
        ),
        ("3_SparseAutoEncoder/config.json", "40", "41", "hidden_dim"),
    ] {
        let directory = with_autoencoder("mean");
        let file = directory.path().join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
        let message = sparsely::encode::open(directory.path())
            .err()
            .unwrap()
            .to_string();
        assert!(message.contains(said), "{message}");
    }
    let directory = with_autoencoder("cls");
    let old = "{\"pooling_mode_cls_token\": true, \"pooling_mode_mean_tokens\": false}";
    let file = directory.path().join("1_Pooling/config.json");
    fs::write(file, old).unwrap();
    let encoder = sparsely::encode::open(directory.path()).unwrap();
    let worst = difference(
        &golden.vectors["cls"][1],
        &encoder.encode_document(texts[1]).unwrap(),
    );
    assert!(worst < NEAR, "the keys of older versions: {worst}");
}

fn router(query: &str, document: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let router = serde_json::json!({
        "types": {
            "q0": "sentence_transformers.sparse_encoder.modules.MLMTransformer",
            "q1": "sentence_transformers.sparse_encoder.modules.SpladePooling",
            "d0": "sentence_transformers.sparse_encoder.modules.MLMTransformer",
            "d1": "sentence_transformers.sparse_encoder.modules.SpladePooling",
        },
        "structure": {"query": ["q0", "q1"], "document": ["d0", "d1"]},
    });
    let write = |name: &str, json: serde_json::Value| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json.to_string()).unwrap();
    };
    let kind = "sentence_transformers.base.modules.Router";
    write(
        "modules.json",
        serde_json::json!([{"idx": 0, "name": "0", "path": "", "type": kind}]),
    );
    write("router_config.json", router);
    let pooling =
        |how: &str| serde_json::json!({"pooling_strategy": "max", "activation_function": how});
    write("q1/config.json", pooling("relu"));
    write("d1/config.json", pooling("log1p_relu"));
    for (folder, model) in [("q0", query), ("d0", document)] {
        let target = directory.path().join(folder);
        fs::create_dir_all(&target).unwrap();
        for entry in fs::read_dir(models().join(model)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), target.join(entry.file_name())).unwrap();
        }
    }
    directory
}

#[test]
fn queries_and_documents_may_have_a_transformer_each() {
    let golden = Golden::read();
    let directory = router("roberta", "bert");
    let encoder = NativeEncoder::open(directory.path()).unwrap();
    let queries = encoder.encode_queries(&golden.texts()).unwrap();
    golden.check("roberta", &queries);
    let documents = encoder.encode_documents(&golden.texts()).unwrap();
    for (golden, document) in golden.vectors["bert"].iter().zip(&documents) {
        let golden: Vec<_> = golden.iter().map(|(term, w)| (*term, w.ln_1p())).collect();
        assert!(difference(&golden, document) < NEAR);
    }
    assert_eq!(encoder.tally().texts, 22);
    // Other vocabularies cannot be compared.
    edit(&directory.path().join("q0/config.json"), "207", "208");
    assert!(refusal(directory.path()).contains("its shape is [207"));
    // A table alone expands no document.
    let config = directory.path().join("router_config.json");
    let swapped = fs::read_to_string(&config).unwrap();
    let swapped = swapped.replace(r#""document":["d0","d1"]"#, r#""document":["q2"]"#);
    fs::write(
        &config,
        swapped.replace("\"q1\":", r#""q2":"x.SparseStaticEmbedding","q1":"#),
    )
    .unwrap();
    fs::create_dir(directory.path().join("q2")).unwrap();
    fs::write(directory.path().join("q2/idf.json"), "{}").unwrap();
    assert!(refusal(directory.path()).contains("documents need a transformer"));
}

#[test]
fn fingerprints_tell_what_changes_documents() {
    let own = NativeEncoder::open(models().join("bert"))
        .unwrap()
        .fingerprint();
    let print =
        |directory: &Path, options: NativeOptions| options.open(directory).unwrap().fingerprint();
    let bert = models().join("bert");
    for options in [
        NativeOptions::new().threads(2),
        NativeOptions::new().query_prompt("ask: "),
        NativeOptions::new().query_length(9),
    ] {
        assert_eq!(print(&bert, options), own);
    }
    for options in [
        NativeOptions::new().document_prompt("text: "),
        NativeOptions::new().document_length(9),
    ] {
        assert_ne!(print(&bert, options), own);
    }
    let changed = copy("bert");
    edit(&changed.path().join("config.json"), "\"gelu\"", "\"relu\"");
    assert_ne!(print(changed.path(), NativeOptions::new()), own);
    let unchanged = copy("bert");
    edit(&unchanged.path().join("config.json"), "0.02", "0.03");
    assert_eq!(print(unchanged.path(), NativeOptions::new()), own);
}

fn refusal(directory: &Path) -> String {
    let error = NativeEncoder::open(directory).expect_err("a refusal");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Model | ErrorKind::NotFound | ErrorKind::Unsupported
        ),
        "{error}"
    );
    error.to_string()
}

#[test]
fn what_cannot_be_run_is_refused_by_its_name() {
    for (from, to, named) in [
        ("\"bert\"", "\"modernbert\"", "\"modernbert\""),
        ("\"gelu\"", "\"swiglu\"", "\"swiglu\""),
        ("\"hidden_size\": 16", "\"hidden_size\": 32", "[16, 16]"),
        ("\"hidden_size\": 16", "\"hidden_size\": 0", "hidden_size"),
        (
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 3",
            "layer.2",
        ),
        (
            "\"num_hidden_layers\": 2",
            "\"num_hidden_layers\": 9999999",
            "9999999",
        ),
        (
            "\"num_attention_heads\": 2",
            "\"num_attention_heads\": 3",
            "3 attention heads",
        ),
        (
            "\"vocab_size\": 207",
            "\"vocab_size\": 20700",
            "different vocabularies",
        ),
        (
            "\"vocab_size\": 207",
            "\"vocab_size\": 99999999999",
            "vocab_size",
        ),
        (
            "\"max_position_embeddings\": 48",
            "\"max_position_embeddings\": 49",
            "position_embeddings",
        ),
        (
            "\"is_decoder\": false",
            "\"is_decoder\": true",
            "is_decoder",
        ),
        (
            "\"model_type\"",
            "\"position_embedding_type\": \"relative_key\", \"model_type\"",
            "relative_key",
        ),
        ("\"intermediate_size\": 24,", "", "intermediate_size"),
    ] {
        let directory = copy("bert");
        edit(&directory.path().join("config.json"), from, to);
        let message = refusal(directory.path());
        assert!(message.contains(named), "{to}: {message}");
    }
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let directory = copy("bert");
        fs::remove_file(directory.path().join(name)).unwrap();
        let message = refusal(directory.path());
        assert!(message.contains(name), "{message}");
    }
    let directory = copy("bert");
    fs::rename(
        directory.path().join("model.safetensors"),
        directory.path().join("pytorch_model.bin"),
    )
    .unwrap();
    assert!(refusal(directory.path()).contains("pickle"));
    let directory = copy("bert");
    fs::remove_file(directory.path().join("model.safetensors")).unwrap();
    assert!(refusal(directory.path()).contains("no ONNX graph either"));
    fs::write(directory.path().join("model.onnx"), "a graph").unwrap();
    assert!(refusal(directory.path()).contains("OnnxEncoder"));
}

/// Puts other text of the same length into the header of the weights.
fn rename(file: &Path, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(file).unwrap();
    let at = bytes
        .windows(from.len())
        .position(|bytes| bytes == from.as_bytes())
        .unwrap_or_else(|| panic!("no {from}"));
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    fs::write(file, bytes).unwrap();
}

#[test]
fn damaged_weights_are_refused() {
    for (from, to, named) in [
        (
            "layer.1.output.dense.bias",
            "layer.1.output.dense.bios",
            "layer.1.output.dense.bias",
        ),
        (
            "cls.predictions.transform.dense.w",
            "cls.predictions.transform.dunse.w",
            "no head",
        ),
        (
            "position_embeddings.weight",
            "position_embaddings.weight",
            "position_embeddings",
        ),
        ("\"shape\":[207,16]", "\"shape\":[16,207]", "[16, 207]"),
    ] {
        let directory = copy("bert");
        rename(&directory.path().join("model.safetensors"), from, to);
        let message = refusal(directory.path());
        assert!(message.contains(named), "{to}: {message}");
    }
    let directory = copy("bert");
    let file = directory.path().join("model.safetensors");
    let whole = fs::read(&file).unwrap();
    let steps = (0..64).map(|step| whole.len() * step / 64);
    for cut in steps.chain(whole.len() - 8..whole.len()) {
        fs::write(&file, &whole[..cut]).unwrap();
        let message = refusal(directory.path());
        assert!(
            message.contains("model.safetensors"),
            "cut at {cut}: {message}"
        );
    }
    for value in [f32::NAN, f32::INFINITY] {
        let mut bytes = whole.clone();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&value.to_le_bytes());
        fs::write(&file, bytes).unwrap();
        assert!(refusal(directory.path()).contains("NaN or infinite"));
    }
}

#[test]
fn what_overflows_is_an_error_and_not_a_vector() {
    let directory = copy("bert");
    let file = directory.path().join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    // The largest floats everywhere: finite, but not for long.
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    for number in bytes[8 + header..].chunks_exact_mut(4) {
        number.copy_from_slice(&f32::MAX.to_le_bytes());
    }
    fs::write(&file, bytes).unwrap();
    let encoder = NativeEncoder::open(directory.path()).unwrap();
    let error = encoder.encode_document("open the lock file").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("model.safetensors"), "{error}");
}

#[test]
fn texts_of_any_kind_are_encoded_or_refused() {
    let encoder = NativeEncoder::open(models().join("bert")).unwrap();
    let controls: String = (0..32).map(|byte| char::from(byte as u8)).collect();
    let nothing = encoder.encode_document("").unwrap();
    assert_eq!(encoder.encode_document(&controls).unwrap(), nothing);
    let huge = "a".repeat(100 << 20);
    let error = encoder.encode_documents(&["a", &huge]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().starts_with("text 2: "), "{error}");
    // In a stream they count from its beginning: this one is in the second part.
    let texts = (1..=1030).map(|at| Ok((at, if at == 1027 { &huge } else { "a" }.to_owned())));
    let mut last = 0;
    let error = encoder
        .encode_stream(texts, &mut Progress::none(), |at, _| {
            last = at;
            Ok(())
        })
        .unwrap_err();
    assert!(error.to_string().starts_with("text 1027: "), "{error}");
    assert_eq!(last, 1024, "what came before stands");
    encoder
        .encode_document("[PAD] [PAD] [MASK] [UNK] \u{0}")
        .unwrap();
    assert_eq!(encoder.encode_documents(&[]).unwrap(), []);
}
