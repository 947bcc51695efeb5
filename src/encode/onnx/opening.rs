//! Loading a model's sessions, and finding by a trial run what its graph gives.

use std::path::{Path, PathBuf};

use super::{
    Device, OnnxOptions,
    batch::{Budget, Padding},
    contract::{Contract, Trial, detect},
    runtime::environment,
    session::{Graph, Head, Setup},
    worker::{Shape, Worker},
};
use crate::{
    encode::{
        inference_free::padding_allowed,
        model::Model,
        pool::{Activation, Combine, Pool, Pooling, SpecialTokens},
        tokenize::{TERM_LIMIT, Tokenizer},
    },
    error::{Error, Result},
};

/// Loads the sessions, and finds by a trial run what the graph gives.
pub(super) fn open_workers(
    model: &Model,
    path: &Path,
    options: &OnnxOptions,
    tokenizer: &Tokenizer,
) -> Result<(Vec<Worker>, Device, Shape)> {
    let environment = environment()?;
    let mut refusals = Vec::new();
    for device in options.device.choices() {
        let setup = Setup {
            threads: options.threads,
            device,
        };
        match Graph::open(environment, path, setup) {
            Ok(mut graph) => {
                let mut head = open_head(model, setup)?;
                let shape = try_out(
                    &mut graph,
                    head.as_mut(),
                    path,
                    options,
                    tokenizer,
                    model.pooling,
                )?;
                let mut workers = vec![worker(graph, head, &shape)];
                while workers.len() < options.sessions {
                    let graph = Graph::open(environment, path, setup)?;
                    workers.push(worker(graph, open_head(model, setup)?, &shape));
                }
                return Ok((workers, device, shape));
            }
            Err(error) if device != Device::Cpu && options.device == Device::Auto => {
                refusals.push(error);
            }
            Err(error) => return Err(error),
        }
    }
    // The processor is always a choice of `Auto`, and its failure returned above.
    Err(refusals
        .pop()
        .unwrap_or_else(|| Error::unsupported("running a model here", "no device was left to try")))
}

fn open_head(model: &Model, setup: Setup) -> Result<Option<Head>> {
    let open = |path: &PathBuf| Head::open(environment()?, path, setup);
    model.head.as_ref().map(open).transpose()
}

fn worker(graph: Graph, head: Option<Head>, shape: &Shape) -> Worker {
    Worker {
        graph,
        head,
        pool: Pool::new(shape.pooling, shape.term_count),
        shape: shape.clone(),
    }
}

/// Bytes of logits that a head makes at once: enough tokens for the matrix kernels, little enough
/// to stay near the caches.
const HEAD_BLOCK: usize = 32 << 20;

fn try_out(
    graph: &mut Graph,
    head: Option<&mut Head>,
    path: &Path,
    options: &OnnxOptions,
    tokenizer: &Tokenizer,
    own: Option<Pooling>,
) -> Result<Shape> {
    let file = path.display().to_string();
    let refuse = |why: String| Error::model(&file, why);
    let batch = graph.trial(Padding {
        token: tokenizer.pad(),
        left: false,
    });
    let known = usize::try_from(tokenizer.term_count()).unwrap_or(usize::MAX);
    let terms = match options.terms {
        Some(count) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            count..count.saturating_add(1)
        }
        None => known..known + padding_allowed(known) + 1,
    };
    let size = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    let trial = Trial {
        rows: size(batch.rows),
        tokens: size(batch.length),
        terms: terms.clone(),
        has_head: head.is_some(),
    };
    let outputs = graph.run(&batch)?;
    let (contract, count) = detect(&outputs.describe(), &trial).map_err(refuse)?;
    let count = match (&contract, head) {
        (Contract::Hidden { output, width }, Some(head)) => {
            let (_, hidden) = outputs.floats(output)?;
            let logits = head.run(&hidden[..*width], *width)?;
            let (_, logits) = logits.only_floats()?;
            Some(logits.len())
        }
        _ => count,
    };
    let count = count.unwrap_or(terms.start);
    if !terms.contains(&count) || count == 0 || size(count) > i64::from(TERM_LIMIT) {
        return Err(refuse(format!(
            "it gives {count} logits a token, but the tokenizer has {known} tokens: they belong to different vocabularies"
        )));
    }
    let given = options.pooling.or(own);
    let pooling = match &contract {
        Contract::Pooled(_)
        | Contract::Pairs {
            per_token: false, ..
        } => AS_IT_IS,
        Contract::TokenWeights(_) => given.unwrap_or(Pooling {
            special_tokens: SpecialTokens::Drop,
            ..AS_IT_IS
        }),
        _ => given.unwrap_or(Pooling::SPLADE),
    };
    Ok(Shape {
        contract,
        pooling,
        term_count: count,
        head_block: HEAD_BLOCK,
        file,
    })
}

/// For weights that are final.
const AS_IT_IS: Pooling = Pooling {
    combine: Combine::Max,
    activation: Activation::Linear,
    special_tokens: SpecialTokens::Keep,
};

/// How many tokens share a run.
pub(super) fn budget(options: &OnnxOptions, shape: &Shape, device: Device) -> Budget {
    let accelerated = device.is_accelerator();
    let wanted = options
        .batch_tokens
        .unwrap_or(if accelerated { 16_384 } else { 512 });
    let longest = match shape.contract {
        Contract::Logits(_) => {
            let token = 4 * u64::try_from(shape.term_count.max(1)).unwrap_or(u64::MAX);
            usize::try_from(options.logits_budget / token).unwrap_or(usize::MAX)
        }
        _ => usize::MAX,
    };
    Budget {
        tokens: wanted.min(longest).max(1),
        rows: usize::MAX,
        multiple: if accelerated { 64 } else { 1 },
        cap: usize::MAX,
        longest,
        term_count: shape.term_count,
    }
}
