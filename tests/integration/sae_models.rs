//! Whole models: a transformer's graph, an autoencoder over it, and vectors of numpy for both.

use std::{collections::BTreeMap, fs};

use serde_json::{Value, json};
use sparsely::{
    Encoder, ErrorKind, TermId,
    encode::{
        Pruning,
        onnx::{OnnxBackbone, OnnxOptions},
        sae::{HiddenStates, SaeEncoder, SaeOptions, TextKind},
    },
};

use super::{onnx::near, sae::models};

type Vectors = BTreeMap<String, Value>;

fn golden() -> Vectors {
    serde_json::from_slice(&fs::read(models().join("golden.json")).unwrap()).unwrap()
}

fn texts(golden: &Vectors) -> Vec<String> {
    serde_json::from_value(golden["texts"].clone()).unwrap()
}

/// What `open` gives, or `None` where there is no runtime.
fn there<T>(opened: sparsely::Result<T>) -> Option<T> {
    match opened {
        Ok(model) => Some(model),
        Err(error)
            if error.to_string().contains("ONNX Runtime's shared library")
                && std::env::var_os("ORT_DYLIB_PATH").is_none() =>
        {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn check(golden: &Vectors, name: &str, encoder: &dyn Encoder, kind: TextKind) {
    let texts = texts(golden);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = match kind {
        TextKind::Query => encoder.encode_queries(&texts),
        TextKind::Document => encoder.encode_documents(&texts),
    };
    let expected: Vec<Vec<(u32, f32)>> = serde_json::from_value(golden[name].clone()).unwrap();
    for ((vector, expected), text) in vectors.unwrap().iter().zip(&expected).zip(&texts) {
        near(&format!("{name}: {text:?}"), expected, vector);
    }
}

/// The model beside `golden.json`, its description changed.
fn changed(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = models().join("encoder");
    for name in [
        "labels.tsv",
        "head/hyperparams.json",
        "head/checkpoints/final.safetensors",
    ] {
        let target = folder.path().join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(name), target).unwrap();
    }
    let mut description: Value =
        serde_json::from_slice(&fs::read(from.join("sae.json")).unwrap()).unwrap();
    description["backbone"] = json!(models().join("../hidden"));
    change(&mut description);
    fs::write(folder.path().join("sae.json"), description.to_string()).unwrap();
    folder
}

#[test]
fn a_backbone_and_its_autoencoder_give_the_vectors_of_numpy() {
    let golden = golden();
    // Any program opens it like any other model.
    let Some(encoder) = there(sparsely::encode::open(models().join("encoder"))) else {
        return;
    };
    check(&golden, "documents", &*encoder, TextKind::Document);
    check(&golden, "queries", &*encoder, TextKind::Query);
    assert_eq!(encoder.term_count(), 300);
    assert_eq!(
        encoder.term(TermId::from(4_u32)).as_deref(),
        Some("latent of 4")
    );
    assert_eq!(encoder.term(TermId::from(5_u32)), None);
    for (name, key, value) in [
        ("without special tokens", "drop_special_tokens", json!(true)),
        ("linear", "weighting", json!("linear")),
        ("mean", "tokens", json!("mean")),
        ("first", "tokens", json!("first")),
        ("last", "tokens", json!("last")),
    ] {
        let folder = changed(|description| description[key] = value);
        let other = SaeEncoder::open(folder.path()).unwrap();
        check(&golden, name, &other, TextKind::Document);
        assert_ne!(other.fingerprint(), encoder.fingerprint(), "{name}");
    }
}

#[test]
fn a_head_inside_the_graph_gives_the_same() {
    let golden = golden();
    let Some(encoder) = there(sparsely::encode::open(models().join("graph"))) else {
        return;
    };
    check(&golden, "documents", &*encoder, TextKind::Document);
    check(&golden, "queries", &*encoder, TextKind::Query);
    let options = SaeOptions::new().pruning(Pruning::NONE.document_top(3));
    let encoder = options.open(models().join("graph")).unwrap();
    assert!(encoder.encode_document("open the lock file").unwrap().len() <= 3);
    assert!(encoder.autoencoder().is_none());
}

#[test]
fn texts_of_any_batch_have_the_same_states() {
    let opened = OnnxBackbone::open(
        models().join("../hidden"),
        OnnxOptions::new(),
        None,
        Some(2),
    );
    let Some(backbone) = there(opened) else {
        return;
    };
    assert_eq!(
        (backbone.output(), backbone.width()),
        ("last_hidden_state", 16)
    );
    let texts = [
        "open the lock file",
        "a",
        "",
        "the quick brown fox jumps over the lazy dog",
    ];
    let together = backbone.hidden_states(&texts, TextKind::Document).unwrap();
    for (text, together) in texts.iter().zip(&together) {
        let alone = backbone.hidden_states(&[text], TextKind::Document).unwrap();
        assert_eq!(alone[0].special, together.special);
        let pairs = alone[0].values.iter().zip(&together.values);
        assert!(pairs.clone().all(|(a, b)| (a - b).abs() < 1e-5), "{text}");
        assert_eq!(together.values.len(), together.special.len() * 16);
        // [CLS] and [SEP].
        let special = together.special.iter().filter(|special| **special).count();
        assert_eq!(special, 2, "{text}");
        assert_eq!(together.own(16).len(), together.values.len() - 32);
    }
}

#[test]
fn parts_of_different_models_are_refused() {
    if there(sparsely::encode::open(models().join("encoder"))).is_none() {
        return;
    }
    let cases: &[(&str, Value, &str)] = &[
        ("output", json!("pooler_output"), "pooler_output"),
        (
            "graph",
            json!("model_of_another_name.onnx"),
            "model_of_another_name",
        ),
        ("backbone", json!("no/such/directory"), "no/such/directory"),
        ("backbone_fingerprint", json!("onnx:0"), "onnx:0"),
        ("labels", json!("../labels.tsv"), "not inside"),
        ("labels", json!("missing.tsv"), "missing.tsv"),
    ];
    for (key, value, word) in cases {
        let folder = changed(|description| description[*key] = value.clone());
        let error = SaeEncoder::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains(word), "{key}: {error}");
    }
    // An autoencoder over another width.
    let folder = changed(|description| {
        description["latents"] = json!(24);
        description["hidden"] = json!(8);
    });
    fs::remove_dir_all(folder.path().join("head")).unwrap();
    fs::create_dir_all(folder.path().join("head/checkpoints")).unwrap();
    for name in ["hyperparams.json", "checkpoints/final.safetensors"] {
        fs::copy(
            models().join("llama").join(name),
            folder.path().join("head").join(name),
        )
        .unwrap();
    }
    fs::write(folder.path().join("labels.tsv"), "1\tone\n").unwrap();
    let error = SaeEncoder::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Model);
    assert!(error.to_string().contains("16"), "{error}");
    // Labels of other latents.
    let folder = changed(|_| ());
    fs::write(
        folder.path().join("labels.tsv"),
        "# latents 16384\n1\tone\n",
    )
    .unwrap();
    let error = SaeEncoder::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("16384"), "{error}");
    // The fingerprint that the backbone has opens it.
    let encoder = SaeEncoder::open(models().join("encoder")).unwrap();
    let own = encoder.backbone().unwrap().fingerprint().to_string();
    let folder = changed(|description| description["backbone_fingerprint"] = json!(own));
    SaeEncoder::open(folder.path()).unwrap();
}
