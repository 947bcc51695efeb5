//! Tokenizers of model directories, behind an interface of our own.
//!
//! A `tokenizer.json` is data from elsewhere: its size is bounded, its regular expressions are
//! tried before they meet a text, replacements that would blow it up are refused, its own
//! truncation and padding are switched off (both are ours, and counted), and a panic inside the
//! tokenizer becomes an error.

mod expressions;
mod growth;
mod windows;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

pub(crate) use self::windows::Pieces;
#[cfg(any(feature = "onnx", feature = "native"))]
pub(crate) use self::windows::{Room, Window};
use crate::{
    encode::model::Model,
    error::{Error, Result},
};

/// The largest tokenizers in use have 260,000 tokens and 35 MB.
const FILE_LIMIT: u64 = 128 << 20;

/// Terms are numbered below this, so that a table over them fits memory whatever a file says.
pub(crate) const TERM_LIMIT: u32 = 1 << 24;

/// Texts above this are refused: splitting one takes some fifty times its size in memory.
const TEXT_LIMIT: usize = 8 << 20;

/// A tokenizer.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    file: String,
    term_count: u32,
    pad: u32,
    pads_left: bool,
    lower_case: bool,
}

impl Tokenizer {
    /// Reads `path`, a `tokenizer.json`, with what `model` says about case and padding.
    ///
    /// # Errors
    /// When it is missing, too large, damaged, or has an expression that could run for ever.
    pub(crate) fn read(path: &Path, model: &Model) -> Result<Tokenizer> {
        if !path.is_file() {
            return Err(Error::not_found(
                format!("the tokenizer {}", path.display()),
                "a model directory needs its tokenizer.json; tokenizers of other formats are converted with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)",
            ));
        }
        let bytes = crate::encode::files::bounded(path, FILE_LIMIT)?;
        let file = path.display().to_string();
        checked(&bytes).map_err(|why| Error::model(&file, why))?;
        let mut inner = guarded(&file, || tokenizers::Tokenizer::from_bytes(&bytes))?;

        let padding = inner.get_padding().cloned();
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|why| Error::model(&file, why.to_string()))?;

        let vocabulary = inner.get_vocab(true);
        let highest = vocabulary.values().copied().max();
        let term_count = match highest {
            Some(highest) if highest < TERM_LIMIT => highest + 1,
            Some(highest) => {
                return Err(Error::limit(
                    format!("token ids of {file}"),
                    u64::from(TERM_LIMIT),
                    u64::from(highest),
                ));
            }
            None => return Err(Error::model(&file, "its vocabulary is empty")),
        };
        let left = padding
            .as_ref()
            .is_some_and(|padding| matches!(padding.direction, tokenizers::PaddingDirection::Left));
        Ok(Tokenizer {
            // Any id that the model knows will do: the attention mask hides it.
            pad: padding
                .map_or(0, |padding| padding.pad_id)
                .min(term_count - 1),
            pads_left: model.pads_left.unwrap_or(left),
            lower_case: model.lower_case,
            inner,
            file,
            term_count,
        })
    }

    /// One more than the largest token id.
    pub(crate) fn term_count(&self) -> u32 {
        self.term_count
    }

    /// The token with which shorter texts are filled up.
    pub(crate) fn pad(&self) -> u32 {
        self.pad
    }

    /// Whether they are filled up in front.
    pub(crate) fn pads_left(&self) -> bool {
        self.pads_left
    }

    /// The token of `id`.
    pub(crate) fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of `token`.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The tokens of `text` without special ones, each once, rising.
    pub(crate) fn distinct(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode("", text, Specials::Leave)?.get_ids().to_vec();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// The tokens of `prompt` and `text`, apart from the special ones around them.
    pub(crate) fn pieces(&self, prompt: &str, text: &str) -> Result<Pieces> {
        let encoding = self.encode(prompt, text, Specials::Add)?;
        let special = encoding.get_special_tokens_mask();
        let ids = encoding.get_ids();
        let start = special.iter().take_while(|mark| **mark == 1).count();
        let end = special.iter().rev().take_while(|mark| **mark == 1).count();
        // Special tokens around nothing are all found from the front.
        let end = ids.len() - end.min(ids.len() - start);
        let prompt_tokens = encoding.get_offsets()[start..end]
            .iter()
            .take_while(|offsets| offsets.1 <= prompt.len())
            .count();
        Ok(Pieces {
            prefix: ids[..start].to_vec(),
            prompt: ids[start..start + prompt_tokens].to_vec(),
            body: ids[start + prompt_tokens..end].to_vec(),
            places: encoding.get_offsets()[start + prompt_tokens..end]
                .iter()
                .map(|offsets| {
                    let place = |at: usize| at.saturating_sub(prompt.len()).min(text.len());
                    place(offsets.0)..place(offsets.1)
                })
                .collect(),
            suffix: ids[end..].to_vec(),
        })
    }

    fn encode(&self, prompt: &str, text: &str, specials: Specials) -> Result<tokenizers::Encoding> {
        if text.len() > TEXT_LIMIT {
            return Err(Error::limit(
                "bytes to encode at once (cut them into passages)",
                u64::try_from(TEXT_LIMIT).unwrap_or(u64::MAX),
                u64::try_from(text.len()).unwrap_or(u64::MAX),
            ));
        }
        let mut input = std::borrow::Cow::Borrowed(text);
        if !prompt.is_empty() {
            input = format!("{prompt}{text}").into();
        }
        if self.lower_case {
            input = input.to_lowercase().into();
        }
        guarded(&self.file, || match specials {
            Specials::Add => self.inner.encode(&*input, true),
            // Nobody asks where these stand.
            Specials::Leave => self.inner.encode_fast(&*input, false),
        })
    }
}

/// Refuses a `tokenizer.json` that could run for ever, or without bound.
fn checked(file: &[u8]) -> Result<(), String> {
    let file: serde_json::Value =
        serde_json::from_slice(file).map_err(|why| format!("not a tokenizer.json: {why}"))?;
    expressions::check(&file)?;
    growth::check(&file["normalizer"])
}

#[derive(Clone, Copy)]
enum Specials {
    Add,
    Leave,
}

/// Runs a call into the tokenizer; its panics, which a file may cause, become errors.
fn guarded<T>(file: &str, call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(why)) => Err(Error::model(file, format!("not a usable tokenizer: {why}"))),
        Err(_) => Err(Error::model(
            file,
            "the tokenizer it describes failed inside; the file is damaged or contradicts itself",
        )),
    }
}
