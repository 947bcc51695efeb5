//! Functions of Python: a `def`, what is indented under it, and its docstring.

use super::{Definition, passage};

const SIGNATURE_BYTES_MAX: usize = 1000;

pub(super) fn definitions(text: &str) -> Vec<Definition> {
    let mut found = Vec::new();
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let trimmed = line.trim_start_matches([' ', '\t']);
        let indent = line.len() - trimmed.len();
        let head = trimmed.strip_prefix("async ").unwrap_or(trimmed);
        let head = head
            .strip_prefix("def ")
            .or_else(|| head.strip_prefix("cpdef "));
        let Some(head) = head else { continue };
        let name: String = head
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if name.is_empty() {
            continue;
        }
        if let Some(definition) = definition(&text[start..], indent, name) {
            found.push(definition);
        }
    }
    found
}

/// The definition whose line `text` begins with.
fn definition(text: &str, indent: usize, name: String) -> Option<Definition> {
    let signature = signature_len(text)?;
    let mut end = signature;
    for line in text[signature..].split_inclusive('\n') {
        let trimmed = line.trim_start_matches([' ', '\t']);
        let is_blank = trimmed.trim().is_empty();
        if !is_blank && line.len() - trimmed.len() <= indent {
            break;
        }
        end += line.len();
    }
    let body = &text[signature..end];
    let (comment, code_from) = docstring(body).unwrap_or((String::new(), 0));
    let code = [&text[..signature], &body[code_from..]].concat();
    let code = passage(&code)?.to_owned();
    Some(Definition {
        name,
        comment,
        code,
    })
}

/// The length of the signature with its line end: to a colon outside brackets that ends a line.
fn signature_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_i32;
    for (at, byte) in bytes.iter().enumerate().take(SIGNATURE_BYTES_MAX) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b':' if depth == 0 => {
                let rest = text.get(at + 1..)?;
                let line_end = rest.find('\n')? + 1;
                let after = rest[..line_end].trim();
                return (after.is_empty() || after.starts_with('#')).then_some(at + 1 + line_end);
            }
            _ => {}
        }
    }
    None
}

/// What the docstring at the head of `body` says, and where the code after it begins.
fn docstring(body: &str) -> Option<(String, usize)> {
    let start = body.len() - body.trim_start().len();
    let head = &body[start..];
    let prefix = head.len() - head.trim_start_matches(['r', 'R', 'u', 'U', 'b']).len();
    let quoted = head.get(prefix..)?;
    let quote = ["\"\"\"", "'''"]
        .into_iter()
        .find(|quote| quoted.starts_with(quote))?;
    let inner = &quoted[3..];
    let len = inner.find(quote)?;
    let end = start + prefix + 3 + len + 3;
    let line_end = body[end..].find('\n').map_or(body.len(), |at| end + at + 1);
    Some((inner[..len].to_owned(), line_end))
}
