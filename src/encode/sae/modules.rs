//! Dense models of sentence-transformers that end in a `SparseAutoEncoder` (CSR, arXiv 2503.01776).

use std::path::Path;

use super::{
    Autoencoder, Description, Format, HeadDescription, Tokens, Weighting,
    description::{FILE, PruningDescription},
};
use crate::{
    encode::model::{Model, Pooled},
    error::Result,
};

impl Description {
    /// What `modules.json` in `directory` says, where there is no `sae.json` and it ends in an
    /// autoencoder.
    pub(super) fn of_modules(directory: &Path) -> Result<Option<Description>> {
        if directory.join(FILE).is_file() || !directory.join("modules.json").is_file() {
            return Ok(None);
        }
        let model = Model::read(directory)?;
        let Some(embedding) = model.embedding else {
            return Ok(None);
        };
        let autoencoder = Autoencoder::open(&embedding.autoencoder)?;
        let place = embedding.autoencoder.strip_prefix(directory);
        let place = place.unwrap_or(&embedding.autoencoder).to_string_lossy();
        Ok(Some(Description {
            hidden: Some(autoencoder.hidden()),
            latents: autoencoder.latents(),
            head: HeadDescription {
                // `max_active_dims` of the whole model takes the place of the module's own `k`.
                k: model.top,
                ..HeadDescription::of(Format::SentenceTransformers, place)
            },
            tokens: match embedding.pooled {
                Pooled::Mean => Tokens::Mean,
                Pooled::First => Tokens::First,
                Pooled::Last => Tokens::Last,
            },
            unit_length: embedding.has_unit_length,
            weighting: Weighting::Linear,
            pruning: PruningDescription::NONE,
            ..Description::new(".")
        }))
    }
}
