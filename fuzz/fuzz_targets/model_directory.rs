//! Directories of models of which one file is another: settings, tokenizer, weights, graph. Whatever opens
//! gives vectors that obey the rules.
#![no_main]

use std::sync::LazyLock;

use sparsely::{
    Encoder,
    encode::{InferenceFreeEncoder, NativeEncoder, OnnxEncoder, sae::SaeOptions},
};
use sparsely_fuzz::{DIRECTORIES, Edited, Models, folder};

static MODELS: LazyLock<Models> = LazyLock::new(|| {
    // Panics of the library that tokenizes become errors; one that gets through ends the process.
    std::panic::set_hook(Box::new(|panic| {
        if panic.location().is_none_or(|at| !at.file().contains("/tokenizers-")) {
            eprintln!("{panic}");
        }
    }));
    Models::laid_over(DIRECTORIES)
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    let how = match how % 4 {
        0 => Edited::Header,
        1 => Edited::Values,
        2 => Edited::Content,
        _ => return graph(data),
    };
    MODELS.with(data, how, |root| {
        if let Ok(encoder) = sparsely::encode::open(root) {
            check(&*encoder);
        }
        // The others that a directory may be opened as.
        if root.join("modules.json").exists()
            && let Ok(encoder) = NativeEncoder::open(root)
        {
            check(&encoder);
        }
        if let Ok(encoder) = InferenceFreeEncoder::open(root) {
            check(&encoder);
        }
        if root.join("sae.json").exists()
            && let Ok(encoder) = SaeOptions::new().backbone(folder().join("bert")).open(root)
        {
            check(&encoder);
        }
    });
});

/// A graph, which this library walks before it looks for the one that runs it; there is none here.
fn graph(data: &[u8]) {
    LazyLock::force(&MODELS);
    let root = folder().join("graph");
    std::fs::create_dir_all(&root).expect("a directory");
    std::fs::copy(folder().join("bert/tokenizer.json"), root.join("tokenizer.json")).expect("a file is copied");
    std::fs::write(root.join("model.onnx"), data).expect("a file is written");
    let _ = OnnxEncoder::open(&root);
}

fn check(encoder: &dyn Encoder) {
    let terms = encoder.term_count();
    for text in ["fn lock(path: &Path) -> bool", "Größe 漢字 \u{0} a\u{301}", ""] {
        for vector in [encoder.encode_document(text), encoder.encode_query(text)].into_iter().flatten() {
            for (term, weight) in vector.iter() {
                assert!(term.get() < terms && weight.is_finite());
                let _ = encoder.term(term);
            }
        }
        let _ = encoder.own_terms(text);
    }
}
