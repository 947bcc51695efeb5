//! The hidden states of a transformer, for a head that is elsewhere.

use std::path::Path;

use super::{
    NativeOptions, batches::spread, config::Config, transformer::Transformer, weights::Reader,
};
use crate::{
    encode::{
        Fingerprint,
        model::{Digest, Model},
        run::{Texts, digest_settings},
        sae::{HiddenStates, TextKind, TokenStates},
        tokenize::{Tokenizer, Window},
    },
    error::{Error, Result},
};

/// The hidden states of BERT's family, from `model.safetensors`; a head is not needed, and layers
/// behind the one that is asked for are not read.
///
/// ```no_run
/// use sparsely::encode::{native::{NativeBackbone, NativeOptions}, sae::{HiddenStates, TextKind}};
/// let backbone = NativeBackbone::open("models/minilm", NativeOptions::new().threads(2), Some(4))?;
/// let states = backbone.hidden_states(&["fn main() {}"], TextKind::Document)?;
/// assert_eq!(states[0].values.len(), states[0].special.len() * backbone.width());
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Debug)]
pub struct NativeBackbone {
    transformer: Transformer,
    texts: Texts,
    threads: usize,
    fingerprint: Fingerprint,
}

impl NativeBackbone {
    /// Opens the transformer in `directory` and takes the states after `layer` layers: 0 is what the
    /// first layer is given, `None` what the last one gives. Of `options`, those count that are about
    /// texts and threads.
    ///
    /// # Errors
    /// As [`NativeOptions::open`], and when there are fewer layers.
    pub fn open(
        directory: impl AsRef<Path>,
        options: NativeOptions,
        layer: Option<u32>,
    ) -> Result<NativeBackbone> {
        let model = Model::read(directory.as_ref())?;
        let weights = model.weights()?;
        let mut config = Config::read(&weights.with_file_name("config.json"))?;
        if let Some(layer) = layer {
            let layers = usize::try_from(layer).unwrap_or(usize::MAX);
            if layers > config.layers {
                return Err(Error::model(
                    weights.display().to_string(),
                    format!("it has {} layers, not {layer}", config.layers),
                ));
            }
            config.layers = layers;
        }
        let tokenizer = Tokenizer::read(&model.tokenizer, &model)?;
        let reader = Reader::open(weights, &config)?;
        let transformer = Transformer::read(weights, &config, &reader)?;
        let document = options.texts.document(&model, Some(config.longest()));

        let mut digest = Digest::default();
        digest.file(weights)?;
        digest.file(&model.tokenizer)?;
        digest.setting(&config.words());
        digest.setting(&format!("layer {}", config.layers));
        digest_settings(&mut digest, &model, &document);
        Ok(NativeBackbone {
            threads: options.threads,
            fingerprint: Fingerprint::new("native hidden states", &[digest.bytes()]),
            transformer,
            texts: Texts {
                query: options.texts.query(&model, Some(config.longest())),
                document,
                tokenizer,
            },
        })
    }
}

impl HiddenStates for NativeBackbone {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    fn width(&self) -> usize {
        self.transformer.config.width
    }

    fn longest(&self) -> usize {
        self.texts.longest()
    }

    fn hidden_states(&self, texts: &[&str], kind: TextKind) -> Result<Vec<TokenStates>> {
        let work = |inputs: &[Window], threads| self.batch(inputs, threads);
        self.texts
            .states(texts, kind, |inputs| spread(inputs, self.threads, work))
    }
}

impl NativeBackbone {
    fn batch(&self, inputs: &[Window], threads: usize) -> Result<Vec<TokenStates>> {
        let texts: Vec<&[u32]> = inputs.iter().map(|input| &*input.ids).collect();
        let values = self.transformer.states(&texts, threads)?;
        let mut rest = values.as_slice();
        let states = inputs.iter().map(|input| {
            let (own, later) = rest.split_at(input.ids.len() * self.width());
            rest = later;
            TokenStates {
                values: own.to_vec(),
                special: (0..input.ids.len())
                    .map(|at| !input.own.contains(&at))
                    .collect(),
            }
        });
        Ok(states.collect())
    }
}
