//! Damaged, contradictory and hostile model directories: each gets an error that names the file
//! and says what was expected, and none a panic.

use std::{fs, path::Path, process::Command};

use sparsely::{
    Encoder, ErrorKind,
    encode::{
        InferenceFreeEncoder,
        onnx::{Device, OnnxOptions, load_runtime},
    },
};

use crate::{
    onnx::{golden, open, router, tiny},
    support::models::{copy, edit, models},
};

/// The message and kind with which a directory is refused.
fn refusal(directory: &Path, options: OnnxOptions) -> (ErrorKind, String) {
    let error = options.open(directory).expect_err("a refusal");
    (error.kind(), error.to_string())
}

fn plain(directory: &Path) -> (ErrorKind, String) {
    refusal(directory, OnnxOptions::new())
}

/// Whether there is a runtime: without one most refusals would be about that.
fn has_runtime() -> bool {
    tiny("splade").is_some()
}

#[test]
fn what_is_missing_is_named() {
    let (kind, message) = plain(Path::new("no/such/directory"));
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(message.contains("no/such/directory"), "{message}");

    let directory = copy("narrow");
    fs::remove_file(directory.path().join("model.onnx")).unwrap();
    let (kind, message) = plain(directory.path());
    assert_eq!(kind, ErrorKind::Model);
    assert!(message.contains("onnx/model.onnx"), "{message}");
    assert!(message.contains("no model.safetensors either"), "{message}");
    assert!(plain(&models().join("bert")).1.contains("NativeEncoder"));

    let directory = copy("narrow");
    fs::remove_file(directory.path().join("tokenizer.json")).unwrap();
    let (kind, message) = plain(directory.path());
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(message.contains("tokenizer.json"), "{message}");

    let options = OnnxOptions::new().graph("onnx/other.onnx");
    assert_eq!(
        refusal(&models().join("splade"), options).0,
        ErrorKind::NotFound
    );
    let options = OnnxOptions::new().graph("../narrow/model.onnx");
    assert_eq!(
        refusal(&models().join("splade"), options).0,
        ErrorKind::Model
    );
}

#[test]
fn a_graph_cut_anywhere_is_refused() {
    if !has_runtime() {
        return;
    }
    let whole = fs::read(models().join("narrow/model.onnx")).unwrap();
    let directory = copy("narrow");
    let file = directory.path().join("model.onnx");
    let steps = (0..64).map(|step| whole.len() * step / 64);
    for cut in steps.chain(whole.len() - 40..whole.len()) {
        fs::write(&file, &whole[..cut]).unwrap();
        let (kind, message) = plain(directory.path());
        assert_eq!(kind, ErrorKind::Model, "cut at {cut}: {message}");
        assert!(message.contains("model.onnx"), "cut at {cut}: {message}");
    }
}

#[test]
fn an_unknown_module_is_refused_by_its_name() {
    let directory = copy("splade");
    edit(
        &directory.path().join("modules.json"),
        "splade_pooling.SpladePooling",
        "pooling.Pooling",
    );
    let (kind, message) = plain(directory.path());
    assert_eq!(kind, ErrorKind::Model);
    assert!(message.contains("MLMTransformer, Pooling"), "{message}");

    let directory = copy("splade");
    let config = directory.path().join("1_SpladePooling/config.json");
    edit(&config, "\"relu\"", "\"gelu\"");
    let (_, message) = plain(directory.path());
    assert!(
        message.contains("activation_function is \"gelu\""),
        "{message}"
    );

    let directory = copy("splade");
    edit(
        &directory.path().join("modules.json"),
        "\"1_SpladePooling\"",
        "\"../1_SpladePooling\"",
    );
    let (_, message) = plain(directory.path());
    assert!(
        message.contains("not inside the model directory"),
        "{message}"
    );

    let directory = router();
    edit(
        &directory.path().join("router_config.json"),
        "\"query\"",
        "\"ask\"",
    );
    let (_, message) = plain(directory.path());
    assert!(message.contains("no route \"query\""), "{message}");
}

#[test]
fn another_vocabulary_is_refused() {
    if !has_runtime() {
        return;
    }
    // A tokenizer that knows more than the model.
    let directory = copy("narrow");
    let file = directory.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    for extra in 0..50 {
        vocabulary.insert(format!("extra{extra}"), (1000 + extra).into());
    }
    fs::write(&file, tokenizer.to_string()).unwrap();
    let (kind, message) = plain(directory.path());
    assert_eq!(kind, ErrorKind::Model);
    assert!(message.contains("1050 to"), "{message}");

    // Query weights of another model.
    let directory = router();
    let folder = directory.path().join("query_0_SparseStaticEmbedding");
    let header = r#"{"weight":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}}"#;
    let mut bytes = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend([0; 12]);
    fs::write(folder.join("model.safetensors"), bytes).unwrap();
    let error = InferenceFreeEncoder::open(directory.path()).unwrap_err();
    assert!(
        error.to_string().contains("different vocabularies"),
        "{error}"
    );
}

