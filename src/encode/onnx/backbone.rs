//! A graph that gives hidden states, for a head that is elsewhere.
//!
//! Exports for dense embeddings give `last_hidden_state`; others list every layer as
//! `hidden_states.N`; a graph that was cut after a layer gives that layer's under either name. Which
//! output is meant is said by name or by layer, and found by shape where there is only one.

use std::path::{Path, PathBuf};

use super::{
    OnnxOptions,
    batch::{Batch, Budget, Padding},
    contract::{Kind, Output},
    graph::GraphFacts,
    runtime::environment,
    schedule::{Schedule, Session},
    session::{Graph, Setup},
    worker::Row,
};
use crate::{
    encode::{
        Fingerprint,
        files::inside,
        model::{Digest, Model},
        run::Texts,
        sae::{HiddenStates, TextKind, TokenStates},
        tokenize::Tokenizer,
    },
    error::{Error, Result},
};

/// The hidden states of an ONNX graph.
///
/// ```no_run
/// use sparsely::encode::{onnx::{OnnxBackbone, OnnxOptions}, sae::{HiddenStates, TextKind}};
/// let backbone = OnnxBackbone::open("models/minilm", OnnxOptions::new().threads(2), None, Some(4))?;
/// let states = backbone.hidden_states(&["fn main() {}"], TextKind::Document)?;
/// assert_eq!(states[0].values.len(), states[0].special.len() * backbone.width());
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Debug)]
pub struct OnnxBackbone {
    texts: Texts,
    schedule: Schedule<Layer>,
    width: usize,
    output: String,
    fingerprint: Fingerprint,
}

/// A session of which one output is wanted.
#[derive(Debug)]
struct Layer {
    graph: Graph,
    output: String,
    width: usize,
    file: String,
}

impl OnnxBackbone {
    /// Opens the graph in `directory` and takes the hidden states from the output `output`, or from
    /// that of `layer`, or from the only one there is. Of `options`, those count that are about
    /// texts, threads and devices.
    ///
    /// # Errors
    /// As [`OnnxOptions::open`], and when the output is missing or no hidden states.
    pub fn open(
        directory: impl AsRef<Path>,
        options: OnnxOptions,
        output: Option<&str>,
        layer: Option<u32>,
    ) -> Result<OnnxBackbone> {
        let mut model = Model::read(directory.as_ref())?;
        if let Some(name) = &options.graph {
            model.graph = Some(inside(&model.root, name, Path::new("OnnxOptions::graph"))?);
        }
        let path = model.graph()?.to_owned();
        let facts = GraphFacts::read(&path)?;
        let tokenizer = Tokenizer::read(&model.tokenizer, &model)?;
        let padding = Padding {
            token: tokenizer.pad(),
            left: tokenizer.pads_left(),
        };

        let environment = environment()?;
        let mut refusal = None;
        let mut opened = None;
        for device in options.device.choices() {
            let setup = Setup {
                threads: options.threads,
                device,
            };
            match Graph::open(environment, &path, setup) {
                Ok(graph) => {
                    opened = Some((graph, setup));
                    break;
                }
                Err(error) => refusal = Some(error),
            }
        }
        let Some((mut graph, setup)) = opened else {
            return Err(refusal.unwrap_or_else(|| {
                Error::unsupported("running a model here", "no device was left to try")
            }));
        };
        let file = path.display().to_string();
        let (output, width) = try_out(&mut graph, padding, output, layer)
            .map_err(|why| why.unwrap_or_else(|why| Error::model(&file, why)))?;

        let alone = facts.quantizes_batches || !graph.has_mask();
        let query = options.texts.query(&model, graph.length);
        let document = options.texts.document(&model, graph.length);
        let accelerated = setup.device.is_accelerator();
        let mut budget = Budget {
            tokens: options
                .batch_tokens
                .unwrap_or(if accelerated { 16_384 } else { 512 }),
            rows: usize::MAX,
            multiple: if accelerated { 64 } else { 1 },
            cap: query.room.tokens.max(document.room.tokens),
            longest: usize::MAX,
            term_count: width,
        };
        if alone {
            (budget.rows, budget.multiple) = (1, 1);
        }
        if let Some(rows) = graph.rows {
            (budget.rows, budget.tokens) = (rows, usize::MAX);
        }

        let mut digest = Digest::default();
        let mut files: Vec<PathBuf> = vec![path.clone(), model.tokenizer.clone()];
        files.extend(facts.external);
        files.iter().try_for_each(|file| digest.file(file))?;
        digest.setting(&output);
        digest.setting(&format!("{:?}", document.room));
        digest.setting(&document.prompt);
        digest.setting(if model.lower_case { "lower" } else { "as is" });

        let layer = |graph| Layer {
            graph,
            output: output.clone(),
            width,
            file: file.clone(),
        };
        let mut workers = vec![layer(graph)];
        while workers.len() < options.sessions {
            workers.push(layer(Graph::open(environment, &path, setup)?));
        }
        Ok(OnnxBackbone {
            fingerprint: Fingerprint::new("onnx hidden states", &[digest.bytes()]),
            schedule: Schedule::new(workers, budget, padding),
            texts: Texts {
                tokenizer,
                query,
                document,
            },
            width,
            output,
        })
    }

    /// The name of the output that the states come from.
    #[must_use]
    pub fn output(&self) -> &str {
        &self.output
    }
}

