//! The splitter of words, over any text there is.

use proptest::prelude::*;
use sparsely::{
    Encoder, LexicalEncoder,
    text::{self, LineWindows, WORD_BYTES_MAX},
};

fn list(text: &str) -> Vec<(String, usize)> {
    let mut list = Vec::new();
    text::words(text, |word| list.push((word.text.to_owned(), word.offset)));
    list
}

/// Text that looks like code in several scripts: plain random characters are hardly ever next to
/// their kin.
fn mixed() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z]{1,8}",
        "[A-Z]{1,5}",
        "[0-9]{1,3}",
        "[_ .:;(){}=<>/#@*\r\n\t-]{1,3}",
        "[ÀßéİıŁσςЖя]{1,4}",
        "[कि्षهَـבּ]{1,5}",
        "[東京のをガー。、]{1,4}",
        "[ไทย๑ລາວខ្មမြန်]{1,4}",
        "[Ａｂ１\u{200d}\u{ad}\u{301}\u{fe0f}😀]{1,3}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn words_keep_their_promises(text in mixed()) {
        let words = list(&text);
        for (word, offset) in &words {
            prop_assert!(!word.is_empty());
            prop_assert!(text.is_char_boundary(*offset) && *offset < text.len());
            prop_assert!(word.len() <= 3 * WORD_BYTES_MAX);
            prop_assert!(!word.contains(char::is_whitespace), "{word:?}");
            prop_assert!(!word.bytes().any(|b| b.is_ascii_uppercase()), "{word:?}");
        }
        prop_assert_eq!(list(&text), words, "the same every time");
    }

    #[test]
    fn words_of_lines_are_words_of_the_text(lines in prop::collection::vec(mixed(), 0..5)) {
        let lines: Vec<String> = lines.iter().map(|line| line.replace(['\r', '\n'], " ")).collect();
        let apart: Vec<String> = lines.iter().flat_map(|line| list(line)).map(|word| word.0).collect();
        let together: Vec<String> = list(&lines.join("\n")).into_iter().map(|word| word.0).collect();
        prop_assert_eq!(apart, together);
    }

    #[test]
    fn spelling_of_identifiers_does_not_matter(parts in prop::collection::vec("[a-z]{2,7}", 2..5)) {
        let capital = |part: &String| part[..1].to_uppercase() + &part[1..];
        let camel = parts[0].clone() + &parts[1..].iter().map(capital).collect::<String>();
        let words = |text: &str| list(text).into_iter().map(|word| word.0).collect::<Vec<_>>();
        prop_assert_eq!(words(&camel), words(&parts.join("_")));
        prop_assert_eq!(words(&camel).pop(), words(&parts.concat()).pop());
    }

    #[test]
    fn signatures_and_shares_hold_for_any_text(text in mixed()) {
        let share = text::code_share(&text);
        prop_assert!((0.0..=1.0).contains(&share));
        if let Some(span) = text::signature(&text) {
            prop_assert!(span.start <= span.end && span.end <= text.len());
        }
    }

    #[test]
    fn windows_hold_the_text(text in mixed(), lines in 1_usize..5, overlap in 0_usize..4) {
        prop_assume!(overlap < lines);
        let mut covered = 0;
        for passage in LineWindows::new(lines, overlap).unwrap().cut(&text) {
            prop_assert_eq!(&text[passage.offset..][..passage.text.len()], passage.text);
            prop_assert!(passage.offset <= covered);
            covered = passage.offset + passage.text.len();
        }
        prop_assert_eq!(covered, text.len());
    }

    #[test]
    fn every_word_of_a_document_is_a_readable_term(text in mixed()) {
        for encoder in [LexicalEncoder::code(), LexicalEncoder::text(), LexicalEncoder::auto()] {
            let vector = encoder.encode_document(&text).unwrap();
            let limit = encoder.weight_limit().unwrap();
            let words = list(&text);
            prop_assert_eq!(vector.is_empty(), words.is_empty());
            for (term, weight) in vector.iter() {
                prop_assert!(weight <= limit);
                let name = encoder.term(term).expect("the word was just seen");
                prop_assert!(words.iter().any(|(word, _)| *word == name));
            }
            let query = encoder.encode_query(&text).unwrap();
            prop_assert_eq!(query.terms(), vector.terms());
            prop_assert_eq!(&vector, &encoder.encode_document(&text).unwrap());
        }
    }
}

/// Ids and weights stand in indexes: another run, another machine and another encoder value must
/// give the same.
#[test]
fn vectors_are_the_same_everywhere() {
    let text = "def readFile(path):\n    return open(path) # 読む";
    let vector = LexicalEncoder::code().encode_document(text).unwrap();
    let shown: Vec<String> = vector
        .iter()
        .map(|(term, weight)| format!("{term} {weight:.4}"))
        .collect();
    assert_eq!(shown, VECTOR);
}

/// `path` counts 4, the other words of the signature 3, `return`, `open` and the pair 1, of 19.
const VECTOR: [&str; 8] = [
    "152038872 2.2909",
    "1860688481 3.0920",
    "2141658226 2.2909",
    "2740204322 2.9764",
    "2923602713 2.2909",
    "3291712576 2.9764",
    "3441210380 2.9764",
    "3852409690 2.9764",
];

/// Runs of 64 bytes and more, of every kind, in time that grows with the text.
#[test]
fn long_texts_of_one_kind() {
    let encoder = LexicalEncoder::auto();
    for piece in [
        "a", "A", "aB", "_", "0", "a_", "é", "東", "ท", "\u{301}", "{", "//\n", "/*", "s", "Às",
    ] {
        let text = piece.repeat(200_000 / piece.len());
        let vector = encoder.encode_document(&text).unwrap();
        assert!(vector.len() <= 64, "{piece}: {}", vector.len());
    }
}