#[test]
fn graphs_with_other_outputs_say_what_they_gave() {
    if !has_runtime() {
        return;
    }
    // Hidden states alone are a dense model.
    let directory = copy("hidden");
    fs::remove_file(directory.path().join("head.onnx")).unwrap();
    let (kind, message) = plain(directory.path());
    assert_eq!(kind, ErrorKind::Model);
    assert!(
        message.contains("last_hidden_state [batch, sequence, 16]"),
        "{message}"
    );
    // Latents are not tokens unless the caller says how many.
    let options = OnnxOptions::new().terms(131_072);
    let (_, message) = refusal(&models().join("pooled"), options);
    assert!(message.contains("131072"), "{message}");
    // A head is not a graph that takes tokens.
    let directory = copy("hidden");
    fs::rename(
        directory.path().join("head.onnx"),
        directory.path().join("model.onnx"),
    )
    .unwrap();
    let (_, message) = plain(directory.path());
    assert!(message.contains("`hidden`"), "{message}");
}

/// The bytes of a float32 tensor in the graph, made NaN.
#[test]
fn weights_that_are_no_numbers_are_noticed() {
    if !has_runtime() {
        return;
    }
    for (value, model) in [
        (f32::NAN, "narrow"),
        (f32::INFINITY, "narrow"),
        (f32::NAN, "pooled"),
        (f32::NAN, "hidden"),
    ] {
        let directory = copy(model);
        let name = if model == "hidden" {
            "head.onnx"
        } else {
            "model.onnx"
        };
        let file = directory.path().join(name);
        let mut bytes = fs::read(&file).unwrap();
        // The bias of the logits: as many floats as there are terms.
        let terms = 207 * 4;
        let length = [&[0x4a][..], &[0xbc, 0x06]].concat();
        assert_eq!(terms, 0x3c | 0x06 << 7);
        let at = bytes
            .windows(3)
            .position(|bytes| bytes == length)
            .expect("raw data of the bias")
            + 3;
        bytes[at + 40..at + 44].copy_from_slice(&value.to_le_bytes());
        fs::write(&file, bytes).unwrap();
        let encoder = open(directory.path(), OnnxOptions::new()).unwrap();
        let error = encoder.encode_document("open the lock file").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Model, "{model}: {error}");
        assert!(
            error.to_string().contains("NaN or infinite"),
            "{model}: {error}"
        );
    }
}

#[test]
fn tokenizers_that_would_run_for_ever_or_fill_memory_are_refused() {
    let directory = copy("narrow");
    let file = directory.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    tokenizer["pre_tokenizer"] = serde_json::json!({
        "type": "Split", "pattern": {"Regex": "(a+)+(?!b)$"}, "behavior": "Isolated", "invert": false
    });
    fs::write(&file, tokenizer.to_string()).unwrap();
    let (kind, message) = plain(directory.path());
    assert_eq!(kind, ErrorKind::Model);
    assert!(message.contains("run for ever"), "{message}");

    // A gigabyte that is not there: holes take no space.
    let sparse = fs::File::create(&file).unwrap();
    sparse.set_len(1 << 30).unwrap();
    let (kind, message) = plain(directory.path());
    assert_eq!(kind, ErrorKind::Limit);
    assert!(message.contains("tokenizer.json"), "{message}");

    for content in [
        "",
        "{",
        "[]",
        "{\"model\":{}}",
        "null",
        "{\"version\":\"1.0\"}",
    ] {
        fs::write(&file, content).unwrap();
        let (kind, message) = plain(directory.path());
        assert_eq!(kind, ErrorKind::Model, "{content}: {message}");
        assert!(message.contains("tokenizer.json"), "{message}");
    }
}

#[test]
fn damaged_settings_are_named() {
    for (model, name) in [
        ("splade", "modules.json"),
        ("splade", "1_SpladePooling/config.json"),
        ("splade", "config_sentence_transformers.json"),
        ("splade", "sentence_bert_config.json"),
        ("splade", "tokenizer_config.json"),
        ("splade", "config.json"),
        ("router", "router_config.json"),
    ] {
        for content in ["", "{", "7", "\"text\"", "[1, 2]"] {
            let directory = copy(model);
            fs::write(directory.path().join(name), content).unwrap();
            let (kind, message) = plain(directory.path());
            assert_eq!(kind, ErrorKind::Model, "{name} {content}: {message}");
            assert!(message.contains(name), "{name} {content}: {message}");
        }
    }
}

