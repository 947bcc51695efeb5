//! Functions of languages with braces: C, C++, Go, Java, JavaScript, Rust and their like.
//!
//! A definition is a line that begins no statement, has a name before a balanced pair of
//! parentheses, and after it, with nothing but types between, a `{`. Its comment stands directly
//! before it, perhaps with attributes between.

use super::{Definition, passage};

const SIGNATURE_BYTES_MAX: usize = 800;
const BODY_BYTES_MAX: usize = 20_000;

/// Words that begin a statement, not a definition.
const STATEMENTS: &[&str] = &[
    "if",
    "for",
    "while",
    "switch",
    "catch",
    "else",
    "return",
    "do",
    "match",
    "loop",
    "throw",
    "case",
    "try",
    "new",
    "await",
    "yield",
    "assert",
    "foreach",
    "synchronized",
    "using",
    "lock",
    "defer",
    "go",
    "select",
    "use",
    "import",
    "package",
    "typedef",
    "goto",
    "delete",
    "sizeof",
    "when",
    "guard",
    "elseif",
    "extern",
    "namespace",
    "class",
    "interface",
    "struct",
    "enum",
    "union",
    "impl",
    "trait",
    "mod",
    "macro_rules",
];

pub(super) fn definitions(text: &str) -> Vec<Definition> {
    let mut found = Vec::new();
    let mut comment: Option<(usize, usize)> = None;
    let mut at = 0;
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |end| at + end + 1);
        let line = text[at..line_end].trim();
        if line.starts_with("/*") {
            let end = text[at..].find("*/").map_or(text.len(), |end| at + end + 2);
            let rest = text[end..]
                .find('\n')
                .map_or(text.len(), |len| end + len + 1);
            comment = text[end..rest].trim().is_empty().then_some((at, end));
            at = rest;
        } else if line.starts_with("//") {
            let start = match comment {
                Some((start, end)) if end == at && text[start..].trim_start().starts_with("//") => {
                    start
                }
                _ => at,
            };
            comment = Some((start, line_end));
            at = line_end;
        } else if is_attribute(line) {
            at = line_end;
        } else if line.is_empty() {
            // A blank line parts a comment from what follows.
            comment = None;
            at = line_end;
        } else {
            match body_end(&text[at..]) {
                Some((name, end)) => {
                    let spoken = comment.map_or("", |(start, end)| &text[start..end]);
                    if let Some(code) = passage(&text[at..at + end]) {
                        found.push(Definition {
                            name: name.to_owned(),
                            comment: without_signs(spoken),
                            code: code.to_owned(),
                        });
                    }
                    let after = at + end;
                    at = text[after..]
                        .find('\n')
                        .map_or(text.len(), |len| after + len + 1);
                }
                None => at = line_end,
            }
            comment = None;
        }
    }
    found
}

fn is_attribute(line: &str) -> bool {
    line.starts_with("#[")
        || line.starts_with('@') && !line.ends_with('{')
        || line.starts_with("template") && line.ends_with('>')
}

/// The name of the definition that `text` begins with, and where its body ends.
fn body_end(text: &str) -> Option<(&str, usize)> {
    let first: &str = text
        .trim_start()
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
        .next()?;
    if first.is_empty() && !text.trim_start().starts_with(['~', '*', '&', '#', '['])
        || STATEMENTS.contains(&first)
    {
        return None;
    }
    if text.trim_start().starts_with('#') {
        return None;
    }
    let (name, open) = signature(text)?;
    let end = matching_brace(&text[open..])?;
    Some((name, open + end))
}

