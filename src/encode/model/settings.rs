//! Prompts, lengths and padding: the small settings that lie beside a model.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;

use super::{Model, files::settings};
use crate::error::Result;

/// `config_sentence_transformers.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Prompts {
    prompts: HashMap<String, Option<String>>,
    default_prompt_name: Option<String>,
    max_active_dims: Option<usize>,
}

/// `sentence_bert_config.json`, whose keys newer versions also put into the module's own file.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Module {
    max_seq_length: Option<usize>,
    do_lower_case: Option<bool>,
}

/// `tokenizer_config.json`; the length is a float of 1e30 where there is no limit.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokenizer {
    model_max_length: Option<f64>,
    padding_side: Option<String>,
}

/// `config.json` of the transformer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Transformer {
    model_type: Option<String>,
    max_position_embeddings: Option<usize>,
}

/// A length above this is "no limit" in other words.
const LONGEST: f64 = 1_048_576.0;

pub(super) fn apply(model: &mut Model) -> Result<()> {
    let root = model.root.clone();
    let folder = model.tokenizer.parent().unwrap_or(&root).to_owned();

    let prompts: Prompts =
        settings(&root.join("config_sentence_transformers.json"))?.unwrap_or_default();
    model.query_prompt = prompts.of(&["query"]);
    model.document_prompt = prompts.of(&["document", "passage", "corpus"]);
    model.top = prompts.max_active_dims.filter(|top| *top > 0);

    let module: Module = near(&folder, &root, "sentence_bert_config.json")?;
    model.lower_case = module.do_lower_case.unwrap_or(false);

    let tokenizer: Tokenizer = near(&folder, &root, "tokenizer_config.json")?;
    model.pads_left = match tokenizer.padding_side.as_deref() {
        Some("left") => Some(true),
        Some(_) => Some(false),
        None => None,
    };
    let by_tokenizer = tokenizer
        .model_max_length
        .filter(|length| (1.0..=LONGEST).contains(length))
        .and_then(whole);

    let transformer: Transformer = near(&folder, &root, "config.json")?;
    let by_positions = transformer.longest();
    model.max_tokens = [module.max_seq_length.or(by_tokenizer), by_positions]
        .into_iter()
        .flatten()
        .min();
    Ok(())
}

impl Prompts {
    /// The prompt under the first of `names` there is, else the default one, else none.
    fn of(&self, names: &[&str]) -> String {
        let named = names.iter().find_map(|name| self.prompts.get(*name));
        let prompt = match named {
            Some(prompt) => prompt.as_ref(),
            None => self
                .default_prompt_name
                .as_ref()
                .and_then(|name| self.prompts.get(name)?.as_ref()),
        };
        prompt.cloned().unwrap_or_default()
    }
}

impl Transformer {
    /// How many positions the model has. RoBERTa's family spends two of them on its padding.
    fn longest(&self) -> Option<usize> {
        let positions = self.max_position_embeddings?;
        let kind = self.model_type.as_deref().unwrap_or_default();
        if kind.contains("roberta") || kind == "camembert" || kind == "mpnet" {
            Some(positions.saturating_sub(2).max(1))
        } else {
            Some(positions)
        }
    }
}

/// Reads `name` from the module's folder, or from the root.
fn near<T: Default + serde::de::DeserializeOwned>(
    folder: &Path,
    root: &Path,
    name: &str,
) -> Result<T> {
    match settings(&folder.join(name))? {
        Some(found) => Ok(found),
        None => Ok(settings(&root.join(name))?.unwrap_or_default()),
    }
}

/// A float that is a small whole number, as one.
fn whole(length: f64) -> Option<usize> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the caller filtered it to between 1 and 2^20; fractions are cut off"
    )]
    let length = length as u32;
    usize::try_from(length).ok()
}
