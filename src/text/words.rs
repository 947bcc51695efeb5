//! Words of code and prose.
//!
//! A run of letters, digits and underscores gives its parts (`readFile` gives `read` and `file`)
//! and, where there are several, also the whole of it joined (`readfile`), so that `readFile`,
//! `read_file` and `readfile` meet. Scripts that put no spaces between words give overlapping
//! pairs of characters. Everything is in lower case, and English endings are taken off.

use std::ops::Range;

use super::{
    script::{self, Kind},
    stem,
};

/// Rises with every change of what [`words`] gives; encoders put it into their fingerprint.
pub const WORDS_VERSION: u32 = 1;

/// Runs are cut after this many bytes of text: longer ones are data, not words.
pub const WORD_BYTES_MAX: usize = 64;

/// A word of a text, lower-cased and stemmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The word; never empty.
    pub text: &'a str,
    /// The byte of the text at which it begins.
    pub offset: usize,
}

/// Calls `visit` for each word of `text`.
///
/// A run of letters, digits and `_` is cut at underscores, between letters and digits, before a
/// capital that follows a small letter, and before the last capital of an acronym that a word
/// follows (`HTTPServer`, but `URLs` stays whole). Each part is a word; of several parts the run
/// without its underscores is a word too, after them. Chinese, Japanese, Thai, Lao, Khmer and
/// Burmese, which put no spaces between words, give each pair of neighboring characters; a lone
/// character gives itself.
///
/// Letters are folded to lower case (Unicode's simple folding, full-width forms to ASCII); Arabic
/// and Hebrew vowel points are left out; composed and decomposed accents stay different. Words of
/// four or more letters a to z lose English endings: plural, -ing, -ed, -ly, final e.
///
/// ```
/// let mut words = Vec::new();
/// sparsely::text::words("readFile(HTTPServers) 検索語", |word| words.push(word.text.to_owned()));
/// assert_eq!(words, ["read", "file", "readfil", "http", "server", "httpserver", "検索", "索語"]);
/// ```
pub fn words(text: &str, mut visit: impl FnMut(Word<'_>)) {
    let mut buffer = Buffer::default();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match script::kind(c) {
            Kind::Break => at += c.len_utf8(),
            Kind::Unspaced => at = pairs(text, at, &mut buffer, &mut visit),
            _ => {
                let end = at + run_len(&text[at..]);
                buffer.split(&text[at..end]);
                buffer.emit(at, &mut visit);
                at = end;
            }
        }
    }
}

/// The length of the run that `text` begins with, at most [`WORD_BYTES_MAX`].
fn run_len(text: &str) -> usize {
    let mut len = 0;
    for c in text.chars() {
        let outside = matches!(script::kind(c), Kind::Break | Kind::Unspaced);
        if outside || len + c.len_utf8() > WORD_BYTES_MAX {
            break;
        }
        len += c.len_utf8();
    }
    len
}

