//! English endings, taken off lightly.
//!
//! Enough that `deleting`, `deleted` and `deletes` meet, and no more: a heavier stemmer, one that
//! also takes -tion, -er and -ment, gained nothing on code, and plurals alone lost one to two
//! points of nDCG.

use super::words::WORD_BYTES_MAX;

/// The stem of `word`, in `room` where it differs. Words that are not four or more letters a to z
/// are their own stem.
pub(super) fn stem<'a>(word: &'a str, room: &'a mut [u8; WORD_BYTES_MAX]) -> &'a str {
    let bytes = word.as_bytes();
    if bytes.len() < 4 || bytes.len() > WORD_BYTES_MAX || !bytes.iter().all(u8::is_ascii_lowercase)
    {
        return word;
    }
    let room = &mut room[..bytes.len()];
    room.copy_from_slice(bytes);
    let len = plural(room, bytes.len());
    let len = ending_of_verbs(room, len);
    let len = ending(room, len);
    std::str::from_utf8(&room[..len]).unwrap_or(word)
}

/// The length of `word[..len]` without its plural; like the others below it may change the last
/// letter that stays.
fn plural(word: &mut [u8], len: usize) -> usize {
    let it = &word[..len];
    if it.ends_with(b"sses") {
        len - 2
    } else if it.ends_with(b"ies") && len > 4 {
        word[len - 3] = b'y';
        len - 2
    } else if !it.ends_with(b"s") || [b"ss", b"us", b"is"].iter().any(|s| it.ends_with(*s)) {
        len
    } else if len > 4
        && [&b"xes"[..], b"ches", b"shes", b"zes"]
            .iter()
            .any(|s| it.ends_with(s))
    {
        len - 2
    } else {
        len - 1
    }
}

/// Takes off one of -ing, -ed, -ly.
fn ending_of_verbs(word: &[u8], len: usize) -> usize {
    let it = &word[..len];
    let has_vowel = |stem: &[u8]| stem.iter().any(|b| b"aeiouy".contains(b));
    if len > 5 && it.ends_with(b"ing") && has_vowel(&it[..len - 3]) {
        undouble(it, len - 3)
    } else if len > 4 && it.ends_with(b"ed") && !it.ends_with(b"eed") && has_vowel(&it[..len - 2]) {
        undouble(it, len - 2)
    } else if len > 5 && it.ends_with(b"ly") {
        len - 2
    } else {
        len
    }
}

/// `stopped` came from `stop`, but `called` from `call`.
fn undouble(word: &[u8], len: usize) -> usize {
    match word[..len] {
        [.., a, b] if a == b && !b"aeioulsz".contains(&b) => len - 1,
        _ => len,
    }
}

fn ending(word: &mut [u8], len: usize) -> usize {
    let mut len = len;
    if len > 4 && word[len - 1] == b'e' {
        len -= 1;
    }
    if len > 3 && word[len - 1] == b'i' {
        word[len - 1] = b'y';
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_meet() {
        for (forms, expected) in [
            (&["delete", "deletes", "deleted", "deleting"][..], "delet"),
            (&["stop", "stops", "stopped", "stopping"], "stop"),
            (&["call", "calls", "called", "calling"], "call"),
            (&["query", "queries"], "query"),
            (&["class", "classes"], "class"),
            (&["box", "boxes"], "box"),
            (&["branch", "branches"], "branch"),
            (&["quick", "quickly"], "quick"),
        ] {
            for form in forms {
                assert_eq!(stem(form, &mut [0; WORD_BYTES_MAX]), expected, "{form}");
            }
        }
    }

    #[test]
    fn some_words_stay() {
        for word in [
            "", "s", "is", "as", "bus", "string", "this", "status", "axis", "need", "feed",
            "größes", "utf8s", "red", "king",
        ] {
            assert_eq!(stem(word, &mut [0; WORD_BYTES_MAX]), word);
        }
        let long = "s".repeat(WORD_BYTES_MAX + 1);
        assert_eq!(stem(&long, &mut [0; WORD_BYTES_MAX]), long);
    }
}
