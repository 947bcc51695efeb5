//! Telling code from prose, and finding the signature of a piece of code.

/// A text is code when its [`code_share`] is above this. Of scientific abstracts 2 in 100 are, of
/// Python functions with long comments 99 in 100.
pub const CODE_SHARE: f32 = 0.01;

/// A signature is looked for in this many bytes.
const SIGNATURE_BYTES_MAX: usize = 240;

/// How much of a text is code: tokens that prose hardly has, per byte.
///
/// The tokens are a word before an opening parenthesis, each of `{ } ; = [ ] _ < >`, `->`, `::`
/// and `).`; each byte counts in one of them. A share of plain punctuation separates far worse: it
/// takes documented functions for prose.
///
/// ```
/// use sparsely::text::{CODE_SHARE, code_share};
/// assert!(code_share("fn open(path: &Path) -> File {") > CODE_SHARE);
/// assert!(code_share("It opens the file, if there is one, and reads it (once) to its end.") < CODE_SHARE);
/// ```
#[must_use]
pub fn code_share(text: &str) -> f32 {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return 0.0;
    }
    let (mut at, mut tokens) = (0, 0_u64);
    while let Some(&byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied();
        let len = match (byte, next) {
            (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_', Some(b'('))
            | (b'-', Some(b'>'))
            | (b':', Some(b':'))
            | (b')', Some(b'.')) => 2,
            (b'{' | b'}' | b';' | b'=' | b'[' | b']' | b'_' | b'<' | b'>', _) => 1,
            _ => 0,
        };
        tokens += u64::from(len > 0);
        at += len.max(1);
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a share needs no more than the precision of an f32"
    )]
    let share = (tokens as f64 / bytes.len() as f64) as f32;
    share
}

/// Where the signature of the first definition of a piece of code lies, in bytes: from its first
/// line that is not blank, comment or attribute (`@`, `#`, `//`, `/* */`) to the first `{`, `;`,
/// `=>` or `:` at the end of a line, which must come within 240 bytes.
///
/// ```
/// let code = "# reads\n@cached\ndef read(path):\n    return open(path)";
/// let span = sparsely::text::signature(code).unwrap();
/// assert_eq!(&code[span], "def read(path)");
/// assert_eq!(sparsely::text::signature("plain words"), None);
/// ```
#[must_use]
pub fn signature(text: &str) -> Option<std::ops::Range<usize>> {
    let start = skip_head(text);
    let bytes = text.as_bytes();
    let end = bytes.len().min(start.saturating_add(SIGNATURE_BYTES_MAX));
    let found = (start..end).find(|&at| match bytes[at] {
        b'{' | b';' => true,
        b':' => matches!(bytes.get(at + 1), Some(b'\n' | b'\r')),
        b'=' => bytes.get(at + 1) == Some(&b'>'),
        _ => false,
    })?;
    Some(start..found)
}

/// The offset of the first line that is neither blank nor comment nor attribute.
fn skip_head(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let head = rest.trim_ascii_start();
        at += rest.len() - head.len();
        let skipped = if head.starts_with("/*") {
            head.find("*/").map(|end| end + 2)
        } else if head.starts_with(['@', '#']) || head.starts_with("//") {
            head.find('\n')
        } else {
            return at;
        };
        match skipped {
            Some(len) => at += len,
            None => return text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_code_count_once() {
        for (text, tokens) in [
            ("", 0),
            ("f(", 1),
            ("f (", 0),
            ("_(", 1),
            ("a->b", 1),
            ("a::b", 1),
            ("x().y", 2),
            ("{};=[]_<>", 9),
            ("a - b > c : d", 1),
            ("é(", 0),
        ] {
            let found = code_share(text) * text.len() as f32;
            assert!((found - tokens as f32).abs() < 1e-4, "{text}: {found}");
        }
    }

    #[test]
    fn signatures_of_several_languages() {
        for (code, expected) in [
            ("int main(void) {\n}", Some("int main(void) ")),
            ("/** {@link x} */\nvoid f();", Some("void f()")),
            ("#[inline]\npub fn f() {", Some("pub fn f() ")),
            ("const f = (x) => x", Some("const f = (x) ")),
            ("def f(a: int):\r\n  pass", Some("def f(a: int)")),
            ("// only a comment", None),
            ("/* never closed", None),
            ("", None),
            ("@", None),
        ] {
            assert_eq!(signature(code).map(|span| &code[span]), expected, "{code}");
        }
        let far = format!("{}{{", "x".repeat(SIGNATURE_BYTES_MAX));
        assert_eq!(signature(&far), None);
        assert!(signature(&far[1..]).is_some());
        // Many comment lines cost one pass.
        assert_eq!(signature(&"//\n".repeat(100_000)), None);
        assert_eq!(signature("é".repeat(200).as_str()), None);
    }
}
