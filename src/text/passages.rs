//! Passages by lines, for texts that no grammar cuts.

use crate::error::{Error, Result};

/// Cuts texts into windows of lines that overlap.
///
/// ```
/// use sparsely::text::LineWindows;
/// let windows = LineWindows::new(3, 1)?;
/// let passages: Vec<_> = windows.cut("a\nb\nc\nd\ne\n").collect();
/// assert_eq!(passages.len(), 2);
/// assert_eq!((passages[1].first_line, passages[1].last_line), (3, 5));
/// assert_eq!(passages[1].text, "c\nd\ne\n");
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineWindows {
    lines: usize,
    overlap: usize,
}

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage<'a> {
    /// The number of its first line in the text, from 1.
    pub first_line: usize,
    /// The number of its last line, included.
    pub last_line: usize,
    /// The byte of the text at which it begins.
    pub offset: usize,
    /// Its lines with their ends.
    pub text: &'a str,
}

impl LineWindows {
    /// Windows of `lines` lines, each of which begins with the last `overlap` lines of the one
    /// before it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless `lines` is above
    /// `overlap`.
    pub fn new(lines: usize, overlap: usize) -> Result<LineWindows> {
        if lines <= overlap {
            return Err(Error::invalid(
                "lines of a window",
                format!("more than its overlap of {overlap}"),
                lines.to_string(),
            ));
        }
        Ok(LineWindows { lines, overlap })
    }

    /// The windows of `text`, in order. An empty text has none; the last window ends with the
    /// text, and no window lies within the one before it.
    pub fn cut<'a>(&self, text: &'a str) -> impl Iterator<Item = Passage<'a>> + use<'a> {
        let LineWindows { lines, overlap } = *self;
        let (mut first, mut offset) = (1, 0);
        let mut done = text.is_empty();
        std::iter::from_fn(move || {
            if done {
                return None;
            }
            let rest = &text[offset..];
            let (len, taken) = skip_lines(rest, lines);
            let (step, _) = skip_lines(rest, lines - overlap);
            let passage = Passage {
                first_line: first,
                last_line: first + taken - 1,
                offset,
                text: &rest[..len],
            };
            first += lines - overlap;
            offset += step;
            done = len == rest.len();
            Some(passage)
        })
    }
}

/// The length of the first `count` lines of `text`, and how many there are.
fn skip_lines(text: &str, count: usize) -> (usize, usize) {
    let mut taken = 0;
    let mut len = 0;
    for line in text.split_inclusive('\n').take(count) {
        len += line.len();
        taken += 1;
    }
    (len, taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_line() {
        for count in 0..20 {
            for end in ["", "\n"] {
                let text = vec!["é"; count].join("\n") + if count > 0 { end } else { "" };
                for (lines, overlap) in [(1, 0), (3, 0), (3, 1), (4, 3), (50, 10)] {
                    let windows = LineWindows::new(lines, overlap).unwrap();
                    let passages: Vec<_> = windows.cut(&text).collect();
                    let mut covered = 0;
                    for passage in &passages {
                        assert!(passage.first_line <= covered + 1);
                        assert!(passage.last_line > covered);
                        assert!(passage.last_line - passage.first_line < lines);
                        let at = passage.offset..passage.offset + passage.text.len();
                        assert_eq!(&text[at], passage.text);
                        let inside = passage.last_line - passage.first_line + 1;
                        assert_eq!(passage.text.lines().count(), inside);
                        covered = passage.last_line;
                    }
                    assert_eq!(covered, count, "{lines} {overlap}");
                }
            }
        }
    }

    #[test]
    fn overlap_must_leave_something() {
        assert!(LineWindows::new(0, 0).is_err());
        assert!(LineWindows::new(5, 5).is_err());
    }
}
