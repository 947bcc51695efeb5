//! Ground truth of the Big-ANN tracks: `uint32` queries, `uint32` k; `int32` ids, best first, k a
//! query; `float32` scores in the same order; all little-endian.

use std::{fs, path::Path};

use super::{refused, unreadable};
use crate::error::{Error, Result};

const HEADER_LEN: usize = 8;

/// The true results of a set of queries.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroundTruth {
    k: usize,
    ids: Vec<i32>,
    scores: Vec<f32>,
}

impl GroundTruth {
    /// Nothing yet, with `k` results a query to come.
    #[must_use]
    pub fn new(k: u32) -> GroundTruth {
        GroundTruth {
            k: k as usize,
            ..GroundTruth::default()
        }
    }

    /// Adds a query's results, best first: those over `k` are left out, missing ones filled up with
    /// id -1 and score 0.
    pub fn push(&mut self, results: impl IntoIterator<Item = (i32, f32)>) {
        let missing = std::iter::repeat((-1, 0.0));
        for (id, score) in results.into_iter().chain(missing).take(self.k) {
            self.ids.push(id);
            self.scores.push(score);
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when its size is not what its
    /// counts say, and when it cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<GroundTruth> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
        let (words, rest) = bytes.as_chunks::<4>();
        let [queries, k, cells @ ..] = words else {
            return Err(refused(path, "header", "8 bytes", bytes.len()));
        };
        let [queries, k] = [queries, k].map(|word| u64::from(u32::from_le_bytes(*word)));
        // Both factors have 32 bits.
        if queries * k != cells.len() as u64 / 2 || cells.len() % 2 != 0 || !rest.is_empty() {
            let expected = format!("{queries} times {k} ids and scores");
            let found = format!("{} bytes", bytes.len() - HEADER_LEN);
            return Err(refused(path, "content", expected, found));
        }
        let (ids, scores) = cells.split_at(cells.len() / 2);
        Ok(GroundTruth {
            k: usize::try_from(k).unwrap_or(0),
            ids: ids.iter().map(|word| i32::from_le_bytes(*word)).collect(),
            scores: scores
                .iter()
                .map(|word| f32::from_le_bytes(*word))
                .collect(),
        })
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.ids.len() * 8);
        for count in [self.len(), self.k] {
            let count = u32::try_from(count).map_err(|_| {
                Error::limit("queries of a ground truth", u32::MAX.into(), count as u64)
            })?;
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        bytes.extend(self.ids.iter().flat_map(|id| id.to_le_bytes()));
        bytes.extend(self.scores.iter().flat_map(|score| score.to_le_bytes()));
        fs::write(path, bytes).map_err(|error| Error::io("write", path, error))
    }

    /// How many queries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len().checked_div(self.k).unwrap_or(0)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many results each query has.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// The ids of a query's results, best first; none for a query that is not there.
    #[must_use]
    pub fn ids(&self, query: usize) -> &[i32] {
        self.ids
            .chunks(self.k.max(1))
            .nth(query)
            .unwrap_or_default()
    }

    /// The scores of a query's results.
    #[must_use]
    pub fn scores(&self, query: usize) -> &[f32] {
        self.scores
            .chunks(self.k.max(1))
            .nth(query)
            .unwrap_or_default()
    }

    /// The share of a query's first `k` true results among `found`; 1 when there are none.
    #[must_use]
    pub fn recall(&self, query: usize, k: usize, found: &[i32]) -> f64 {
        let ids = self.ids(query);
        let wanted = ids.iter().take(k).filter(|id| **id >= 0);
        let (mut hits, mut all) = (0_u32, 0_u32);
        for id in wanted {
            all += 1;
            hits += u32::from(found.contains(id));
        }
        if all == 0 {
            1.0
        } else {
            f64::from(hits) / f64::from(all)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_and_bad_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.gt");
        let mut truth = GroundTruth::new(3);
        truth.push([(5, 2.0), (7, 1.5), (1, 1.0), (9, 0.5)]);
        truth.push([(4, 1.0)]);
        truth.write(&path).unwrap();
        let read = GroundTruth::read(&path).unwrap();
        assert_eq!(read, truth);
        assert_eq!((read.len(), read.ids(1)), (2, &[4, -1, -1][..]));
        assert_eq!(read.recall(0, 2, &[7, 8]), 0.5);
        assert_eq!(read.recall(1, 3, &[4]), 1.0);
        let good = std::fs::read(&path).unwrap();
        for len in 0..good.len() {
            std::fs::write(&path, &good[..len]).unwrap();
            assert!(GroundTruth::read(&path).is_err(), "{len}");
        }
        let mut absurd = good;
        absurd[..8].fill(0xFF);
        std::fs::write(&path, absurd).unwrap();
        assert!(GroundTruth::read(&path).is_err());
    }
}
