//! `latents`: which passages fire a latent, and which latents a passage fires.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use sparsely::{
    Config, Encoder, Error, Index, Query, Result, Searcher, Snapshot, SparseVector, TermId,
};

use crate::print::answer;

/// Arguments of `latents`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// A folder with sae.json
    #[arg(value_name = "DIR")]
    model: PathBuf,

    /// An index of texts that were encoded with it
    #[arg(value_name = "INDEX")]
    index: PathBuf,

    /// The passages that fire this latent most
    #[arg(long, value_name = "ID")]
    latent: Option<u32>,

    /// The latents that the passage of this key fires
    #[arg(long, value_name = "KEY", conflicts_with = "latent")]
    key: Option<String>,

    /// The latents that this text fires, as a query
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["latent", "key"])]
    text: Option<String>,

    /// How many to show
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Answer {
    fingerprint: String,
    documents: u64,
    latents: Vec<Latent>,
}

/// A latent, and the passages that fire it most.
#[derive(Serialize)]
struct Latent {
    latent: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Its weight in the text that was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f32>,
    passages: Vec<Passage>,
}

#[derive(Serialize)]
struct Passage {
    key: String,
    weight: f32,
    /// Its beginning.
    text: String,
}

/// Passages that say what a latent of a text is about.
const SHOWN_OF_EACH: usize = 2;
/// Bytes of a passage's beginning.
const BEGINNING: usize = 100;

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let encoder = sparsely::encode::open(&arguments.model)?;
    let snapshot =
        Index::open_with(&arguments.index, Config::for_encoder(&*encoder))?.snapshot()?;
    let text = match (&arguments.key, &arguments.text) {
        (Some(key), _) => {
            let missing = || {
                Error::invalid(
                    "--key",
                    "the key of a passage that was stored with its text",
                    key.clone(),
                )
            };
            let document = snapshot.document(key.as_str())?.ok_or_else(missing)?;
            Some(encoder.encode_document(document.text().ok_or_else(missing)?)?)
        }
        (None, Some(text)) => Some(encoder.encode_query(text)?),
        (None, None) => None,
    };
    let latents = match (arguments.latent, text) {
        (Some(latent), _) => {
            if latent >= encoder.term_count() {
                return Err(Error::invalid(
                    "--latent",
                    format!("below {}", encoder.term_count()),
                    latent.to_string(),
                ));
            }
            vec![look(&*encoder, &snapshot, latent, None, arguments.top)?]
        }
        (None, Some(vector)) => {
            let mut fired: Vec<(TermId, f32)> = vector.iter().collect();
            fired.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            fired.truncate(arguments.top);
            let looked = fired.into_iter().map(|(latent, weight)| {
                look(
                    &*encoder,
                    &snapshot,
                    latent.get(),
                    Some(weight),
                    SHOWN_OF_EACH,
                )
            });
            looked.collect::<Result<_>>()?
        }
        (None, None) => {
            return Err(Error::invalid(
                "what to show",
                "--latent, --key or --text",
                "none of them",
            ));
        }
    };
    let found = Answer {
        fingerprint: encoder.fingerprint().to_string(),
        documents: snapshot.document_count(),
        latents,
    };
    answer(&found, arguments.json, || found.to_text())
}

/// The passages that fire `latent` most: a query of that latent alone finds them.
fn look(
    encoder: &dyn Encoder,
    snapshot: &Snapshot,
    latent: u32,
    weight: Option<f32>,
    top: usize,
) -> Result<Latent> {
    let alone = SparseVector::new([(latent, 1.0)])?;
    let hits = snapshot.search(&Query::new(alone).top(top))?;
    let mut passages = Vec::new();
    for hit in hits.iter() {
        let stored = snapshot.document(hit.key().clone())?;
        let text = stored
            .as_ref()
            .and_then(|stored| stored.text())
            .unwrap_or_default();
        let mut end = text.len().min(BEGINNING);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let text = text[..end].split_whitespace().collect::<Vec<_>>().join(" ");
        passages.push(Passage {
            key: hit.key().to_string(),
            weight: hit.score(),
            text,
        });
    }
    let label = encoder
        .term(TermId::from(latent))
        .map(|label| label.into_owned());
    Ok(Latent {
        latent,
        label,
        weight,
        passages,
    })
}

impl Answer {
    fn to_text(&self) -> String {
        let mut text = format!("{} documents, {}", self.documents, self.fingerprint);
        for latent in &self.latents {
            text += &format!("\nlatent {}", latent.latent);
            if let Some(label) = &latent.label {
                text += &format!(" ({label})");
            }
            if let Some(weight) = latent.weight {
                text += &format!(", weight {weight:.3}");
            }
            for passage in &latent.passages {
                text += &format!(
                    "\n  {:.3}  {}  {}",
                    passage.weight, passage.key, passage.text
                );
            }
        }
        text
    }
}
