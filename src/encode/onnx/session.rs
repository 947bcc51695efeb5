//! One loaded graph, and the only file that hands tensors to the runtime.
//!
//! What a graph takes is found from its inputs: the tokens, and, where it asks, attention mask,
//! token types and positions, in 32 or 64 bits. An input that is none of these is refused by name.

use std::{fmt, path::Path};

use ort::{
    environment::Environment,
    session::{
        RunOptions, Session, SessionInputValue, SessionOutputs, builder::GraphOptimizationLevel,
    },
    value::{Outlet, Tensor, TensorElementType},
};

use super::{
    batch::{Batch, Padding},
    contract::{Kind, Output},
    device::Device,
};
use crate::error::{Error, Result};

/// Texts and tokens of a trial, which occur in no other dimension of a model.
pub(crate) const TRIAL: (usize, usize) = (2, 7);

/// A graph from tokens to something.
#[derive(Debug)]
pub(crate) struct Graph {
    session: Session,
    giving_back: Option<GivingBack>,
    file: String,
    inputs: Vec<Input>,
    /// A number of texts that the graph insists on.
    pub(crate) rows: Option<usize>,
    /// A number of tokens that the graph insists on.
    pub(crate) length: Option<usize>,
}

#[derive(Debug)]
struct Input {
    name: String,
    role: Role,
    wide: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ids,
    Mask,
    Types,
    Positions,
}

/// How sessions are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Threads that share one operator.
    pub(crate) threads: usize,
    /// Where they run.
    pub(crate) device: Device,
}

/// Loads `path` as `setup` says.
fn load(environment: &Environment, path: &Path, setup: Setup) -> Result<Session> {
    let file = path.display().to_string();
    let providers = setup.device.providers()?;
    let build = || -> std::result::Result<Session, ort::Error> {
        let builder = Session::builder(environment)?
            // Failures come back as errors; the runtime would print them as well.
            .with_log_level(ort::logging::LogLevel::Fatal)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(setup.threads)?
            .with_inter_threads(1)?
            // A search library does not keep a core busy between two runs.
            .with_intra_op_spinning(false)?
            // Patterns of memory are kept per shape, and shapes vary.
            .with_memory_pattern(false)?;
        let mut builder = builder.with_execution_providers(providers)?;
        builder.commit_from_file(path)
    };
    build().map_err(|why| match setup.device {
        Device::Cpu => Error::model(file, why.message()),
        device => Error::unsupported(
            format!("the device {device}"),
            format!(
                "{}; use a build of ONNX Runtime that has it, with its driver and libraries (docs/models.md), or the device cpu",
                why.message().trim_end_matches(['\n', '.'])
            ),
        ),
    })
}

impl Graph {
    /// Loads the graph at `path`.
    pub(crate) fn open(environment: &Environment, path: &Path, setup: Setup) -> Result<Graph> {
        let session = load(environment, path, setup)?;
        let file = path.display().to_string();
        let inputs = session
            .inputs()
            .iter()
            .map(|outlet| input(&file, outlet))
            .collect::<Result<Vec<_>>>()?;
        let ids = session
            .inputs()
            .iter()
            .zip(&inputs)
            .find(|(_, input)| input.role == Role::Ids);
        let Some((ids, _)) = ids else {
            return Err(Error::model(
                file,
                "it has no input `input_ids`, so it takes no tokens",
            ));
        };
        let shape = ids.dtype().tensor_shape().map(|shape| shape.to_vec());
        let Some([rows, length]) = shape.as_deref() else {
            return Err(Error::model(
                file,
                "its input `input_ids` is not of the shape [batch, sequence]",
            ));
        };
        let fixed = |size: i64| usize::try_from(size).ok().filter(|size| *size > 0);
        let giving_back = (setup.device == Device::Cpu)
            .then(GivingBack::new)
            .transpose()
            .map_err(|why| Error::model(&file, why.message()))?;
        Ok(Graph {
            rows: fixed(*rows),
            length: fixed(*length),
            session,
            giving_back,
            file,
            inputs,
        })
    }

    /// Whether texts may be filled up: without a mask the model would read the filling.
    pub(crate) fn has_mask(&self) -> bool {
        self.inputs.iter().any(|input| input.role == Role::Mask)
    }

