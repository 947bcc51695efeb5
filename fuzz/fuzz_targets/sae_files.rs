//! Any bytes at all as one file of an autoencoder: safetensors, npz, settings, labels.
#![no_main]

use std::sync::LazyLock;

use sparsely::encode::sae::{Autoencoder, Description, Labels};
use sparsely_fuzz::{Edited, Models, SAE_MODELS};

static MODELS: LazyLock<Models> = LazyLock::new(|| Models::copied(SAE_MODELS));

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    MODELS.with(data, Edited::Content, |root| {
        let _ = Description::read(root);
        if let Ok(autoencoder) = Autoencoder::open(root)
            && autoencoder.hidden() <= 1024
        {
            let _ = autoencoder.latents_of(&vec![0.5; autoencoder.hidden()], 1);
        }
        let _ = Labels::read(root.join("labels.tsv"), 24);
    });
    if let Some((&kind, rest)) = data.split_first() {
        let name = ["l.tsv", "l.json", "l.jsonl"][usize::from(kind) % 3];
        let _ = Labels::read(sparsely_fuzz::file(name, rest), 24);
    }
});
