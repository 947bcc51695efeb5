//! The names of an index's files, section 2 of `docs/format.md`.
//!
//! A name is parsed by printing what it seems to be and comparing, so that no two names mean the
//! same file.

use std::fmt;

use crate::id::{CommitId, SegmentId};

/// A file of an index by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileName {
    Manifest(CommitId),
    Segment(SegmentId),
    Deletes(SegmentId, CommitId),
    /// A manifest before its rename; the second number is random.
    Unfinished(CommitId, u64),
}

impl FileName {
    /// What `name` names; `None` for names that are none of ours, which are ignored.
    pub(crate) fn parse(name: &str) -> Option<FileName> {
        let (kind, numbers) = name.split_once('-')?;
        let parsed = match kind {
            "manifest" => FileName::Manifest(CommitId(numbers.parse().ok()?)),
            "segment" => FileName::Segment(SegmentId(numbers.parse().ok()?)),
            "deletes" => {
                let (segment, commit) = numbers.split_once('-')?;
                let segment = SegmentId(segment.parse().ok()?);
                FileName::Deletes(segment, CommitId(commit.parse().ok()?))
            }
            "unfinished" => {
                let (commit, random) = numbers.split_once('-')?;
                let random = u64::from_str_radix(random, 16).ok()?;
                FileName::Unfinished(CommitId(commit.parse().ok()?), random)
            }
            _ => return None,
        };
        (parsed.to_string() == name).then_some(parsed)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileName::Manifest(commit) => write!(f, "manifest-{commit}"),
            FileName::Segment(segment) => write!(f, "segment-{segment}"),
            FileName::Deletes(segment, commit) => write!(f, "deletes-{segment}-{commit}"),
            FileName::Unfinished(commit, random) => write!(f, "unfinished-{commit}-{random:016x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_to_what_prints_them() {
        let largest = u64::MAX;
        for name in [
            FileName::Manifest(CommitId(0)),
            FileName::Manifest(CommitId(largest)),
            FileName::Segment(SegmentId(17)),
            FileName::Deletes(SegmentId(17), CommitId(4)),
            FileName::Unfinished(CommitId(9), 0xAB),
        ] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn other_names_are_none_of_ours() {
        for name in [
            "",
            "manifest",
            "manifest-",
            "manifest-01",
            "manifest-+1",
            "manifest--1",
            "manifest-1.tmp",
            "Manifest-1",
            "manifest-18446744073709551616",
            "segment-1-2",
            "deletes-1",
            "deletes-1-",
            "unfinished-1-ab",
            "unfinished-1-00000000000000AB",
            "writer.lock",
            ".gitignore",
        ] {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
    }
}
