//! What was read for training, and what was left out of it.

use std::{collections::BTreeMap, fmt};

/// What was read and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pairs whose query is a comment, or was given.
    pub described: u64,
    /// Pairs whose query is the name of a function that is taken out of its passage.
    pub named: u64,
    /// Described pairs by language; given ones as `pairs`.
    pub languages: BTreeMap<&'static str, u64>,
    /// Left out: nothing on one side, or no words.
    pub empty: u64,
    /// Left out: a passage of the same words was there before.
    pub repeated: u64,
    /// Left out: the query was there three times before.
    pub boilerplate: u64,
    /// Files read.
    pub files: u64,
    /// Left out: files that are not UTF-8.
    pub not_text: u64,
    /// Left out: files over 1.5 MB.
    pub too_large: u64,
}

/// What there is, and of what was left out only what there was.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} described and {} named", self.described, self.named)?;
        let others = [
            (self.files, "files read"),
            (self.empty, "pairs without words on one side left out"),
            (self.repeated, "repeated passages left out"),
            (self.boilerplate, "repeated queries left out"),
            (self.not_text, "files that are not UTF-8 left out"),
            (self.too_large, "files over 1.5 MB left out"),
        ];
        for (count, what) in others {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
