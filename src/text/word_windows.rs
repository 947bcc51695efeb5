//! Passages by words, for prose.

use super::{
    passages::Passage,
    script::{Kind, kind},
};
use crate::error::{Error, Result};

/// Cuts texts into windows of words that overlap.
///
/// A word is what stands between white space; of scripts that put no spaces between words each
/// character counts as one.
///
/// ```
/// use sparsely::text::WordWindows;
/// let windows = WordWindows::new(3, 1)?;
/// let passages: Vec<_> = windows.cut("one two three\nfour  five").map(|p| p.text).collect();
/// assert_eq!(passages, ["one two three", "three\nfour  five"]);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WordWindows {
    words: usize,
    overlap: usize,
}

impl WordWindows {
    /// Windows of `words` words, each of which begins with the last `overlap` words of the one
    /// before it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless `words` is above
    /// `overlap`.
    pub fn new(words: usize, overlap: usize) -> Result<WordWindows> {
        if words <= overlap {
            return Err(Error::invalid(
                "words of a window",
                format!("more than its overlap of {overlap}"),
                words.to_string(),
            ));
        }
        Ok(WordWindows { words, overlap })
    }

    /// The windows of `text`, in order, from the first character of a word to the last of another.
    /// A text without words has none; no window lies within the one before it.
    pub fn cut<'a>(&self, text: &'a str) -> impl Iterator<Item = Passage<'a>> + use<'a> {
        let WordWindows { words, overlap } = *self;
        let mut offset = skip(text, 0, 0);
        let (mut line, mut counted) = (1, 0);
        let mut done = offset == text.len();
        std::iter::from_fn(move || {
            if done {
                return None;
            }
            line += lines(&text[counted..offset]);
            counted = offset;
            let end = skip(text, offset, words);
            let inside = text[offset..end].trim_end();
            let passage = Passage {
                first_line: line,
                last_line: line + lines(inside),
                offset,
                text: inside,
            };
            offset = skip(text, offset, words - overlap);
            done = end == text.len();
            Some(passage)
        })
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Where the word begins that is `count` words after the one at `from`; the end of the text where
/// there are no more.
fn skip(text: &str, from: usize, count: usize) -> usize {
    let mut begun = 0;
    let mut is_inside = false;
    for (at, c) in text[from..].char_indices() {
        if c.is_whitespace() {
            is_inside = false;
            continue;
        }
        let stands_alone = kind(c) == Kind::Unspaced;
        if stands_alone || !is_inside {
            if begun == count {
                return from + at;
            }
            begun += 1;
        }
        is_inside = !stands_alone;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_word() {
        for count in 0..20 {
            let list: Vec<String> = (0..count).map(|at| format!("é{at}")).collect();
            for text in [
                list.join(" "),
                list.join("\r\n"),
                format!("  {} \n", list.join("\n\n")),
            ] {
                for (words, overlap) in [(1, 0), (3, 0), (3, 1), (4, 3), (50, 10)] {
                    let windows = WordWindows::new(words, overlap).unwrap();
                    let mut covered = 0;
                    for passage in windows.cut(&text) {
                        let at = passage.offset..passage.offset + passage.text.len();
                        assert_eq!(&text[at], passage.text);
                        let before = lines(&text[..passage.offset]);
                        assert_eq!(passage.first_line, before + 1);
                        assert_eq!(passage.last_line, before + 1 + lines(passage.text));
                        let inside: Vec<&str> = passage.text.split_whitespace().collect();
                        assert!(inside.len() <= words);
                        let first = list.iter().position(|word| word == inside[0]).unwrap();
                        assert!(first <= covered && first + inside.len() > covered);
                        assert!(covered == 0 || first == covered - overlap);
                        covered = first + inside.len();
                    }
                    assert_eq!(covered, count, "{words} {overlap}");
                }
            }
        }
    }

    #[test]
    fn characters_without_spaces_count_each() {
        let windows = WordWindows::new(2, 0).unwrap();
        let cut: Vec<_> = windows.cut("東京都 ab京").map(|p| p.text).collect();
        assert_eq!(cut, ["東京", "都 ab", "京"]);
        assert!(WordWindows::new(2, 2).is_err());
        assert_eq!(windows.cut(" \n\u{3000}").count(), 0);
    }
}