    /// Runs a batch.
    pub(crate) fn run(&mut self, batch: &Batch) -> Result<Outputs<'_>> {
        self.run_as(batch, false)
    }

    /// The batch with which graphs are tried out.
    pub(crate) fn trial(&self, padding: Padding) -> Batch {
        let length = self.length.unwrap_or(TRIAL.1);
        let tokens = vec![padding.token; length];
        let texts = vec![tokens.as_slice(); self.rows.unwrap_or(TRIAL.0)];
        Batch::new(&texts, length, padding)
    }

    /// Has the runtime give back the memory that it keeps for later runs. It does so at the end of
    /// a run, so a small one follows, of which nothing is wanted, not even its success.
    pub(crate) fn give_back(&mut self, padding: Padding) {
        let _ = self.run_as(&self.trial(padding), true);
    }

    fn run_as(&mut self, batch: &Batch, gives_back: bool) -> Result<Outputs<'_>> {
        let shape = [batch.rows, batch.length];
        let zeros = vec![0; batch.ids.len()];
        let mut values: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let data = match input.role {
                Role::Ids => &batch.ids,
                Role::Mask => &batch.mask,
                Role::Positions => &batch.positions,
                Role::Types => &zeros,
            };
            let value = tensor(shape, data, input.wide)
                .map_err(|why| Error::model(&self.file, why.message()))?;
            values.push((&input.name, value));
        }
        let ran = match &self.giving_back {
            Some(GivingBack(options)) if gives_back => {
                self.session.run_with_options(values, options)
            }
            _ => self.session.run(values),
        };
        let outputs = ran.map_err(|why| {
            Error::model(
                &self.file,
                format!(
                    "a run with {} texts of {} tokens failed: {}",
                    batch.rows,
                    batch.length,
                    why.message()
                ),
            )
        })?;
        Ok(Outputs {
            outputs,
            file: &self.file,
        })
    }
}

/// Options of a run after which the runtime gives back the memory that no tensor holds.
struct GivingBack(RunOptions);

impl GivingBack {
    fn new() -> std::result::Result<GivingBack, ort::Error> {
        let mut options = RunOptions::new()?;
        options.set("memory.enable_memory_arena_shrinkage", "cpu:0")?;
        Ok(GivingBack(options))
    }
}

impl fmt::Debug for GivingBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GivingBack")
    }
}

fn input(file: &str, outlet: &Outlet) -> Result<Input> {
    let name = outlet.name();
    let role = match name {
        "input_ids" | "input.1" | "tokens" => Role::Ids,
        "attention_mask" | "input_mask" | "mask" => Role::Mask,
        "token_type_ids" | "segment_ids" => Role::Types,
        "position_ids" => Role::Positions,
        _ => {
            let hint = if name.contains("past") || name.contains("cache") {
                "; export it without a cache (use_cache=False)"
            } else {
                ""
            };
            return Err(Error::model(
                file,
                format!(
                    "it asks for the input `{name}`; known are input_ids, attention_mask, token_type_ids and position_ids{hint}"
                ),
            ));
        }
    };
    let wide = match outlet.dtype().tensor_type() {
        Some(TensorElementType::Int64) => true,
        Some(TensorElementType::Int32) => false,
        other => {
            return Err(Error::model(
                file,
                format!("its input `{name}` holds {other:?}, expected int64 or int32"),
            ));
        }
    };
    Ok(Input {
        name: name.to_owned(),
        role,
        wide,
    })
}

fn tensor(
    shape: [usize; 2],
    data: &[i64],
    wide: bool,
) -> std::result::Result<SessionInputValue<'static>, ort::Error> {
    if wide {
        return Ok(Tensor::from_array((shape, data.to_vec()))?.into());
    }
    let narrow: Vec<i32> = data
        .iter()
        // Token ids are below 2^24.
        .map(|value| i32::try_from(*value).unwrap_or(i32::MAX))
        .collect();
    Ok(Tensor::from_array((shape, narrow))?.into())
}

/// A second graph, from hidden states `[n, width]` or `[1, n, width]` to logits.
#[derive(Debug)]
pub(crate) struct Head {
    session: Session,
    file: String,
    input: String,
    has_batch: bool,
}

