//! Files of autoencoders that are damaged, transposed, of another model, or no weights at all.

use std::{fs, path::Path};

use serde_json::{Value, json};
use sparsely::{
    ErrorKind,
    encode::sae::{Autoencoder, Description},
};

use super::sae::models;

fn copy(name: &str) -> tempfile::TempDir {
    fn into(from: &Path, to: &Path) {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                fs::create_dir_all(&target).unwrap();
                into(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let target = tempfile::tempdir().unwrap();
    into(&models().join(name), target.path());
    target
}

/// Changes a JSON file.
fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn refused(path: &Path) -> sparsely::Error {
    let error = Autoencoder::open(path).expect_err("refused");
    let named = path.display().to_string();
    assert!(
        error.to_string().contains(&named),
        "names its file: {error}"
    );
    error
}

/// A safetensors file of one matrix and the vectors that go with it.
fn safetensors(path: &Path, tensors: &[(&str, Vec<usize>, f32)]) {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, value) in tensors {
        let count: usize = shape.iter().product();
        let start = data.len();
        data.extend(std::iter::repeat_n(value.to_le_bytes(), count).flatten());
        header.insert(
            (*name).to_owned(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut bytes = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(header.into_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

fn lens(weights: &[(&str, Vec<usize>, f32)]) -> tempfile::TempDir {
    let folder = copy("lens_jump");
    safetensors(&folder.path().join("sae_weights.safetensors"), weights);
    folder
}

fn right() -> Vec<(&'static str, Vec<usize>, f32)> {
    vec![
        ("W_enc", vec![8, 24], 0.5),
        ("b_enc", vec![24], 0.5),
        ("threshold", vec![24], 0.5),
    ]
}

#[test]
fn shapes_that_do_not_belong_together_are_refused() {
    Autoencoder::open(lens(&right()).path()).unwrap();
    let mut transposed = right();
    transposed[0].1 = vec![24, 8];
    let error = refused(lens(&transposed).path());
    assert!(error.to_string().contains("transposed"), "{error}");
    for (at, shape) in [
        (0, vec![8, 25]),
        (0, vec![192]),
        (0, vec![2, 4, 24]),
        (1, vec![23]),
        (2, vec![25]),
        (2, vec![1]),
    ] {
        let mut wrong = right();
        wrong[at].1 = shape;
        assert_eq!(refused(lens(&wrong).path()).kind(), ErrorKind::Model);
    }
    let mut missing = right();
    missing.truncate(2);
    let error = refused(lens(&missing).path());
    assert!(error.to_string().contains("\"threshold\""), "{error}");
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    for value in [f32::NAN, f32::NEG_INFINITY] {
        for at in 0..3 {
            let mut wrong = right();
            wrong[at].2 = value;
            let error = refused(lens(&wrong).path());
            assert!(error.to_string().contains("NaN or infinite"), "{error}");
        }
    }
}

#[test]
fn files_that_are_cut_off_are_refused() {
    for (name, file) in [
        ("gemma", "params.npz"),
        ("gemma_packed", "params.npz"),
        ("llama", "checkpoints/final.safetensors"),
        ("lens_jump", "sae_weights.safetensors"),
        ("csr", "model.safetensors"),
        ("lens_jump", "cfg.json"),
        ("llama", "hyperparams.json"),
    ] {
        let folder = copy(name);
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        let end = whole.len() - usize::from(file.ends_with("json")) * 2;
        for cut in (0..end).step_by(37).chain([end - 1]) {
            fs::write(&path, &whole[..cut]).unwrap();
            refused(folder.path());
        }
    }
}

#[test]
fn no_changed_byte_makes_opening_panic() {
    for (name, file) in [
        ("gemma", "params.npz"),
        ("llama", "checkpoints/final.safetensors"),
    ] {
        let folder = copy(name);
        let path = folder.path().join(file);
        let whole = fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(3) {
            for byte in [0, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                fs::write(&path, damaged).unwrap();
                if let Ok(autoencoder) = Autoencoder::open(folder.path()) {
                    let _ = autoencoder.latents_of(&[0.5; 8], 1);
                }
            }
        }
    }
}

#[test]
fn pickles_are_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["layer_7.sae.pt", "ae.pth", "pytorch_model.bin"] {
        let path = folder.path().join(name);
        fs::write(&path, b"PK\x03\x04archive/data.pkl").unwrap();
        let error = refused(&path);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(
            error.to_string().contains("convert_autoencoder.py"),
            "{error}"
        );
    }
    let error = refused(folder.path());
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn settings_that_are_not_understood_are_refused_by_name() {
    let cases: &[(&str, &str, &str, Value, &str)] = &[
        (
            "lens_jump",
            "cfg.json",
            "architecture",
            json!("gated"),
            "gated",
        ),
        (
            "lens_jump",
            "cfg.json",
            "activation_fn_str",
            json!("tanh-relu"),
            "tanh-relu",
        ),
        (
            "lens_jump",
            "cfg.json",
            "normalize_activations",
            json!("batch"),
            "batch",
        ),
        (
            "lens_jump",
            "cfg.json",
            "normalize_activations",
            json!("expected_average_only_in"),
            "input_scale",
        ),
        ("lens_jump", "cfg.json", "d_in", json!(9), "d_in 9"),
        ("lens_top", "cfg.json", "k", Value::Null, "k missing"),
        ("lens_top", "cfg.json", "k", json!(25), "25 largest"),
        (
            "llama",
            "hyperparams.json",
            "act_fn",
            json!("prolu"),
            "prolu",
        ),
        (
            "llama",
            "hyperparams.json",
            "norm_activation",
            json!("batch-wise"),
            "batch-wise",
        ),
        (
            "llama",
            "hyperparams.json",
            "dataset_average_activation_norm",
            Value::Null,
            "missing",
        ),
        (
            "llama",
            "hyperparams.json",
            "dataset_average_activation_norm",
            json!({"in": 0.0}),
            "scale",
        ),
        (
            "llama",
            "hyperparams.json",
            "use_glu_encoder",
            json!(true),
            "use_glu_encoder",
        ),
        (
            "llama",
            "hyperparams.json",
            "d_sae",
            json!(1_000_000_000_000_u64),
            "d_sae",
        ),
        ("csr", "config.json", "k", json!(0), "0 largest"),
        ("csr", "config.json", "hidden_dim", json!(8), "hidden_dim"),
    ];
    for (name, file, key, value, word) in cases {
        let folder = copy(name);
        edit(&folder.path().join(file), |settings| {
            settings[*key] = value.clone()
        });
        let error = refused(folder.path());
        assert!(error.to_string().contains(word), "{key} {value}: {error}");
    }
}

#[test]
fn a_description_says_what_its_files_hold() {
    let cases: &[(&str, Value, &str)] = &[
        ("version", json!(2), "version 2"),
        ("latents", json!(25), "25"),
        ("hidden", json!(16), "16"),
        ("latnets", json!(24), "latnets"),
        (
            "head",
            json!({"format": "gemma-scopes", "weights": "head"}),
            "gemma-scope",
        ),
        (
            "head",
            json!({"format": "llama-scope", "weights": "../head"}),
            "not inside",
        ),
        (
            "head",
            json!({"format": "llama-scope", "weights": "/etc"}),
            "not inside",
        ),
        (
            "head",
            json!({"format": "llama-scope", "weights": "head", "activation": "topk"}),
            "activation",
        ),
        (
            "head",
            json!({"format": "llama-scope", "weights": "head", "input_norm": "batch"}),
            "input_norm",
        ),
        (
            "head",
            json!({"format": "llama-scope", "weights": "head", "decoder_norm": "folds"}),
            "decoder_norm",
        ),
        ("head", json!({"format": "graph"}), "graph"),
        ("pruning", json!({"threshold": -1.0}), "threshold"),
        ("pruning", json!({"queries": 3}), "queries"),
    ];
    for (key, value, word) in cases {
        let folder = copy("llama_scales");
        edit(&folder.path().join("sae.json"), |settings| {
            settings[*key] = value.clone()
        });
        let error = refused(folder.path());
        assert!(error.to_string().contains(word), "{key} {value}: {error}");
    }
    let folder = copy("llama_scales");
    fs::write(folder.path().join("sae.json"), vec![b' '; 2 << 20]).unwrap();
    assert_eq!(
        Description::read(folder.path()).unwrap_err().kind(),
        ErrorKind::Limit
    );
    fs::remove_file(folder.path().join("sae.json")).unwrap();
    assert_eq!(
        Description::read(folder.path()).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}
