//! The encoders that the program offers, by the name after `--encoder`.

use std::path::Path;

use sparsely::{
    Document, Encoder, Error, Result, StaticEncoder,
    encode::{Field, LexicalEncoder},
};

use crate::failure::Failure;

/// What the path and name of a passage count beside its text. They hold words that the text may
/// lack (the module, the class around a method), in very little text; counting them in full would
/// let a file name outrank what its functions do.
const CONTEXT_WEIGHT: f32 = 0.5;

/// Turns passages into documents and queries into vectors.
pub(crate) enum PassageEncoder {
    /// Counts the context as a field of its own.
    Lexical(LexicalEncoder),
    /// Reads the context as the first line of the text.
    Other(Box<dyn Encoder>),
}

impl PassageEncoder {
    /// `name` is `lexical`, `static` or the directory of a model.
    pub(crate) fn by_name(name: &str) -> Result<PassageEncoder, Failure> {
        match name {
            "lexical" => Ok(PassageEncoder::Lexical(LexicalEncoder::auto())),
            "static" => Ok(PassageEncoder::Other(Box::new(
                StaticEncoder::embedded().map_err(unusable)?,
            ))),
            directory if Path::new(directory).is_dir() => Ok(PassageEncoder::Other(
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
            PassageEncoder::Other(encoder) => &**encoder,
        }
    }

    /// The document of one passage, without its fields.
    pub(crate) fn document(&self, key: &str, context: &str, text: &str) -> Result<Document> {
        match self {
            PassageEncoder::Lexical(encoder) => lexical_document(encoder, key, context, text),
            PassageEncoder::Other(encoder) => {
                let both = format!("{context}\n{text}");
                Ok(Document::from_text(&**encoder, key, &both)?.text(text))
            }
        }
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