impl Head {
    /// Loads the graph at `path`.
    pub(crate) fn open(environment: &Environment, path: &Path, setup: Setup) -> Result<Head> {
        let session = load(environment, path, setup)?;
        let file = path.display().to_string();
        let refuse = |why: &str| Error::model(&file, why);
        let [outlet] = session.inputs() else {
            return Err(refuse("a head takes one input, hidden states"));
        };
        let rank = outlet.dtype().tensor_shape().map_or(0, |shape| shape.len());
        if !matches!(rank, 2 | 3)
            || outlet.dtype().tensor_type() != Some(TensorElementType::Float32)
        {
            return Err(refuse(
                "its input is not hidden states of 32-bit floats, [n, width] or [batch, n, width]",
            ));
        }
        Ok(Head {
            input: outlet.name().to_owned(),
            has_batch: rank == 3,
            session,
            file,
        })
    }

    /// The logits of `hidden`, whole tokens of `width` values each.
    pub(crate) fn run(&mut self, hidden: &[f32], width: usize) -> Result<Outputs<'_>> {
        let tokens = hidden.len() / width.max(1);
        let refuse = |why: ort::Error| Error::model(&self.file, why.message());
        let value: SessionInputValue<'_> = if self.has_batch {
            Tensor::from_array(([1, tokens, width], hidden.to_vec()))
                .map_err(refuse)?
                .into()
        } else {
            Tensor::from_array(([tokens, width], hidden.to_vec()))
                .map_err(refuse)?
                .into()
        };
        let outputs = self
            .session
            .run(vec![(self.input.as_str(), value)])
            .map_err(refuse)?;
        Ok(Outputs {
            outputs,
            file: &self.file,
        })
    }
}

/// What a run gave.
pub(crate) struct Outputs<'a> {
    outputs: SessionOutputs<'a>,
    file: &'a str,
}

impl Outputs<'_> {
    /// Names, kinds and shapes of all outputs.
    pub(crate) fn describe(&self) -> Vec<Output> {
        self.outputs
            .iter()
            .map(|(name, value)| {
                let kind = match value.dtype().tensor_type() {
                    Some(TensorElementType::Float32) => Kind::Float,
                    Some(TensorElementType::Int64 | TensorElementType::Int32) => Kind::Integer,
                    other => Kind::Other(other.map_or("no tensor".to_owned(), |kind| {
                        format!("{kind:?}").to_lowercase()
                    })),
                };
                let shape = value.dtype().tensor_shape();
                Output {
                    name: name.to_owned(),
                    kind,
                    shape: shape.map_or(Vec::new(), |shape| shape.to_vec()),
                }
            })
            .collect()
    }

    /// The floats of the output `name`, with its shape.
    pub(crate) fn floats(&self, name: &str) -> Result<(Vec<usize>, &[f32])> {
        let value = self.value(name)?;
        let (shape, data) = value
            .try_extract_tensor::<f32>()
            .map_err(|why| Error::model(self.file, why.message()))?;
        let shape = shape
            .iter()
            .map(|size| usize::try_from(*size).unwrap_or(0))
            .collect();
        Ok((shape, data))
    }

    /// The floats of the only output.
    pub(crate) fn only_floats(&self) -> Result<(Vec<usize>, &[f32])> {
        match self.outputs.keys().next() {
            Some(name) => self.floats(name),
            None => Err(Error::model(self.file, "it gave no output")),
        }
    }

    /// The integers of the output `name`.
    pub(crate) fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let value = self.value(name)?;
        if let Ok((_, data)) = value.try_extract_tensor::<i64>() {
            return Ok(data.to_vec());
        }
        let (_, data) = value
            .try_extract_tensor::<i32>()
            .map_err(|why| Error::model(self.file, why.message()))?;
        Ok(data.iter().map(|value| i64::from(*value)).collect())
    }

    fn value(&self, name: &str) -> Result<&ort::value::DynValue> {
        self.outputs
            .get(name)
            .ok_or_else(|| Error::model(self.file, format!("it gave no output `{name}`")))
    }
}

#[cfg(all(test, feature = "onnx-dynamic"))]
mod tests {
    use super::*;
    use crate::encode::onnx::runtime::environment;

    /// Nothing asks whether it succeeded, so that it does is asked here.
    #[test]
    #[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn memory_is_given_back() {
        let Ok(environment) = environment() else {
            println!("skipped: no ONNX Runtime");
            return;
        };
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/narrow/model.onnx");
        let setup = Setup {
            threads: 1,
            device: Device::Cpu,
        };
        let mut graph = Graph::open(environment, &model, setup).unwrap();
        let batch = graph.trial(Padding {
            token: 0,
            left: false,
        });
        assert!(graph.giving_back.is_some());
        graph.run_as(&batch, true).unwrap();
    }
}
