//! What an index holds, for other tools.

use crate::{
    error::{Error, Result},
    index::Snapshot,
    sparse::SparseVector,
};

/// The documents of a snapshot with their impacts as weights, 1 to 255, by rising key: what other
/// engines call quantized weights. An index of these under a
/// [`weight_limit`](crate::Config::weight_limit) of 255 answers every query with the same
/// documents in the same order.
///
/// ```
/// use sparsely::{Config, Document, Index, SparseVector, interchange};
/// let index = Index::in_memory(Config::new().weight_limit(4.0))?;
/// let mut writer = index.writer()?;
/// writer.upsert(Document::new("d", SparseVector::new([(7, 2.0), (9, 4.0)])?))?;
/// writer.commit()?;
/// let all: Vec<_> = interchange::impacts(&index.snapshot()?)?.collect::<Result<_, _>>()?;
/// assert_eq!(all, [("d".to_owned(), SparseVector::new([(7, 128.0), (9, 255.0)])?)]);
/// # Ok::<(), sparsely::Error>(())
/// ```
///
/// # Errors
/// When what is read is damaged; the iterator gives an error for a key that is not UTF-8, which the
/// formats cannot hold.
pub fn impacts(
    snapshot: &Snapshot,
) -> Result<impl ExactSizeIterator<Item = Result<(String, SparseVector)>> + '_> {
    let mut keys = snapshot.keys().collect::<Result<Vec<_>>>()?;
    keys.sort_unstable();
    Ok(keys.into_iter().map(|key| {
        let vector = snapshot.vector(&key)?.unwrap_or_default();
        match String::from_utf8(key.into_bytes()) {
            Ok(id) => Ok((id, vector)),
            Err(bad) => {
                let found = String::from_utf8_lossy(bad.as_bytes()).into_owned();
                Err(Error::invalid("key to export", "text in UTF-8", found))
            }
        }
    }))
}
