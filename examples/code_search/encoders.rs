//! The encoders that the program offers, by the name after `--encoder`.

use std::path::Path;

use sparsely::{
    Document, Encoder, Error, Index, Result, StaticEncoder,
    encode::{Field, LexicalEncoder},
};

use crate::failure::Failure;

/// What the path and name of a passage count beside its text. They hold words that the text may
/// lack (the module, the class around a method), in very little text; counting them in full would
/// let a file name outrank what its functions do.
const CONTEXT_WEIGHT: f32 = 0.5;

/// The encoder of a new index: of questions about code it answers more than words alone do (nDCG@10
/// on CoSQA 0.475 to 0.412, on HumanEval-X 0.731 to 0.635), for an index twice as large.
const DEFAULT: &str = "static";

/// Turns passages into documents and queries into vectors.
pub(crate) enum PassageEncoder {
    /// Counts the context as a field of its own.
    Lexical(LexicalEncoder),
    /// Reads the context as a comment above the text, so that it is not taken for the signature.
    Static(Box<StaticEncoder>),
    /// Reads the context as the first line of the text.
    Model(Box<dyn Encoder>),
}

impl PassageEncoder {
    /// The encoder of that name; without one, that of the index in `dir`, or the default where there
    /// is none: so an index of an earlier default goes on as it was.
    pub(crate) fn choose(name: Option<&str>, dir: &Path) -> Result<PassageEncoder, Failure> {
        let own = || built_with(dir).unwrap_or(DEFAULT);
        PassageEncoder::by_name(name.unwrap_or_else(own))
    }

    /// Whether the encoder is the one that a new index gets.
    pub(crate) fn is_default(&self) -> bool {
        matches!(self, PassageEncoder::Static(_))
    }

    /// `name` is `lexical`, `static` or the directory of a model.
    fn by_name(name: &str) -> Result<PassageEncoder, Failure> {
        match name {
            "lexical" => Ok(PassageEncoder::Lexical(LexicalEncoder::auto())),
            "static" => {
                let encoder = StaticEncoder::embedded().map_err(unusable)?;
                Ok(PassageEncoder::Static(Box::new(encoder)))
            }
            directory if Path::new(directory).is_dir() => Ok(PassageEncoder::Model(
                sparsely::encode::open(directory).map_err(unusable)?,
            )),
            other => Err(Failure::usage(format!(
                "--encoder {other}: neither `lexical` nor `static` nor a directory with a model"
            ))),
        }
    }

    pub(crate) fn as_encoder(&self) -> &dyn Encoder {
        match self {
            PassageEncoder::Lexical(encoder) => encoder,
            PassageEncoder::Static(encoder) => &**encoder,
            PassageEncoder::Model(encoder) => &**encoder,
        }
    }

    /// The document of one passage, without its fields.
    pub(crate) fn document(&self, key: &str, context: &str, text: &str) -> Result<Document> {
        match self {
            PassageEncoder::Lexical(encoder) => lexical_document(encoder, key, context, text),
            PassageEncoder::Static(encoder) => {
                let both = format!("// {context}\n{text}");
                Ok(Document::from_text(&**encoder, key, &both)?.text(text))
            }
            PassageEncoder::Model(encoder) => {
                let both = format!("{context}\n{text}");
                Ok(Document::from_text(&**encoder, key, &both)?.text(text))
            }
        }
    }
}

/// The name of the encoder that an index has, where it is one of those with names. An index that
/// cannot be opened says why when it is used.
fn built_with(dir: &Path) -> Option<&'static str> {
    let encoder = Index::open(dir).ok()?.stats().ok()?.encoder?;
    match encoder.split_once(':')?.0 {
        "lexical-auto" => Some("lexical"),
        "static" => Some("static"),
        _ => None,
    }
}

fn unusable(error: Error) -> Failure {
    Failure::new("encoder", format!("--encoder: {error}"))
}

fn lexical_document(
    encoder: &LexicalEncoder,
    key: &str,
    context: &str,
    text: &str,
) -> Result<Document> {
    let vector = encoder.encode_fields(&[
        Field { text, weight: 1.0 },
        Field {
            text: context,
            weight: CONTEXT_WEIGHT,
        },
    ])?;
    let terms = vector.terms().to_vec();
    let labels = terms
        .into_iter()
        .filter_map(|term| Some((term, encoder.term(term)?.into_owned())));
    Ok(Document::new(key, vector).labels(labels).text(text))
}
