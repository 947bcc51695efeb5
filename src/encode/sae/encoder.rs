//! The encoder: a backbone, an autoencoder over it, and how latents become weights.

use std::{borrow::Cow, fmt, ops::Range, path::Path};

use super::{
    Autoencoder, Description, HiddenStates, Labels, SaeOptions, TextKind, TokenStates, Tokens,
    Weighting, description::FILE,
};
use crate::{
    encode::{Encoder, Fingerprint, Prune, Pruning, pool::Activation as Curve},
    error::{Error, Result},
    id::TermId,
    sparse::SparseVector,
};

/// An encoder whose terms are the latents of a sparse autoencoder: SPLARE (arXiv 2603.13277).
///
/// A text's weight of latent `j` is `max over its tokens of ln(1 + f(x)_j)`, where `x` is the hidden
/// state of a token and `f` the autoencoder (section 2); of a query the 40 heaviest are kept, of a
/// document 400 (section 4). Whether special tokens count the paper does not say; they do here
/// unless told otherwise.
///
/// ```
/// use sparsely::{Encoder, Fingerprint, Result};
/// use sparsely::encode::sae::{
///     Activation, Autoencoder, AutoencoderParts, HiddenStates, SaeEncoder, TextKind, TokenStates,
/// };
///
/// /// Each byte is a token with two values.
/// struct Bytes;
///
/// impl HiddenStates for Bytes {
///     fn fingerprint(&self) -> Fingerprint {
///         Fingerprint::new("bytes", &[])
///     }
///     fn width(&self) -> usize {
///         2
///     }
///     fn longest(&self) -> usize {
///         512
///     }
///     fn hidden_states(&self, texts: &[&str], _: TextKind) -> Result<Vec<TokenStates>> {
///         let states = |text: &&str| TokenStates {
///             values: text.bytes().flat_map(|byte| [f32::from(byte % 4), 1.0]).collect(),
///             special: vec![false; text.len()],
///         };
///         Ok(texts.iter().map(states).collect())
///     }
/// }
///
/// let parts = AutoencoderParts {
///     encoder: vec![1.0, 0.0, -1.0, 2.5], // two latents
///     ..AutoencoderParts::new(2, 2, Activation::Relu)
/// };
/// let encoder = SaeEncoder::new(Box::new(Bytes), Autoencoder::from_parts(parts)?)?;
/// let vector = encoder.encode_document("ab")?; // 'a' is 1, 'b' is 2
/// assert_eq!(vector.weights(), [3.0_f32.ln(), 2.5_f32.ln()]);
/// # Ok::<(), sparsely::Error>(())
/// ```
pub struct SaeEncoder {
    source: Source,
    latents: u32,
    tokens: Tokens,
    has_unit_length: bool,
    weighting: Weighting,
    drops_special: bool,
    pruning: Pruning,
    labels: Option<Labels>,
    threads: usize,
    /// Of backbone and autoencoder; the rest is added when it is asked for.
    fingerprint: Vec<u8>,
}

enum Source {
    Head {
        backbone: Box<dyn HiddenStates>,
        autoencoder: Box<Autoencoder>,
    },
    /// The graph gives final vectors of latents.
    Graph(Box<dyn Encoder>),
}

/// Bytes of hidden states that are held at once.
const STATES: usize = 128 << 20;

/// Bytes of latents that are held at once, were all of them to fire.
const FIRING: usize = 128 << 20;

/// Texts that go to the backbone together: enough to sort by length.
const TEXTS: usize = 256;

impl SaeEncoder {
    /// Opens the model that `sae.json` in `directory` describes, or `modules.json` of a
    /// sentence-transformers model that ends in a `SparseAutoEncoder`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when a file is missing;
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when one is damaged, or backbone, autoencoder
    /// and labels do not belong together; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
    /// when this build cannot run the backbone.
    pub fn open(directory: impl AsRef<Path>) -> Result<SaeEncoder> {
        SaeOptions::new().open(directory)
    }

    /// Opens the model that `sae.json` in `directory` describes over `backbone`, whatever it says of
    /// one.
    ///
    /// # Errors
    /// As [`SaeEncoder::open`].
    pub fn with_backbone(
        directory: impl AsRef<Path>,
        backbone: Box<dyn HiddenStates>,
    ) -> Result<SaeEncoder> {
        let description = Description::read(&directory)?;
        SaeEncoder::described(directory.as_ref(), &description, backbone)
    }

    /// Puts `autoencoder` over `backbone`, all else as the paper has it.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when hidden states have another size than the
    /// autoencoder takes.
    pub fn new(backbone: Box<dyn HiddenStates>, autoencoder: Autoencoder) -> Result<SaeEncoder> {
        if backbone.width() != autoencoder.hidden() {
            return Err(Error::model(
                "autoencoder",
                format!(
                    "it takes hidden states of {} values, the backbone gives {}: they belong to different models or layers",
                    autoencoder.hidden(),
                    backbone.width()
                ),
            ));
        }
        let fingerprint = [
            backbone.fingerprint().to_string().into_bytes(),
            autoencoder.digest(),
        ]
        .concat();
        Ok(SaeEncoder {
            // At most `LATENTS_MAX`.
            latents: u32::try_from(autoencoder.latents()).unwrap_or(u32::MAX),
            source: Source::Head {
                backbone,
                autoencoder: Box::new(autoencoder),
            },
            tokens: Tokens::Each,
            has_unit_length: false,
            weighting: Weighting::Log1p,
            drops_special: false,
            pruning: Pruning::TOP_40_400,
            labels: None,
            threads: 1,
            fingerprint,
        })
    }