/// Visits the pairs of the unspaced run at `start`; returns where it ends. Pairs may cross scripts:
/// Japanese words do.
fn pairs(text: &str, start: usize, buffer: &mut Buffer, visit: &mut impl FnMut(Word<'_>)) -> usize {
    let mut previous = None;
    let mut paired = false;
    let mut end = text.len();
    for (offset, c) in text[start..].char_indices() {
        let offset = start + offset;
        if script::kind(c) != Kind::Unspaced {
            end = offset;
            break;
        }
        if let Some((before, left)) = previous.replace((offset, c)) {
            buffer.lower.clear();
            buffer.lower.extend([left, c]);
            visit(Word {
                text: &buffer.lower,
                offset: before,
            });
            paired = true;
        }
    }
    if let (Some((offset, lone)), false) = (previous, paired) {
        buffer.lower.clear();
        buffer.lower.push(lone);
        visit(Word {
            text: &buffer.lower,
            offset,
        });
    }
    end
}

/// One run in lower case without its underscores, and where its parts lie.
#[derive(Default)]
struct Buffer {
    lower: String,
    parts: Vec<Part>,
}

struct Part {
    lower: Range<usize>,
    /// Where the part begins in the run.
    offset: usize,
}

impl Buffer {
    fn split(&mut self, run: &str) {
        self.lower.clear();
        self.parts.clear();
        let mut previous = Kind::Break;
        let mut part = Part {
            lower: 0..0,
            offset: 0,
        };
        let mut chars = run.char_indices();
        while let Some((offset, c)) = chars.next() {
            let kind = match script::kind(c) {
                // A mark belongs to the letter before it.
                Kind::Mark if previous != Kind::Break => previous,
                Kind::Mark => Kind::Lower,
                kind => kind,
            };
            let begins = match (previous, kind) {
                (_, Kind::Underscore) => true,
                (Kind::Digit, Kind::Digit) => false,
                (Kind::Digit, _) | (_, Kind::Digit) | (Kind::Lower, Kind::Upper) => true,
                (Kind::Upper, Kind::Upper) => word_follows(chars.as_str()),
                _ => false,
            };
            if begins {
                self.close(&mut part, offset);
            }
            if kind == Kind::Underscore {
                previous = Kind::Break;
                part.offset = offset + 1;
            } else {
                previous = kind;
                script::push_lower(c, &mut self.lower);
            }
        }
        self.close(&mut part, run.len());
    }

    /// Ends `part` where the buffer ends and begins the next one.
    fn close(&mut self, part: &mut Part, offset: usize) {
        let end = self.lower.len();
        let begun = Part {
            lower: end..end,
            offset,
        };
        let mut closed = std::mem::replace(part, begun);
        closed.lower.end = end;
        if !closed.lower.is_empty() {
            self.parts.push(closed);
        }
    }

    fn emit(&mut self, start: usize, visit: &mut impl FnMut(Word<'_>)) {
        for part in &self.parts {
            visit_stemmed(&self.lower[part.lower.clone()], start + part.offset, visit);
        }
        if let [first, _, ..] = self.parts.as_slice() {
            visit_stemmed(&self.lower, start + first.offset, visit);
        }
    }
}

/// Whether a capital followed by `rest` begins a word: a small letter comes next, but not just the
/// plural of an acronym.
fn word_follows(rest: &str) -> bool {
    let mut rest = rest.chars();
    let is_lower = |c: Option<char>| c.is_some_and(|c| script::kind(c) == Kind::Lower);
    match rest.next() {
        Some('s') => is_lower(rest.next()),
        next => is_lower(next),
    }
}

fn visit_stemmed(word: &str, offset: usize, visit: &mut impl FnMut(Word<'_>)) {
    let mut room = [0; WORD_BYTES_MAX];
    let text = stem::stem(word, &mut room);
    visit(Word { text, offset });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        let mut list = Vec::new();
        words(text, |word| list.push(word.text.to_owned()));
        list
    }

    #[test]
    fn identifiers_split_and_join() {
        assert_eq!(list("read_file"), ["read", "file", "readfil"]);
        assert_eq!(list("readFile"), list("read_file"));
        assert_eq!(list("READ_FILE"), list("read_file"));
        assert_eq!(list("HTTPServer"), ["http", "server", "httpserver"]);
        assert_eq!(list("URLs"), ["url"]);
        assert_eq!(
            list("parseURLsFast"),
            ["pars", "url", "fast", "parseurlsfast"]
        );
        assert_eq!(list("utf8"), ["utf", "8", "utf8"]);
        assert_eq!(list("__init__"), ["init"]);
        assert_eq!(list("_ __"), [""; 0]);
        assert_eq!(list("x2y"), ["x", "2", "y", "x2y"]);
        assert_eq!(list("a.b->c::d"), ["a", "b", "c", "d"]);
    }

    #[test]
    fn other_scripts() {
        assert_eq!(list("Straße ΠΌΛΗΣ Größe"), ["straße", "πόλησ", "größe"]);
        assert_eq!(list("πόλης"), ["πόλησ"]);
        assert_eq!(list("İstanbul"), ["istanbul"]);
        assert_eq!(list("हिन्दी शब्द"), ["हिन्दी", "शब्द"]);
        assert_eq!(list("كِتَاب"), ["كتاب"]);
        assert_eq!(list("한국어 검색"), ["한국어", "검색"]);
        assert_eq!(list("ＡＢＣ１"), ["abc", "1", "abc1"]);
        assert_eq!(list("ПриветМир"), ["привет", "мир", "приветмир"]);
        assert_eq!(list("co\u{ad}operate"), ["cooperat"]);
    }

    #[test]
    fn unspaced_scripts_give_pairs() {
        assert_eq!(list("東京都"), ["東京", "京都"]);
        assert_eq!(list("食べる。犬"), ["食べ", "べる", "犬"]);
        assert_eq!(list("Pythonのリスト"), ["python", "のリ", "リス", "スト"]);
        assert_eq!(list("ไทย"), ["ไท", "ทย"]);
        assert_eq!(list("你a好"), ["你", "a", "好"]);
    }

    #[test]
    fn offsets_point_at_the_text() {
        let text = "é readFile 東京都 _x_y";
        let mut found = Vec::new();
        words(text, |word| found.push((word.text.to_owned(), word.offset)));
        for (word, offset) in &found {
            assert!(text.is_char_boundary(*offset), "{word} {offset}");
        }
        assert_eq!(found[1], ("read".to_owned(), 3));
        assert_eq!(found[2], ("file".to_owned(), 7));
        assert_eq!(found[3], ("readfil".to_owned(), 3));
        assert_eq!(found[5], ("京都".to_owned(), 15));
        // The whole of a run begins where its first part does.
        assert_eq!(found[6], ("x".to_owned(), 23));
        assert_eq!(found[8], ("xy".to_owned(), 23));
    }

    #[test]
    fn long_runs_are_cut() {
        let text = "a".repeat(150);
        let lens: Vec<_> = list(&text).iter().map(String::len).collect();
        assert_eq!(lens, [64, 64, 22]);
        // A character is never cut.
        let lens: Vec<_> = list(&"я".repeat(50)).iter().map(String::len).collect();
        assert_eq!(lens, [64, 36]);
        assert!(
            list(&"a\u{301}".repeat(100))
                .iter()
                .all(|word| word.len() <= 64)
        );
    }
}
