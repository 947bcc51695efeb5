//! The matrices of a transformer, found by their names and checked against its sizes.
//!
//! They stay in the mapped file where they are 32-bit floats, and are widened when they are not.

use std::path::Path;

use super::config::{Config, Family};
use crate::{
    encode::{
        matrix::Matrix,
        tensors::{Tensor, Tensors},
    },
    error::{Error, Result},
};

/// Numbers of a tensor.
#[derive(Debug)]
pub(super) struct Values {
    tensor: Tensor,
    /// Where the file does not hold them as they are used.
    widened: Option<Vec<f32>>,
}

/// A matrix and what is added to its product.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) weight: Values,
    pub(super) bias: Values,
    /// What it takes.
    pub(super) inputs: usize,
    /// What it gives.
    pub(super) outputs: usize,
}

/// Weight and shift of a normalization.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Values,
    pub(super) shift: Values,
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) attended: Linear,
    pub(super) attention_norm: Norm,
    pub(super) widen: Linear,
    pub(super) narrow: Linear,
    pub(super) norm: Norm,
}

/// What tokens and positions begin as.
#[derive(Debug)]
pub(super) struct Embeddings {
    pub(super) words: Values,
    pub(super) positions: Values,
    /// The first type's; all tokens of a single text are of it.
    pub(super) kind: Option<Values>,
    pub(super) norm: Norm,
}

/// From hidden states to logits.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) transform: Linear,
    pub(super) norm: Norm,
    /// `None` where the head uses the embeddings of words.
    pub(super) decoder: Option<Values>,
    pub(super) bias: Values,
}

/// A file of weights with the sizes that it should have.
pub(super) struct Reader<'a> {
    tensors: Tensors,
    /// What stands in front of the names of the backbone.
    prefix: &'static str,
    config: &'a Config,
    file: String,
}

impl Values {
    fn new(tensor: &Tensor) -> Result<Values> {
        tensor.check_finite()?;
        let widened = match tensor.in_place() {
            Some(_) => None,
            None => Some(tensor.values()),
        };
        Ok(Values {
            tensor: tensor.clone(),
            widened,
        })
    }

    pub(super) fn get(&self) -> &[f32] {
        match &self.widened {
            Some(values) => values,
            None => self.tensor.in_place().unwrap_or_default(),
        }
    }
}

impl Linear {
    /// As it multiplies rows of inputs.
    pub(super) fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self.weight.get(), self.inputs).transposed()
    }
}