    pub(super) fn described(
        directory: &Path,
        description: &Description,
        backbone: Box<dyn HiddenStates>,
    ) -> Result<SaeEncoder> {
        let file = || directory.join(FILE).display().to_string();
        if let Some(expected) = &description.backbone_fingerprint {
            let found = backbone.fingerprint().to_string();
            if *expected != found {
                return Err(Error::model(
                    file(),
                    format!(
                        "it was made for the backbone {expected}, this one is {found}: another graph, tokenizer, layer or document length; remove backbone_fingerprint if that is meant"
                    ),
                ));
            }
        }
        let autoencoder = Autoencoder::described(directory, description)?;
        let mut encoder = SaeEncoder::new(backbone, autoencoder)
            .map_err(|why| Error::model(file(), why.to_string()))?;
        encoder.tokens = description.tokens;
        encoder.has_unit_length = description.unit_length;
        encoder.weighting = description.weighting;
        encoder.drops_special = description.drop_special_tokens;
        encoder.pruning = description.pruning.pruning();
        encoder.read_labels(directory, description)?;
        Ok(encoder)
    }

    pub(super) fn in_graph(
        encoder: Box<dyn Encoder>,
        directory: &Path,
        description: &Description,
    ) -> Result<SaeEncoder> {
        let mut encoder = SaeEncoder {
            latents: encoder.term_count(),
            fingerprint: encoder.fingerprint().to_string().into_bytes(),
            source: Source::Graph(encoder),
            tokens: Tokens::Each,
            has_unit_length: false,
            weighting: description.weighting,
            drops_special: description.drop_special_tokens,
            pruning: description.pruning.pruning(),
            labels: None,
            threads: 1,
        };
        encoder.read_labels(directory, description)?;
        Ok(encoder)
    }

    fn read_labels(&mut self, directory: &Path, description: &Description) -> Result<()> {
        if let Some(name) = &description.labels {
            let path = crate::encode::files::inside(directory, name, &directory.join(FILE))?;
            self.labels = Some(Labels::read(path, description.latents)?);
        }
        Ok(())
    }

    /// Prunes so; the default is [`Pruning::TOP_40_400`]. A head inside the graph has its own.
    #[must_use]
    pub fn pruning(mut self, pruning: Pruning) -> SaeEncoder {
        self.pruning = pruning;
        self
    }

    /// Names latents so.
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> SaeEncoder {
        self.labels = Some(labels);
        self
    }

    /// Shows the autoencoder these tokens.
    #[must_use]
    pub fn tokens(mut self, tokens: Tokens) -> SaeEncoder {
        self.tokens = tokens;
        self
    }

    /// Weighs latents so.
    #[must_use]
    pub fn weighting(mut self, weighting: Weighting) -> SaeEncoder {
        self.weighting = weighting;
        self
    }

    /// Leaves out tokens that the tokenizer adds around a text.
    #[must_use]
    pub fn drop_special_tokens(mut self, drops: bool) -> SaeEncoder {
        self.drops_special = drops;
        self
    }