#[test]
fn texts_of_any_kind_are_encoded_or_refused() {
    let Some(encoder) = tiny("splade") else {
        return;
    };
    let controls: String = (0..32).map(|byte| char::from(byte as u8)).collect();
    let nothing = encoder.encode_document("").unwrap();
    assert_eq!(encoder.encode_document(&controls).unwrap(), nothing);
    let long = "lock ".repeat(200_000);
    encoder.encode_document(&long).unwrap();
    assert_eq!(encoder.tally().truncated, 1);
    let huge = "a".repeat(100 << 20);
    let error = encoder.encode_document(&huge).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    // One refused text stores nothing of the others, and the next call works.
    let error = encoder.encode_documents(&["a", &huge]).unwrap_err();
    assert!(error.to_string().starts_with("text 2: "), "{error}");
    assert_eq!(encoder.encode_document("").unwrap(), nothing);
}

#[test]
fn logits_beyond_the_budget_are_refused() {
    // 207 terms, 4 bytes each, 10 tokens.
    let options = OnnxOptions::new().logits_budget(207 * 4 * 10);
    let Some(encoder) = open(&models().join("splade"), options) else {
        return;
    };
    encoder.encode_document("the lock file").unwrap();
    let error = encoder.encode_document(&golden().texts[6]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("logits_budget"), "{error}");
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    if !has_runtime() {
        return;
    }
    for device in [
        Device::Cuda(0),
        Device::TensorRt(0),
        Device::CoreMl,
        Device::DirectMl(0),
    ] {
        let options = OnnxOptions::new().device(device);
        match options.open(models().join("splade")) {
            // Only where there is one.
            Ok(encoder) => assert_eq!(encoder.device(), device),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                assert!(error.to_string().contains(&device.to_string()), "{error}");
            }
        }
    }
    let options = OnnxOptions::new().device(Device::Auto);
    let encoder = options.open(models().join("splade")).unwrap();
    assert_ne!(encoder.device(), Device::Auto, "what runs is reported");
}

/// The tests below need a process in which no runtime was loaded yet: they run this program again.
fn alone(test: &str, runtime: &Path) -> (bool, String) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .env("ORT_DYLIB_PATH", runtime)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[test]
fn a_runtime_that_cannot_be_used_is_an_error_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let no_library = folder.path().join("libonnxruntime.so");
    fs::write(&no_library, "no library").unwrap();
    let mut runtimes = vec![no_library, folder.path().join("missing.so")];
    runtimes.extend(old_runtime(folder.path()));
    for runtime in runtimes {
        let (passed, said) = alone("onnx_bad_input::in_a_process_without_a_runtime", &runtime);
        assert!(passed, "{said}");
    }
}

/// A library that says it is ONNX Runtime 1.10, where there is a compiler to make one.
fn old_runtime(folder: &Path) -> Option<std::path::PathBuf> {
    let (source, library) = (folder.join("old.rs"), folder.join("old.so"));
    fs::write(
        &source,
        r#"
        #[repr(C)]
        pub struct Base(extern "C" fn(u32) -> *const u8, extern "C" fn() -> *const u8);
        extern "C" fn api(_: u32) -> *const u8 { std::ptr::null() }
        extern "C" fn version() -> *const u8 { b"1.10.0\0".as_ptr() }
        static BASE: Base = Base(api, version);
        #[unsafe(no_mangle)]
        pub extern "C" fn OrtGetApiBase() -> *const Base { &BASE }
        "#,
    )
    .unwrap();
    let made = Command::new("rustc")
        .args(["--edition=2024", "--crate-type=cdylib", "-o"])
        .args([&library, &source])
        .output();
    match made {
        Ok(output) if output.status.success() => Some(library),
        _ => {
            println!("skipped: no compiler for a library of another version");
            None
        }
    }
}

#[test]
#[ignore = "run by the test above, with a runtime that cannot be used"]
fn in_a_process_without_a_runtime() {
    let (kind, message) = plain(&models().join("splade"));
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(message.contains("ORT_DYLIB_PATH"), "{message}");
    let runtime = std::env::var("ORT_DYLIB_PATH").unwrap();
    assert!(message.contains(&runtime), "{message}");
    // Why this one, in the words of whoever refused it.
    let why = ["file too short", "cannot open shared object", "1.10.0"];
    assert!(
        !cfg!(target_os = "linux") || why.iter().any(|words| message.contains(words)),
        "{message}"
    );
    // Asking again, from several threads, neither panics nor hangs.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (kind, _) = plain(&models().join("splade"));
                assert_eq!(kind, ErrorKind::NotFound);
            });
        }
    });
    assert!(load_runtime(Path::new("another/missing.so")).is_err());
    // Queries without a model still work.
    InferenceFreeEncoder::open(models().join("narrow")).unwrap();
}