impl HiddenStates for OnnxBackbone {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint.clone()
    }

    fn width(&self) -> usize {
        self.width
    }

    fn longest(&self) -> usize {
        self.texts.longest()
    }

    fn hidden_states(&self, texts: &[&str], kind: TextKind) -> Result<Vec<TokenStates>> {
        self.texts
            .states(texts, kind, |inputs| self.schedule.run(inputs))
    }
}

impl Session for Layer {
    type Output = TokenStates;

    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    fn outputs(&mut self, batch: &Batch, rows: &[Row]) -> Result<Vec<TokenStates>> {
        let outputs = self.graph.run(batch)?;
        let (shape, values) = outputs.floats(&self.output)?;
        if shape != [batch.rows, batch.length, self.width] {
            return Err(Error::model(
                &self.file,
                format!(
                    "the output `{}` changes its meaning with the size of the batch; export it with dynamic axes for batch and sequence",
                    self.output
                ),
            ));
        }
        let states = rows.iter().enumerate().map(|(at, row)| {
            let first = at * batch.length + batch.spans[at].start;
            TokenStates {
                values: values[first * self.width..(first + row.tokens) * self.width].to_vec(),
                special: (0..row.tokens)
                    .map(|token| !row.own.contains(&token))
                    .collect(),
            }
        });
        Ok(states.collect())
    }
}

/// Runs the graph once and chooses its output: the name, and the width of a state.
fn try_out(
    graph: &mut Graph,
    padding: Padding,
    output: Option<&str>,
    layer: Option<u32>,
) -> Result<(String, usize), Result<Error, String>> {
    let batch = graph.trial(padding);
    let outputs = graph.run(&batch).map_err(Ok)?;
    let found = outputs.describe();
    choose(&found, (batch.rows, batch.length), output, layer).map_err(Err)
}

/// Names that exporters give the states of layer `n`.
const LAYER_NAMES: [&str; 3] = ["hidden_states.", "hidden_states_", "hidden_state_"];

fn choose(
    outputs: &[Output],
    trial: (usize, usize),
    output: Option<&str>,
    layer: Option<u32>,
) -> Result<(String, usize), String> {
    let width = |output: &Output| {
        let sizes: Vec<usize> = output
            .shape
            .iter()
            .map(|size| usize::try_from(*size).unwrap_or(0))
            .collect();
        match sizes[..] {
            [rows, length, width] if (rows, length) == trial && output.kind == Kind::Float => {
                Some(width)
            }
            _ => None,
        }
    };
    let states: Vec<(&str, usize)> = outputs
        .iter()
        .filter_map(|output| Some((output.name.as_str(), width(output)?)))
        .collect();
    let by_name = |name: &str| states.iter().find(|state| state.0 == name).copied();
    let names: Vec<_> = outputs.iter().map(|output| output.name.as_str()).collect();
    let found = |(name, width): (&str, usize)| Ok((name.to_owned(), width));
    if let Some(name) = output {
        return match by_name(name) {
            Some(state) => found(state),
            None => Err(format!(
                "its output {name:?} is missing or no hidden states [batch, sequence, width] of 32-bit floats; it gives {}",
                names.join(", ")
            )),
        };
    }
    if let Some(layer) = layer {
        let named = LAYER_NAMES
            .iter()
            .find_map(|name| by_name(&format!("{name}{layer}")));
        if let Some(state) = named {
            return found(state);
        }
        let lists_layers =
            |state: &(&str, usize)| LAYER_NAMES.iter().any(|name| state.0.starts_with(name));
        if states.iter().any(lists_layers) {
            return Err(format!(
                "it gives no hidden states of layer {layer}, but {}; name one as `output` in sae.json",
                names.join(", ")
            ));
        }
        // A graph that was cut after the layer: whatever it gives is that layer's.
    }
    if let Some(state) = by_name("last_hidden_state") {
        return found(state);
    }
    match states[..] {
        [state] => found(state),
        [] => Err(format!(
            "it gives {}, none of which are hidden states [batch, sequence, width] of 32-bit floats",
            names.join(", ")
        )),
        _ => Err(format!(
            "several of its outputs could be the hidden states: {}; name one as `output` in sae.json",
            names.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::onnx::session::TRIAL;

    fn output(name: &str, shape: &[i64]) -> Output {
        Output {
            name: name.to_owned(),
            kind: Kind::Float,
            shape: shape.to_vec(),
        }
    }

    #[test]
    fn name_layer_and_shape_choose_in_this_order() {
        let all = [
            output("last_hidden_state", &[2, 7, 8]),
            output("pooler_output", &[2, 8]),
            output("hidden_states.1", &[2, 7, 8]),
            output("hidden_states.2", &[2, 7, 8]),
        ];
        let name = |output, layer| choose(&all, TRIAL, output, layer).map(|found| found.0);
        assert_eq!(
            name(Some("hidden_states.1"), Some(2)).unwrap(),
            "hidden_states.1"
        );
        assert_eq!(name(None, Some(2)).unwrap(), "hidden_states.2");
        assert_eq!(name(None, None).unwrap(), "last_hidden_state");
        assert!(name(None, Some(3)).unwrap_err().contains("layer 3"));
        assert!(
            name(Some("pooler_output"), None)
                .unwrap_err()
                .contains("pooler_output")
        );

        let cut = [output("layer_output", &[2, 7, 16])];
        let found = choose(&cut, TRIAL, None, Some(12)).unwrap();
        assert_eq!(found, ("layer_output".to_owned(), 16));
        assert!(choose(&all[1..2], TRIAL, None, None).is_err());
        assert!(
            choose(&all[2..], TRIAL, None, None)
                .unwrap_err()
                .contains("several")
        );
    }
}
