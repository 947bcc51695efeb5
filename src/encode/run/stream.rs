//! Many documents, in bounded memory.
//!
//! One thread reads and tokenizes the next part while the sessions run the present one. A part is
//! large enough that sorting it by length leaves little filling, and small enough to hold several.

use super::{Inputs, Run, Runner};
use crate::{
    error::{Error, Result},
    progress::Progress,
    sparse::SparseVector,
};

/// Texts of a part.
const TEXTS: usize = 1024;

/// Bytes of a part: long texts come in smaller parts.
const BYTES: usize = 4 << 20;

/// A part on its way: what the caller attached to each text, and the texts as inputs.
type Part<T> = (Vec<T>, Inputs);

impl<R: Run> Runner<R> {
    /// See the public methods of the encoders.
    pub(crate) fn stream<T: Send>(
        &self,
        documents: impl Iterator<Item = Result<(T, String)>> + Send,
        progress: &mut Progress<'_>,
        mut sink: impl FnMut(T, SparseVector) -> Result<()>,
    ) -> Result<u64> {
        let (send, receive) = crossbeam::channel::bounded::<Result<Part<T>>>(1);
        std::thread::scope(|scope| {
            let ahead = scope.spawn(move || {
                let mut documents = documents;
                let mut before = 0;
                loop {
                    let part = self.part(&mut documents, before);
                    let count = part.as_ref().map_or(0, |(tags, _)| tags.len());
                    let is_last = count == 0;
                    before += u64::try_from(count).unwrap_or(0);
                    // The receiver is gone when the work ended early.
                    if send.send(part).is_err() || is_last {
                        return;
                    }
                }
            });
            let outcome = (|| {
                let mut done = 0;
                for part in &receive {
                    let (tags, inputs) = part?;
                    let vectors = self.outputs(&inputs, &self.document)?;
                    for (tag, vector) in tags.into_iter().zip(vectors) {
                        sink(tag, vector)?;
                        done += 1;
                    }
                    progress.step("encoding", done, 0)?;
                }
                Ok(done)
            })();
            drop(receive);
            match ahead.join() {
                Ok(()) => outcome,
                Err(_) => Err(Error::model("tokenizer", "reading ahead failed")),
            }
        })
    }

    /// Reads and tokenizes the next part, after so many texts; an empty one is the end.
    fn part<T>(
        &self,
        documents: &mut impl Iterator<Item = Result<(T, String)>>,
        before: u64,
    ) -> Result<Part<T>> {
        let (mut tags, mut texts, mut bytes) = (Vec::new(), Vec::new(), 0);
        while texts.len() < TEXTS && bytes < BYTES {
            let Some(document) = documents.next() else {
                break;
            };
            let (tag, text) = document?;
            bytes += text.len();
            tags.push(tag);
            texts.push(text);
        }
        let inputs = self.inputs(&texts, before, &self.document)?;
        Ok((tags, inputs))
    }
}
