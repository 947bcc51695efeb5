//! Which texts share a run of the model.
//!
//! Every token of a batch is computed, padding too, so texts of about the same length go together:
//! sorted by length, cut by a budget of tokens. A batch is one contiguous block of ids.

use std::ops::Range;

use crate::error::{Error, Result};

/// Limits of one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Tokens, padding included.
    pub(crate) tokens: usize,
    /// Texts; 1 for models that must see each alone.
    pub(crate) rows: usize,
    /// Lengths are rounded up to a multiple of this, so that few shapes occur.
    pub(crate) multiple: usize,
    /// But not above this, the most that the model takes.
    pub(crate) cap: usize,
    /// The longest text whose logits fit the memory that was granted.
    pub(crate) longest: usize,
    /// How many terms each of its tokens has logits for.
    pub(crate) term_count: usize,
}

/// Bytes of logits that a session may keep for its next call.
const KEPT: usize = 128 << 20;

impl Budget {
    /// Whether a run of so many tokens makes more logits than a session may keep.
    pub(crate) fn is_large(&self, tokens: usize) -> bool {
        let has_logits = self.longest < usize::MAX;
        has_logits && tokens.saturating_mul(self.term_count).saturating_mul(4) > KEPT
    }

    /// Refuses a text whose logits alone would take more memory than was granted.
    ///
    /// # Errors
    /// [`ErrorKind::Limit`](crate::ErrorKind::Limit).
    pub(crate) fn check(&self, longest: usize) -> Result<()> {
        if longest <= self.longest {
            return Ok(());
        }
        let bytes = |tokens: usize| {
            u64::try_from(tokens.saturating_mul(self.term_count).saturating_mul(4))
                .unwrap_or(u64::MAX)
        };
        Err(Error::limit(
            "bytes of logits for one text (raise OnnxOptions::logits_budget, shorten document_length, or export hidden states with a head)",
            bytes(self.longest),
            bytes(longest),
        ))
    }
}

/// Texts that run together, as positions in what was planned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Which.
    pub(crate) members: Vec<usize>,
    /// To how many tokens each is filled up.
    pub(crate) length: usize,
}

/// Groups texts of the given `lengths`, longest first: when several sessions share the work, the
/// small batches even out the end. Empty texts are in no group.
pub(crate) fn plan(lengths: &[usize], budget: Budget) -> Vec<Group> {
    let mut order: Vec<usize> = (0..lengths.len()).filter(|at| lengths[*at] > 0).collect();
    order.sort_by_key(|at| std::cmp::Reverse(lengths[*at]));
    let mut groups = Vec::new();
    let mut rest = order.as_slice();
    while let Some(first) = rest.first() {
        let round = lengths[*first].next_multiple_of(budget.multiple.max(1));
        let length = round.min(budget.cap).max(lengths[*first]);
        let rows = (budget.tokens / length).clamp(1, budget.rows.max(1));
        let (members, later) = rest.split_at(rows.min(rest.len()));
        groups.push(Group {
            members: members.to_vec(),
            length,
        });
        rest = later;
    }
    groups
}

/// A batch as the model takes it.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Texts.
    pub(crate) rows: usize,
    /// Tokens of each, filled up.
    pub(crate) length: usize,
    /// Ids, text after text.
    pub(crate) ids: Vec<i64>,
    /// 1 for a token, 0 for filling.
    pub(crate) mask: Vec<i64>,
    /// The position of each token in its text; 0 for filling.
    pub(crate) positions: Vec<i64>,
    /// Where each text's own tokens are, filling left out.
    pub(crate) spans: Vec<Range<usize>>,
}

/// How shorter texts are filled up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Padding {
    /// The token.
    pub(crate) token: u32,
    /// Whether in front.
    pub(crate) left: bool,
}

impl Batch {
    /// Fills `texts` up to `length` tokens.
    pub(crate) fn new(texts: &[&[u32]], length: usize, padding: Padding) -> Batch {
        let cells = texts.len() * length;
        let mut batch = Batch {
            rows: texts.len(),
            length,
            ids: vec![i64::from(padding.token); cells],
            mask: vec![0; cells],
            positions: vec![0; cells],
            spans: Vec::with_capacity(texts.len()),
        };
        for (row, text) in texts.iter().enumerate() {
            let free = length - text.len().min(length);
            let start = if padding.left { free } else { 0 };
            let span = start..start + (length - free);
            let cells = row * length + span.start..row * length + span.end;
            for ((cell, id), position) in cells.zip(*text).zip(0..) {
                batch.ids[cell] = i64::from(*id);
                batch.mask[cell] = 1;
                batch.positions[cell] = position;
            }
            batch.spans.push(span);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const WIDE: Budget = Budget {
        tokens: usize::MAX,
        rows: usize::MAX,
        multiple: 1,
        cap: usize::MAX,
        longest: usize::MAX,
        term_count: 1000,
    };

    #[test]
    fn rounding_stops_at_what_the_model_takes() {
        let groups = plan(
            &[70, 100],
            Budget {
                multiple: 64,
                cap: 100,
                ..WIDE
            },
        );
        assert_eq!(groups[0].length, 100);
        let budget = Budget {
            longest: 99,
            ..WIDE
        };
        budget.check(99).unwrap();
        assert_eq!(budget.check(100).unwrap_err().kind(), ErrorKind::Limit);
    }

    #[test]
    fn every_text_is_in_one_group_and_budgets_hold() {
        let lengths: Vec<usize> = (0..200).map(|at| (at * 37) % 64).collect();
        let budget = Budget {
            tokens: 128,
            rows: 16,
            multiple: 8,
            ..WIDE
        };
        let groups = plan(&lengths, budget);
        let mut seen: Vec<usize> = groups
            .iter()
            .flat_map(|group| group.members.clone())
            .collect();
        seen.sort_unstable();
        let expected: Vec<usize> = (0..200).filter(|at| lengths[*at] > 0).collect();
        assert_eq!(seen, expected);
        for group in &groups {
            assert!(group.length * group.members.len() <= 128 && group.members.len() <= 16);
            assert!(group.members.iter().all(|at| lengths[*at] <= group.length));
            assert_eq!(group.length % 8, 0);
        }
        let lengths = [500, 3];
        let groups = plan(
            &lengths,
            Budget {
                tokens: 10,
                rows: 9,
                ..WIDE
            },
        );
        assert_eq!(groups.len(), 2, "a text over the budget runs alone");
    }

    #[test]
    fn filling_goes_to_its_side() {
        let texts: [&[u32]; 2] = [&[5, 6, 7], &[8]];
        let right = Batch::new(
            &texts,
            4,
            Padding {
                token: 0,
                left: false,
            },
        );
        assert_eq!(right.ids, [5, 6, 7, 0, 8, 0, 0, 0]);
        assert_eq!(right.mask, [1, 1, 1, 0, 1, 0, 0, 0]);
        let left = Batch::new(
            &texts,
            4,
            Padding {
                token: 9,
                left: true,
            },
        );
        assert_eq!(left.ids, [9, 5, 6, 7, 9, 9, 9, 8]);
        assert_eq!(left.positions, [0, 0, 1, 2, 0, 0, 0, 0]);
        assert_eq!(left.spans, [1..4, 3..4]);
    }
}
