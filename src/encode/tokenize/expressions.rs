//! Finding regular expressions that could run for ever, before any text meets them.
//!
//! The engine stops a match after a million steps, and the tokenizer then takes the rest of the
//! text as one word: no hang, but other tokens than the model was trained on, in silence. So each
//! expression of the file is tried on runs of characters that it names. An expression with nested
//! repetitions gives up on a few dozen of them; the ones in use match in microseconds.

use fancy_regex::{Error, Regex, RegexBuilder};

/// Long enough for an exponential expression to pass any limit, short enough for all others.
const RUN: usize = 48;

/// Steps allowed per match: a thousandfold of what honest expressions need for such a run.
const STEPS: usize = 100_000;

/// More expressions than any tokenizer has.
const EXPRESSIONS: usize = 64;

/// The longest known expression, GPT-4o's, has 600 bytes.
const LENGTH: usize = 16 << 10;

/// Checks every `{"Regex": "…"}` in `file`, a `tokenizer.json`.
pub(super) fn check(file: &serde_json::Value) -> Result<(), String> {
    let mut found = Vec::new();
    // The vocabulary is most of the file and has no expressions.
    for part in ["normalizer", "pre_tokenizer", "post_processor", "decoder"] {
        collect(&file[part], &mut found);
    }
    if found.len() > EXPRESSIONS {
        return Err(format!(
            "it has {} regular expressions, expected at most {EXPRESSIONS}",
            found.len()
        ));
    }
    found.into_iter().try_for_each(try_out)
}

fn collect<'a>(value: &'a serde_json::Value, found: &mut Vec<&'a str>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                match value.as_str() {
                    Some(expression) if key == "Regex" => found.push(expression),
                    _ => collect(value, found),
                }
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

fn try_out(expression: &str) -> Result<(), String> {
    if expression.len() > LENGTH {
        return Err(format!(
            "a regular expression of {} bytes, expected at most {LENGTH}",
            expression.len()
        ));
    }
    let regex = RegexBuilder::new(expression)
        .backtrack_limit(STEPS)
        .build()
        .map_err(|why| format!("the regular expression {expression:?} cannot be used: {why}"))?;
    for text in trials(expression) {
        if runs_away(&regex, &text) {
            return Err(format!(
                "the regular expression {expression:?} needs more than {STEPS} steps for {} characters: it would run for ever on ordinary text",
                text.chars().count()
            ));
        }
    }
    Ok(())
}

fn runs_away(regex: &Regex, text: &str) -> bool {
    regex
        .find_iter(text)
        .any(|found| matches!(found, Err(Error::RuntimeError(_))))
}

/// Runs of the characters that the expression names, and of one of each class, each followed by
/// something that spoils a match.
fn trials(expression: &str) -> Vec<String> {
    let mut characters: Vec<char> = expression.chars().collect();
    characters.extend("aA0 \n\t_.é中".chars());
    characters.sort_unstable();
    characters.dedup();
    let mut trials = Vec::new();
    for character in characters.into_iter().take(256) {
        let run: String = std::iter::repeat_n(character, RUN).collect();
        trials.push(format!("{run}\u{1}"));
        trials.push(run);
    }
    trials.push(format!("{}!", "aB".repeat(RUN / 2)));
    trials.push(format!("{}!", "a ".repeat(RUN / 2)));
    trials
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(expression: &str) -> serde_json::Value {
        serde_json::json!({
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": expression}}
            ]}
        })
    }

    #[test]
    fn expressions_in_use_pass() {
        for expression in [
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            " {2,}",
        ] {
            check(&file(expression)).unwrap();
        }
    }

    #[test]
    fn nested_repetitions_are_refused() {
        for expression in [
            r"(a+)+\b(?!x)$",
            r"(?:(?=x)x+x*)+y",
            r"(?:\w(?!#)|\w\w)*#",
            r"(?:\s(?!#)|\s\s)*#",
        ] {
            let error = check(&file(expression)).unwrap_err();
            assert!(error.contains("steps"), "{expression}: {error}");
        }
        assert!(check(&file("(")).is_err());
    }
}
