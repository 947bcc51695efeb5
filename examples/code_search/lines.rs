//! A text by lines: where each begins, and how a run of them is cut into overlapping windows.
//!
//! Lines are counted from 0 here and from 1 in everything that a user sees. A window never cuts a
//! line, so a window of one enormous line is as large as that line.

use std::ops::Range;

/// How large a window may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowSize {
    pub(crate) lines: usize,
    pub(crate) bytes: usize,
    /// Lines that a window repeats of the one before it, so that what stands on the border is
    /// whole in one of them.
    pub(crate) overlap: usize,
}

/// The lines of a text.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    /// Byte offsets of line starts, and the end of the text.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Lines<'a> {
        let mut starts = vec![0];
        starts.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'\n')
                .map(|(i, _)| i + 1),
        );
        if starts.last() != Some(&text.len()) {
            starts.push(text.len());
        }
        Lines { text, starts }
    }

    pub(crate) fn count(&self) -> usize {
        self.starts.len() - 1
    }

    /// The text of a run of lines.
    pub(crate) fn text(&self, lines: &Range<usize>) -> &'a str {
        &self.text[self.bytes(lines)]
    }

    /// Where a run of lines stands in the text.
    pub(crate) fn bytes(&self, lines: &Range<usize>) -> Range<usize> {
        self.starts[lines.start]..self.starts[lines.end]
    }

    /// Whether the line holds a letter or a digit: what a query could match.
    pub(crate) fn has_words(&self, line: usize) -> bool {
        self.text(&(line..line + 1))
            .chars()
            .any(char::is_alphanumeric)
    }

    pub(crate) fn is_blank(&self, line: usize) -> bool {
        self.text(&(line..line + 1)).trim().is_empty()
    }

    /// `lines` without leading and trailing lines that hold no words; `None` where none does.
    pub(crate) fn trim(&self, lines: Range<usize>) -> Option<Range<usize>> {
        let first = lines.clone().find(|line| self.has_words(*line))?;
        let last = lines.rev().find(|line| self.has_words(*line))?;
        Some(first..last + 1)
    }

    /// `lines` without leading and trailing blank lines; `None` where all are blank.
    pub(crate) fn trim_blank(&self, lines: Range<usize>) -> Option<Range<usize>> {
        let first = lines.clone().find(|line| !self.is_blank(*line))?;
        let last = lines.rev().find(|line| !self.is_blank(*line))?;
        Some(first..last + 1)
    }

    /// Whether a run of lines is small enough to be one window.
    pub(crate) fn fits(&self, lines: &Range<usize>, size: WindowSize) -> bool {
        lines.len() <= size.lines && self.bytes(lines).len() <= size.bytes
    }

    /// Cuts a run of lines into overlapping windows, at a blank line where one is near.
    pub(crate) fn windows(&self, lines: &Range<usize>, size: WindowSize) -> Vec<Range<usize>> {
        let mut windows = Vec::new();
        let mut start = lines.start;
        while start < lines.end {
            let mut end = start + 1;
            while end < lines.end && self.fits(&(start..end + 1), size) {
                end += 1;
            }
            if end < lines.end {
                let earliest = start + (end - start) * 2 / 3 + 1;
                let blank = (earliest..end).rev().find(|line| self.is_blank(*line));
                end = blank.map_or(end, |line| line + 1);
            }
            if self.trim(start..end).is_some() {
                windows.extend(self.trim_blank(start..end));
            }
            if end == lines.end {
                break;
            }
            start = self.overlap(start, end, size);
        }
        windows
    }

    /// Where the window after `start..end` begins: later than `start`, and not repeating more than
    /// a quarter of a window's bytes.
    fn overlap(&self, start: usize, end: usize, size: WindowSize) -> usize {
        let earliest = end.saturating_sub(size.overlap).max(start + 1);
        (earliest..end)
            .find(|line| self.bytes(&(*line..end)).len() <= size.bytes / 4)
            .unwrap_or(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: WindowSize = WindowSize {
        lines: 10,
        bytes: 100,
        overlap: 2,
    };

    #[test]
    fn lines_are_counted_with_and_without_a_last_newline() {
        assert_eq!(Lines::new("").count(), 0);
        assert_eq!(Lines::new("a").count(), 1);
        assert_eq!(Lines::new("a\n").count(), 1);
        assert_eq!(Lines::new("a\n\n").count(), 2);
        assert_eq!(Lines::new("a\r\nb").text(&(0..1)), "a\r\n");
    }

    #[test]
    fn windows_cover_every_word_overlap_and_end() {
        for count in [1, 2, 9, 10, 11, 19, 25, 100] {
            let text: String = (0..count).map(|i| format!("line {i}\n")).collect();
            let lines = Lines::new(&text);
            let windows = lines.windows(&(0..count), SIZE);
            assert_eq!(windows[0].start, 0);
            assert_eq!(windows.last().unwrap().end, count);
            for window in &windows {
                assert!(lines.fits(window, SIZE));
            }
            for pair in windows.windows(2) {
                assert_eq!(pair[1].start, pair[0].end - 2);
            }
        }
    }

    #[test]
    fn a_huge_line_is_a_window_of_its_own() {
        let text = format!("a\n{}\nb\n", "x".repeat(5000));
        let lines = Lines::new(&text);
        assert_eq!(lines.windows(&(0..3), SIZE), [0..1, 1..2, 2..3]);
    }

    #[test]
    fn windows_prefer_to_end_at_a_blank_line() {
        let text = "a\nb\nc\nd\ne\nf\ng\n\ni\nj\nk\nl\n";
        let lines = Lines::new(text);
        assert_eq!(lines.windows(&(0..12), SIZE)[0], 0..7);
    }

    #[test]
    fn lines_without_words_make_no_window() {
        let lines = Lines::new("\n}\n\n---\n");
        assert!(lines.windows(&(0..4), SIZE).is_empty());
    }
}