    /// Lets the head use `threads` threads, the caller's own among them; the default is 1.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> SaeEncoder {
        self.threads = threads.max(1);
        self
    }

    /// The autoencoder, where it is not inside the graph.
    #[must_use]
    pub fn autoencoder(&self) -> Option<&Autoencoder> {
        match &self.source {
            Source::Head { autoencoder, .. } => Some(autoencoder),
            Source::Graph(_) => None,
        }
    }

    /// The backbone, where the autoencoder is not inside the graph.
    #[must_use]
    pub fn backbone(&self) -> Option<&dyn HiddenStates> {
        match &self.source {
            Source::Head { backbone, .. } => Some(&**backbone),
            Source::Graph(_) => None,
        }
    }

    fn encode(&self, texts: &[&str], kind: TextKind) -> Result<Vec<SparseVector>> {
        let (backbone, autoencoder) = match (&self.source, kind) {
            (
                Source::Head {
                    backbone,
                    autoencoder,
                },
                _,
            ) => (backbone, autoencoder),
            (Source::Graph(encoder), TextKind::Query) => return encoder.encode_queries(texts),
            (Source::Graph(encoder), TextKind::Document) => {
                return encoder.encode_documents(texts);
            }
        };
        let state = 4 * backbone.width() * backbone.longest().max(1);
        let by_states = STATES / state.max(1);
        let by_latents = FIRING / (8 * autoencoder.latents());
        let at_once = by_states.min(by_latents).clamp(1, TEXTS);
        let mut vectors = Vec::with_capacity(texts.len());
        for texts in texts.chunks(at_once) {
            let states = backbone.hidden_states(texts, kind)?;
            if states.len() != texts.len() {
                return Err(Error::model(
                    "backbone",
                    format!(
                        "it gave states of {} texts for {}",
                        states.len(),
                        texts.len()
                    ),
                ));
            }
            let (values, ranges) = self.gather(states, backbone.width())?;
            let pooled = autoencoder.pooled(values, &ranges, self.threads)?;
            for latents in pooled {
                vectors.push(self.vector(latents, kind)?);
            }
        }
        Ok(vectors)
    }

    /// One after the other the states that count, and where each text's are.
    fn gather(
        &self,
        states: Vec<TokenStates>,
        width: usize,
    ) -> Result<(Vec<f32>, Vec<Range<usize>>)> {
        let mut values = Vec::new();
        let mut ranges = Vec::with_capacity(states.len());
        for text in states {
            if text.values.len() != text.special.len().saturating_mul(width) {
                return Err(Error::model(
                    "backbone",
                    format!(
                        "it gave {} values for {} tokens of {width}",
                        text.values.len(),
                        text.special.len()
                    ),
                ));
            }
            let own;
            let kept = if self.drops_special {
                own = text.own(width);
                &own
            } else {
                &text.values
            };
            let start = values.len() / width;
            match self.tokens {
                Tokens::Each => values.extend_from_slice(kept),
                Tokens::First => values.extend(kept.iter().take(width)),
                Tokens::Last => {
                    values.extend_from_slice(&kept[kept.len() - width.min(kept.len())..])
                }
                Tokens::Mean if kept.is_empty() => {}
                Tokens::Mean => values.extend(mean(kept, width)),
            }
            if self.has_unit_length {
                values[start * width..]
                    .chunks_exact_mut(width)
                    .for_each(to_unit_length);
            }
            ranges.push(start..values.len() / width);
        }
        Ok((values, ranges))
    }

    fn vector(&self, latents: Vec<(u32, f32)>, kind: TextKind) -> Result<SparseVector> {
        let curve = self.weighting.curve();
        let (terms, weights) = latents
            .into_iter()
            .map(|(latent, value)| (TermId::from(latent), curve.apply(value)))
            // Of a value next to nothing the logarithm may be nothing.
            .filter(|(_, weight)| *weight > 0.0)
            .unzip();
        let prune = match kind {
            TextKind::Query => self.pruning.query(),
            TextKind::Document => self.pruning.document(),
        };
        Ok(prune.apply(SparseVector::from_sorted(terms, weights)?))
    }

    fn document_prune(&self) -> Prune {
        self.pruning.document()
    }
}

impl Encoder for SaeEncoder {
    /// Covers the backbone with its tokenizer, the autoencoder, and how documents are cut, prompted,
    /// weighed and pruned. How queries are treated and where the model runs are not part of it.
    fn fingerprint(&self) -> Fingerprint {
        let prune = self.document_prune();
        let settings = format!(
            "tokens={:?}{} weighting={:?} special={} top={:?} threshold={}",
            self.tokens,
            if self.has_unit_length {
                " of length 1"
            } else {
                ""
            },
            self.weighting,
            self.drops_special,
            prune.top,
            prune.threshold
        );
        Fingerprint::new("sae", &[&self.fingerprint, settings.as_bytes()])
    }

    fn term_count(&self) -> u32 {
        self.latents
    }

    fn encode_documents(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        self.encode(texts, TextKind::Document)
    }

    fn encode_queries(&self, texts: &[&str]) -> Result<Vec<SparseVector>> {
        self.encode(texts, TextKind::Query)
    }

    /// The latent's label, where there is one.
    fn term(&self, id: TermId) -> Option<Cow<'_, str>> {
        let labels = self.labels.as_ref()?;
        labels.of(id.get()).map(Cow::Borrowed)
    }
}

impl Weighting {
    pub(super) fn curve(self) -> Curve {
        match self {
            Weighting::Log1p => Curve::Log1p,
            Weighting::Linear => Curve::Linear,
        }
    }
}

impl fmt::Debug for SaeEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaeEncoder")
            .field("fingerprint", &self.fingerprint())
            .field("latents", &self.latents)
            .field("tokens", &self.tokens)
            .field("weighting", &self.weighting)
            .field("pruning", &self.pruning)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a text has fewer than 2^24 tokens"
)]
fn mean(values: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0.0; width];
    for state in values.chunks_exact(width) {
        sum.iter_mut()
            .zip(state)
            .for_each(|(sum, value)| *sum += value);
    }
    let tokens = (values.len() / width) as f32;
    sum.iter_mut().for_each(|sum| *sum /= tokens);
    sum
}

fn to_unit_length(state: &mut [f32]) {
    let length = state.iter().map(|value| value * value).sum::<f32>().sqrt();
    // As PyTorch does: a state of next to nothing stays one.
    let scale = 1.0 / length.max(1e-12);
    state.iter_mut().for_each(|value| *value *= scale);
}
