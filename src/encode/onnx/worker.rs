//! One session with its head and its pool: a batch in, one vector a text out.

use std::ops::Range;

use super::{
    batch::Batch,
    contract::Contract,
    schedule::{Schedule, Session},
    session::{Graph, Head, Outputs},
};
use crate::{
    encode::{
        pool::{Pool, Pooling, SpecialTokens},
        prune::Prune,
        run::Run,
        tokenize::Window,
    },
    error::{Error, Result},
    sparse::SparseVector,
};

/// A session at work.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) graph: Graph,
    pub(crate) head: Option<Head>,
    pub(crate) pool: Pool,
    pub(crate) shape: Shape,
}

/// What all workers of an encoder share.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) contract: Contract,
    pub(crate) pooling: Pooling,
    pub(crate) term_count: usize,
    /// Bytes of logits that a head makes at once.
    pub(crate) head_block: usize,
    /// The graph, for messages.
    pub(crate) file: String,
}

/// A text of a batch: its cells, and which of them count.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// Own tokens, special ones left out, counted from the first of the text.
    pub(crate) own: Range<usize>,
    /// All tokens.
    pub(crate) tokens: usize,
}

impl Run for Schedule<Worker> {
    fn run(&self, inputs: &[Window]) -> Result<Vec<SparseVector>> {
        Schedule::run(self, inputs)
    }
}

impl Session for Worker {
    type Output = SparseVector;

    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    fn outputs(&mut self, batch: &Batch, rows: &[Row]) -> Result<Vec<SparseVector>> {
        let Worker {
            graph,
            head,
            pool,
            shape,
        } = self;
        let outputs = graph.run(batch)?;
        let cells = |at: usize, row: &Row| shape.cells(batch, at, row);
        let mut vectors = Vec::with_capacity(rows.len());
        let mut finish = |pool: &mut Pool| -> Result<()> {
            vectors.push(pool.finish(Prune::NONE)?);
            Ok(())
        };
        let context = |error: Error| shape.context(error);
        match &shape.contract {
            Contract::Logits(name) => {
                let width = shape.term_count;
                let logits = shape.floats(&outputs, name, &[batch.rows, batch.length, width])?;
                for (at, row) in rows.iter().enumerate() {
                    let cells = cells(at, row);
                    pool.add(&logits[cells.start * width..cells.end * width])
                        .map_err(context)?;
                    finish(pool)?;
                }
            }
            Contract::Hidden { output, width } => {
                let (width, head) = (*width, head.as_mut().ok_or_else(|| shape.no_head())?);
                let hidden = shape.floats(&outputs, output, &[batch.rows, batch.length, width])?;
                for (at, row) in rows.iter().enumerate() {
                    let cells = cells(at, row);
                    let hidden = &hidden[cells.start * width..cells.end * width];
                    for block in hidden.chunks(shape.head_tokens() * width) {
                        let outputs = head.run(block, width)?;
                        let (_, logits) = outputs.only_floats()?;
                        if logits.len() != block.len() / width * shape.term_count {
                            return Err(shape.no_head());
                        }
                        pool.add(logits).map_err(context)?;
                    }
                    finish(pool)?;
                }
            }
            Contract::Pooled(name) => {
                let width = shape.term_count;
                let values = shape.floats(&outputs, name, &[batch.rows, width])?;
                for row in values.chunks_exact(width).take(rows.len()) {
                    pool.add(row).map_err(context)?;
                    finish(pool)?;
                }
            }
            Contract::TokenWeights(name) => {
                let (_, weights) = outputs.floats(name)?;
                if weights.len() != batch.ids.len() {
                    return Err(shape.changed(name));
                }
                for (at, row) in rows.iter().enumerate() {
                    let pairs = cells(at, row).map(|cell| {
                        let term = u32::try_from(batch.ids[cell]).unwrap_or(u32::MAX);
                        (term, weights[cell])
                    });
                    pool.add_terms(pairs).map_err(context)?;
                    finish(pool)?;
                }
            }
            Contract::Pairs {
                terms,
                weights,
                per_token,
            } => {
                let ids = outputs.integers(terms)?;
                let (_, weights) = outputs.floats(weights)?;
                let groups = if *per_token {
                    batch.ids.len()
                } else {
                    batch.rows
                };
                if ids.len() != weights.len() || groups == 0 || ids.len() % groups != 0 {
                    return Err(shape.changed(terms));
                }
                let width = ids.len() / groups;
                for (at, row) in rows.iter().enumerate() {
                    let groups = if *per_token {
                        cells(at, row)
                    } else {
                        at..at + 1
                    };
                    let pairs = (groups.start * width..groups.end * width)
                        // Places without a term are marked by a weight of 0, or a negative id.
                        .filter(|at| weights[*at] != 0.0 && ids[*at] >= 0)
                        .map(|at| (u32::try_from(ids[at]).unwrap_or(u32::MAX), weights[at]));
                    pool.add_terms(pairs).map_err(context)?;
                    finish(pool)?;
                }
            }
        }
        Ok(vectors)
    }
}

impl Shape {
    /// The cells of the batch that count for text number `at`.
    fn cells(&self, batch: &Batch, at: usize, row: &Row) -> Range<usize> {
        let first = at * batch.length + batch.spans[at].start;
        match self.pooling.special_tokens {
            SpecialTokens::Keep => first..first + row.tokens,
            SpecialTokens::Drop => first + row.own.start..first + row.own.end,
        }
    }

    fn head_tokens(&self) -> usize {
        (self.head_block / (4 * self.term_count.max(1))).max(1)
    }

    fn floats<'a>(
        &self,
        outputs: &'a Outputs<'_>,
        name: &str,
        shape: &[usize],
    ) -> Result<&'a [f32]> {
        let (found, data) = outputs.floats(name)?;
        if found == shape {
            Ok(data)
        } else {
            Err(self.changed(name))
        }
    }

    #[cold]
    fn changed(&self, name: &str) -> Error {
        Error::model(
            &self.file,
            format!(
                "the output `{name}` changes its meaning with the size of the batch; export it with dynamic axes for batch and sequence"
            ),
        )
    }

    #[cold]
    fn no_head(&self) -> Error {
        Error::model(
            &self.file,
            format!(
                "the head beside it does not give {} logits a token",
                self.term_count
            ),
        )
    }

    /// Names the graph in an error of the pool, which knows no files.
    #[cold]
    fn context(&self, error: Error) -> Error {
        Error::model(&self.file, error.to_string())
    }
}