/// The name, and where the body's `{` stands.
fn signature(text: &str) -> Option<(&str, usize)> {
    let bytes = text.as_bytes();
    let limit = bytes.len().min(SIGNATURE_BYTES_MAX);
    let mut name = None;
    let mut depth = 0_i32;
    let mut at = 0;
    while at < limit {
        match bytes[at] {
            b'(' => {
                // Go's receiver stands in parentheses of its own before the name.
                if depth == 0 && name.is_none_or(|name| name == "func") {
                    name = Some(name_before(&text[..at])?);
                }
                depth += 1;
            }
            b')' => depth -= 1,
            b'{' if depth == 0 => return name.map(|name| (name, at)),
            // Default values and object types inside parentheses.
            b'{' => return None,
            b';' if depth == 0 => return None,
            b'}' => return None,
            b'"' if depth == 0 => return None,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
        at += 1;
    }
    None
}

/// The name of the function whose parameters follow `head`: the last word, or for a function
/// that is a value (`name = function (`, `name: (`) the word that it is given to.
fn name_before(head: &str) -> Option<&str> {
    let trimmed = head.trim_end();
    let trimmed = if trimmed.ends_with('>') {
        without_generics(trimmed)?
    } else {
        trimmed
    };
    let name = last_word(trimmed);
    match name {
        "function" | "async" | "" => {
            let before = trimmed[..trimmed.len() - name.len()].trim_end();
            let before = before.strip_suffix("async").unwrap_or(before).trim_end();
            let before = before.strip_suffix(['=', ':'])?.trim_end();
            Some(last_word(before)).filter(|name| !name.is_empty())
        }
        name if STATEMENTS.contains(&name) => None,
        // Test macros and the like.
        name if name.len() > 3 && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => None,
        name => Some(name),
    }
}

/// What stands before the angle brackets that `head` ends with.
fn without_generics(head: &str) -> Option<&str> {
    let mut depth = 0_u32;
    for (at, byte) in head.bytes().enumerate().rev() {
        match byte {
            b'>' => depth += 1,
            b'<' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(head[..at].trim_end());
        }
    }
    None
}

fn last_word(text: &str) -> &str {
    let len = text
        .bytes()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'$')
        .count();
    &text[text.len() - len..]
}

/// Where the brace that `text` begins with is closed (after it); strings and comments are skipped.
fn matching_brace(text: &str) -> Option<usize> {
    let bytes = &text.as_bytes()[..text.len().min(BODY_BYTES_MAX)];
    let mut depth = 0_u32;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            b'"' | b'`' => at = string_end(bytes, at)?,
            // A quoted character; a lifetime or an apostrophe has no second quote near.
            b'\'' => {
                let len = if bytes.get(at + 1) == Some(&b'\\') {
                    3
                } else {
                    2
                };
                if bytes.get(at + len) == Some(&b'\'') {
                    at += len;
                } else if let Some(end) = short_string(bytes, at) {
                    at = end;
                }
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n')?;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at += 2 + bytes[at + 2..].windows(2).position(|pair| pair == b"*/")? + 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the string that begins at `at` ends: at its closing quote.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let quote = bytes[at];
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 1,
            byte if *byte == quote => return Some(end),
            b'\n' if quote == b'"' => return Some(end),
            _ => {}
        }
        end += 1;
    }
    None
}

/// The end of a string in single quotes on one line, as scripts have them.
fn short_string(bytes: &[u8], at: usize) -> Option<usize> {
    let line = bytes[at + 1..].iter().position(|byte| *byte == b'\n')?;
    let end = bytes[at + 1..at + 1 + line]
        .iter()
        .position(|byte| *byte == b'\'')?;
    let inside = &bytes[at + 1..at + 1 + end];
    // Rust's lifetimes: two of them on a line do not make a string.
    let is_lifetimes = inside.iter().any(|byte| b"<>,&:".contains(byte)) && !inside.contains(&b' ');
    (!is_lifetimes && !inside.ends_with(b"\\")).then_some(at + 1 + end)
}

/// The words of a comment, line by line, without the signs that make it one.
fn without_signs(comment: &str) -> String {
    let mut plain = String::with_capacity(comment.len());
    for line in comment.lines() {
        let line = line.trim();
        let line = line.trim_end_matches("*/").trim_end();
        let line = line.trim_start_matches(['/', '*', '!']).trim();
        plain.push_str(line);
        plain.push('\n');
    }
    plain
}
