//! Finding normalizers that blow a text up.
//!
//! A few dozen replacements of a letter by two of it, one after another, make terabytes of a short
//! text. So what each may multiply a text by is multiplied, and too much is refused.

use serde_json::Value;

/// How many bytes may become of one. Byte fallbacks and the mark for a space take three.
const GROWTH: f64 = 32.0;

/// Checks every `Replace` in `normalizer`.
pub(super) fn check(normalizer: &Value) -> Result<(), String> {
    let growth = growth(normalizer);
    match growth <= GROWTH {
        true => Ok(()),
        false => Err(format!(
            "its normalizer may make {growth:.0} bytes of one, expected at most {GROWTH}"
        )),
    }
}

fn growth(value: &Value) -> f64 {
    let inside: f64 = match value {
        Value::Object(parts) => parts.values().map(growth).product(),
        Value::Array(parts) => parts.iter().map(growth).product(),
        _ => 1.0,
    };
    let content = value["content"].as_str().map_or(0, str::len);
    let own = match (value["type"].as_str(), value["pattern"]["String"].as_str()) {
        (Some("Replace"), Some(pattern)) if !pattern.is_empty() => {
            bytes(content) / bytes(pattern.len())
        }
        // An expression may match where nothing is, between any two.
        (Some("Replace"), _) => 1.0 + bytes(content),
        _ => 1.0,
    };
    inside * own.max(1.0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "lengths in a file of 128 MiB at most"
)]
fn bytes(len: usize) -> f64 {
    len as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn replace(pattern: &Value, content: &str) -> Value {
        json!({"type": "Replace", "pattern": pattern, "content": content})
    }

    #[test]
    fn normalizers_in_use_pass() {
        for normalizer in [
            json!(null),
            json!({"type": "BertNormalizer", "lowercase": true}),
            json!({"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "▁"},
                replace(&json!({"String": " "}), "▁"),
            ]}),
            json!({"type": "Sequence", "normalizers": [
                replace(&json!({"String": "``"}), "\""),
                replace(&json!({"String": "''"}), "\""),
                {"type": "NFKD"},
                {"type": "StripAccents"},
                replace(&json!({"Regex": " {2,}"}), " "),
            ]}),
        ] {
            check(&normalizer).unwrap();
        }
    }

    #[test]
    fn replacements_that_multiply_are_refused() {
        let twice = replace(&json!({"String": "a"}), "aa");
        let sequence = |count| json!({"type": "Sequence", "normalizers": vec![&twice; count]});
        check(&sequence(5)).unwrap();
        assert!(check(&sequence(6)).unwrap_err().contains("64 bytes"));
        let nested = json!({"type": "Sequence", "normalizers": [sequence(3), sequence(3)]});
        check(&nested).unwrap_err();
        check(&sequence(2000)).unwrap_err();
        check(&replace(&json!({"Regex": ""}), &"a".repeat(40))).unwrap_err();
        check(&replace(&json!({"String": ""}), &"a".repeat(40))).unwrap_err();
    }
}