impl<'a> Reader<'a> {
    /// Maps `path`.
    pub(super) fn open(path: &Path, config: &'a Config) -> Result<Reader<'a>> {
        let tensors = Tensors::open(path)?;
        let own = match config.family {
            Family::Bert => "bert.",
            Family::DistilBert => "distilbert.",
            Family::Roberta => "roberta.",
        };
        // A backbone that was saved without its head has no prefix.
        let probe = format!("{own}embeddings.word_embeddings.weight");
        let prefix = if tensors.find(&probe).is_some() {
            own
        } else {
            ""
        };
        Ok(Reader {
            tensors,
            prefix,
            config,
            file: path.display().to_string(),
        })
    }

    pub(super) fn embeddings(&self) -> Result<Embeddings> {
        let Config {
            vocabulary,
            width,
            positions,
            family,
            ..
        } = *self.config;
        let name = |name: &str| format!("{}embeddings.{name}", self.prefix);
        let kind = match family {
            Family::DistilBert => None,
            Family::Bert | Family::Roberta => {
                let tensor = self.tensors.get(&name("token_type_embeddings.weight"))?;
                match tensor.shape() {
                    [kinds, found] if *kinds > 0 && *found == width => Some(Values::new(tensor)?),
                    found => return Err(wrong_shape(tensor, found, &[1, width])),
                }
            }
        };
        Ok(Embeddings {
            words: self.values(&[name("word_embeddings.weight")], &[vocabulary, width])?,
            positions: self.values(&[name("position_embeddings.weight")], &[positions, width])?,
            kind,
            norm: self.norm(&name("LayerNorm"))?,
        })
    }

    pub(super) fn layer(&self, at: usize) -> Result<Layer> {
        let Config { width, inner, .. } = *self.config;
        let (layers, names) = match self.config.family {
            Family::DistilBert => ("transformer.layer", &DISTILBERT),
            Family::Bert | Family::Roberta => ("encoder.layer", &BERT),
        };
        let name = |part: usize| format!("{}{layers}.{at}.{}", self.prefix, names[part]);
        Ok(Layer {
            query: self.linear(&name(0), width, width)?,
            key: self.linear(&name(1), width, width)?,
            value: self.linear(&name(2), width, width)?,
            attended: self.linear(&name(3), width, width)?,
            attention_norm: self.norm(&name(4))?,
            widen: self.linear(&name(5), width, inner)?,
            narrow: self.linear(&name(6), inner, width)?,
            norm: self.norm(&name(7))?,
        })
    }

    /// The head of a masked language model. Where it has a bias of its own and one of its decoder, the
    /// decoder's is the one that is added.
    pub(super) fn head(&self) -> Result<Head> {
        let Config {
            vocabulary, width, ..
        } = *self.config;
        let [transform, norm, decoder, bias, own_bias] = match self.config.family {
            Family::Bert => [
                "cls.predictions.transform.dense",
                "cls.predictions.transform.LayerNorm",
                "cls.predictions.decoder.weight",
                "cls.predictions.decoder.bias",
                "cls.predictions.bias",
            ],
            Family::DistilBert => [
                "vocab_transform",
                "vocab_layer_norm",
                "vocab_projector.weight",
                "vocab_projector.bias",
                "vocab_projector.bias",
            ],
            Family::Roberta => [
                "lm_head.dense",
                "lm_head.layer_norm",
                "lm_head.decoder.weight",
                "lm_head.decoder.bias",
                "lm_head.bias",
            ],
        };
        if self.tensors.find(&format!("{transform}.weight")).is_none() {
            return Err(Error::model(
                &self.file,
                format!(
                    "it has no {transform}.weight, so there is no head that gives logits of terms: a dense model, or one saved without its head"
                ),
            ));
        }
        let decoder = match self.tensors.find(decoder) {
            Some(_) => Some(self.values(&[decoder.to_owned()], &[vocabulary, width])?),
            None => None,
        };
        Ok(Head {
            transform: self.linear(transform, width, width)?,
            norm: self.norm(norm)?,
            decoder,
            bias: self.values(&[bias.to_owned(), own_bias.to_owned()], &[vocabulary])?,
        })
    }

    fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        Ok(Linear {
            weight: self.values(&[format!("{name}.weight")], &[outputs, inputs])?,
            bias: self.values(&[format!("{name}.bias")], &[outputs])?,
            inputs,
            outputs,
        })
    }

    /// A normalization, in the names of today or of the first checkpoints.
    fn norm(&self, name: &str) -> Result<Norm> {
        let width = self.config.width;
        let values = |new: &str, old: &str| {
            self.values(
                &[format!("{name}.{new}"), format!("{name}.{old}")],
                &[width],
            )
        };
        Ok(Norm {
            weight: values("weight", "gamma")?,
            shift: values("bias", "beta")?,
        })
    }

    /// The first of `names` there is, which has to be of `shape`.
    fn values(&self, names: &[String], shape: &[usize]) -> Result<Values> {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let tensor = self.tensors.first(&names)?;
        if tensor.shape() != shape {
            return Err(wrong_shape(tensor, tensor.shape(), shape));
        }
        Values::new(tensor)
    }
}

/// Query, key, value, what follows them, its normalization, the two products, the last normalization.
const BERT: [&str; 8] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
];

const DISTILBERT: [&str; 8] = [
    "attention.q_lin",
    "attention.k_lin",
    "attention.v_lin",
    "attention.out_lin",
    "sa_layer_norm",
    "ffn.lin1",
    "ffn.lin2",
    "output_layer_norm",
];

#[cold]
fn wrong_shape(tensor: &Tensor, found: &[usize], expected: &[usize]) -> Error {
    Error::model(
        tensor.place(),
        format!("its shape is {found:?}, but config.json makes it {expected:?}"),
    )
}
