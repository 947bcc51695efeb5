//! The lines of a passage that show why it was found, and the words to highlight in them.
//!
//! Words are compared as the lexical encoder sees them (split, lower-cased, stemmed), whatever
//! encoder found the passage: a reader looks for the words of the question.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use sparsely::text;

/// Lines shown of a passage.
const MAX_LINES: usize = 5;

/// Words that tell less than this share of what the most telling one does are not looked for.
const LEAST_SHARE: f32 = 0.3;

/// A line of a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnippetLine {
    /// Counted from 1, in the file.
    pub(crate) number: usize,
    pub(crate) text: String,
    /// Byte ranges of `text` that match the query.
    pub(crate) matches: Vec<Range<usize>>,
}

/// The words of a query.
pub(crate) struct QueryWords {
    /// With how much a match of each is worth: rare words say more.
    weights: BTreeMap<String, f32>,
}

impl QueryWords {
    /// `weigh` says how telling a word is, by the index's counts.
    pub(crate) fn new(query: &str, weigh: impl Fn(&str) -> f32) -> QueryWords {
        let mut weights = BTreeMap::new();
        text::words(query, |word| {
            weights
                .entry(word.text.to_owned())
                .or_insert_with(|| weigh(word.text));
        });
        // "the" and "of" would be marked in every other line.
        let heaviest = weights.values().copied().fold(0.0, f32::max);
        weights.retain(|_, weight| *weight >= heaviest * LEAST_SHARE);
        QueryWords { weights }
    }

    /// The most telling lines of a passage that begins at line `first` of its file, in order: where
    /// its definition stands, and those that hold most of the query's words not yet shown.
    pub(crate) fn snippet(&self, passage: &str, first: usize) -> Vec<SnippetLine> {
        let lines: Vec<(&str, Found)> = passage
            .lines()
            .map(|line| (line, self.find(line)))
            .collect();
        let mut chosen: BTreeSet<usize> = lines
            .iter()
            .position(|(line, _)| is_code(line))
            .into_iter()
            .collect();
        let mut shown: BTreeSet<&str> = chosen.iter().flat_map(|at| lines[*at].1.words()).collect();
        while chosen.len() < MAX_LINES.min(lines.len()) {
            let best = (0..lines.len())
                .filter(|at| !chosen.contains(at))
                .map(|at| (self.worth(&lines[at].1, &shown), at))
                .filter(|(worth, _)| *worth > 0.0)
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            let Some((_, at)) = best else { break };
            shown.extend(lines[at].1.words());
            chosen.insert(at);
        }
        // A mark for one line left out would take as much room as the line.
        for at in 1..lines.len() {
            if chosen.contains(&(at - 1)) && chosen.contains(&(at + 1)) {
                chosen.insert(at);
            }
        }
        let show = |at: usize| SnippetLine {
            number: first + at,
            text: lines[at].0.to_owned(),
            matches: lines[at]
                .1
                .ranges
                .iter()
                .map(|(range, _)| range.clone())
                .collect(),
        };
        chosen.into_iter().map(show).collect()
    }

    /// Words not yet shown count in full, repetitions a little.
    fn worth(&self, found: &Found, shown: &BTreeSet<&str>) -> f32 {
        let words: BTreeSet<&str> = found.words().collect();
        let worth = |word: &&str| {
            let weight = self.weights.get(*word).copied().unwrap_or(0.0);
            if shown.contains(word) {
                weight * 0.1
            } else {
                weight
            }
        };
        words.iter().map(worth).sum()
    }

    fn find(&self, line: &str) -> Found {
        let mut words: Vec<(usize, Option<&str>)> = Vec::new();
        text::words(line, |word| {
            let known = self
                .weights
                .get_key_value(word.text)
                .map(|(word, _)| word.as_str());
            words.push((word.offset, known));
        });
        let offsets: BTreeSet<usize> = words.iter().map(|(offset, _)| *offset).collect();
        let mut ranges: Vec<(Range<usize>, String)> = Vec::new();
        let mut seen = BTreeSet::new();
        for (offset, known) in words {
            // The second word at a place is the whole run, of which the first is a part.
            let is_whole = !seen.insert(offset);
            let Some(word) = known else { continue };
            let run = run_end(line, offset);
            let next = offsets.range(offset + 1..).next().copied().unwrap_or(run);
            let end = if is_whole { run } else { next.min(run) };
            let part = line[offset..end].trim_end_matches('_');
            ranges.push((offset..offset + part.len(), word.to_owned()));
        }
        Found { ranges }
    }
}

/// Where query words stand in a line.
struct Found {
    ranges: Vec<(Range<usize>, String)>,
}

impl Found {
    fn words(&self) -> impl Iterator<Item = &str> {
        self.ranges.iter().map(|(_, word)| word.as_str())
    }
}

fn run_end(line: &str, start: usize) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let rest = &line[start..];
    start + rest.find(|c| !is_part(c)).unwrap_or(rest.len())
}

/// Whether a line is more than blank, comment or attribute.
fn is_code(line: &str) -> bool {
    let line = line.trim_start();
    let is_aside = ["//", "/*", "*", "#", "@", "\"\"\"", "'''", "--", "<!--"];
    !line.is_empty() && !is_aside.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> QueryWords {
        QueryWords::new(text, |_| 1.0)
    }

    fn marked(words: &QueryWords, line: &str) -> Vec<String> {
        let found = words.find(line);
        found
            .ranges
            .iter()
            .map(|(range, _)| line[range.clone()].to_owned())
            .collect()
    }

    #[test]
    fn parts_of_names_and_other_endings_are_highlighted() {
        let words = query("opening lock files");
        assert_eq!(
            marked(&words, "fn open_lock_file(fileName: u8)"),
            ["open", "lock", "file", "file"]
        );
        assert_eq!(marked(&words, "unlocked reopen"), Vec::<String>::new());
        assert_eq!(
            marked(&query("read_file"), "x = readFile()"),
            ["read", "File", "readFile"]
        );
        assert_eq!(marked(&query("größe"), "Größe_x"), ["Größe"]);
    }

    #[test]
    fn a_snippet_shows_the_definition_and_lines_with_new_words_in_order() {
        let passage =
            "/// Nothing.\nfn f() {\n    a();\n    lock();\n    lock();\n    lock(file);\n}\n";
        let lines = query("lock file").snippet(passage, 10);
        let numbers: Vec<usize> = lines.iter().map(|line| line.number).collect();
        assert_eq!(numbers, [11, 12, 13, 14, 15]);
        assert_eq!(lines[4].matches, [4..8, 9..13]);
    }

    #[test]
    fn a_passage_without_any_match_still_shows_its_first_line() {
        let lines = query("zebra").snippet("# comment\nx = 1\ny = 2\n", 1);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].text, "x = 1");
        assert!(query("zebra").snippet("", 1).is_empty());
    }
}
