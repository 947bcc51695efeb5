//! The parts of a table put into bytes, for training and tests.

use super::{
    ENTRY_STEPS, LOG_STEPS, SHARE_STEPS, StaticTable,
    read::{BODY_CHECKSUM_OFFSET, HEADER_LEN, MAGIC, TARGETS_MAX, VERSION},
};
use crate::{
    error::{Error, Result},
    text::WORDS_VERSION,
};

/// Everything a table knows of one word.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Row {
    pub(crate) word: String,
    /// Logarithm of the factor of its own weight in documents.
    pub(crate) own_log: f32,
    /// Logarithm of the factor of its weight in queries.
    pub(crate) query_log: f32,
    /// Share of passages that have it.
    pub(crate) share: f32,
    /// Which words it stands for: numbers below [`TableParts::targets`], at most 255 of them.
    pub(crate) entries: Vec<(u32, f32)>,
}

/// A table before it is bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableParts {
    pub(crate) rows: Vec<Row>,
    /// Only the first this many words are named by entries.
    pub(crate) targets: u32,
    pub(crate) passages: u64,
}

impl TableParts {
    /// The bytes of the table, checked by reading them back. Values are rounded to what the format
    /// holds and saturate at its ends.
    pub(crate) fn into_table(self) -> Result<StaticTable> {
        let too_many = |what: &str, limit: u64, found: usize| {
            Error::limit(format!("{what} of a table"), limit, found as u64)
        };
        let words = u32::try_from(self.rows.len())
            .map_err(|_| too_many("words", u64::from(u32::MAX), self.rows.len()))?;
        let mut body: [Vec<u8>; 8] = Default::default();
        let [
            word_lens,
            row_lens,
            own,
            query,
            share,
            columns,
            values,
            strings,
        ] = &mut body;
        for row in &self.rows {
            let word_len = u8::try_from(row.word.len())
                .map_err(|_| too_many("bytes in a word", 255, row.word.len()))?;
            let row_len = u8::try_from(row.entries.len())
                .map_err(|_| too_many("entries in a row", 255, row.entries.len()))?;
            word_lens.push(word_len);
            row_lens.push(row_len);
            own.push(steps(row.own_log * LOG_STEPS).cast_unsigned());
            query.push(steps(row.query_log * LOG_STEPS).cast_unsigned());
            share.push(share_steps(row.share));
            for &(column, value) in &row.entries {
                let narrow = u16::try_from(column)
                    .map_err(|_| too_many("targets", u64::from(TARGETS_MAX), column as usize))?;
                columns.extend_from_slice(&narrow.to_le_bytes());
                values.push(steps(value * ENTRY_STEPS).cast_unsigned());
            }
            strings.extend_from_slice(row.word.as_bytes());
        }
        let limit = u64::from(u32::MAX);
        let entries =
            u32::try_from(values.len()).map_err(|_| too_many("entries", limit, values.len()))?;
        let strings_len =
            u32::try_from(strings.len()).map_err(|_| too_many("bytes", limit, strings.len()))?;

        let mut bytes = Vec::with_capacity(HEADER_LEN + body.iter().map(Vec::len).sum::<usize>());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&0_u16.to_le_bytes());
        for field in [WORDS_VERSION, words, self.targets, entries, strings_len] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&self.passages.to_le_bytes());
        bytes.resize(BODY_CHECKSUM_OFFSET, 0);
        let body = body.concat();
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes.extend_from_slice(&body);
        StaticTable::from_bytes(bytes, "the new table")
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "rounded and clamped to the range of an i8; NaN gives 0"
)]
fn steps(value: f32) -> i8 {
    value.round().clamp(-127.0, 127.0) as i8
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded and clamped to the range of a u8"
)]
fn share_steps(share: f32) -> u8 {
    (-SHARE_STEPS * share.max(f32::MIN_POSITIVE).log2())
        .round()
        .clamp(0.0, 255.0) as u8
}
