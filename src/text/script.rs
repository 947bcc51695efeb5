//! Characters: which belong to words, which stand alone, and how they fold.
//!
//! The standard library knows letters, digits and case, but not marks: the signs inside words of
//! Indic and other scripts that are no letters themselves stand in a table here.

/// What a character is to the splitter of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Belongs to no word.
    Break,
    /// A small letter, or a letter of a script without case.
    Lower,
    Upper,
    Digit,
    Underscore,
    /// Joins the letter before it: accents, viramas, joiners.
    Mark,
    /// A character of a script that puts no spaces between words.
    Unspaced,
}

const ASCII: [Kind; 128] = {
    let mut kinds = [Kind::Break; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        kinds[byte as usize] = match byte {
            b'a'..=b'z' => Kind::Lower,
            b'A'..=b'Z' => Kind::Upper,
            b'0'..=b'9' => Kind::Digit,
            b'_' => Kind::Underscore,
            _ => Kind::Break,
        };
        byte += 1;
    }
    kinds
};

#[inline]
pub(super) fn kind(c: char) -> Kind {
    match ASCII.get(c as usize) {
        Some(kind) => *kind,
        None => kind_beyond_ascii(c),
    }
}

fn kind_beyond_ascii(c: char) -> Kind {
    if c < '\u{300}' {
        // Latin-1 and the rest of Latin, without a search.
        return match c {
            '\u{ad}' => Kind::Mark,
            'ª' | 'º' | 'ß'..='ö' | 'ø'..='ÿ' => Kind::Lower,
            'À'..='Ö' | 'Ø'..='Þ' => Kind::Upper,
            '\u{100}'.. if c.is_uppercase() => Kind::Upper,
            '\u{100}'.. => Kind::Lower,
            _ if c.is_numeric() => Kind::Digit,
            _ if c.is_alphabetic() => Kind::Lower,
            _ => Kind::Break,
        };
    }
    if is_unspaced(c) {
        Kind::Unspaced
    } else if is_mark(c) {
        Kind::Mark
    } else if c.is_numeric() {
        Kind::Digit
    } else if c.is_uppercase() {
        Kind::Upper
    } else if c.is_alphabetic() {
        Kind::Lower
    } else {
        Kind::Break
    }
}

/// Appends the folded form of `c`; nothing for what is left out.
#[inline]
pub(super) fn push_lower(c: char, to: &mut String) {
    if c.is_ascii() {
        to.push(c.to_ascii_lowercase());
        return;
    }
    match c {
        // Soft hyphen, joiners, Arabic tatweel and vowel points, Hebrew points, variation
        // selectors: written by some and left out by others.
        '\u{ad}' | '\u{200c}' | '\u{200d}' | '\u{640}' | '\u{64b}'..='\u{652}' | '\u{670}' => {}
        '\u{591}'..='\u{5c7}' | '\u{fe00}'..='\u{fe0f}' => {}
        // Unicode lower-cases it to an i with a second dot, which no small letter in a text has.
        'İ' => to.push('i'),
        'ς' => to.push('σ'),
        // Full-width forms of ASCII lie at a fixed distance from it.
        '\u{ff10}'..='\u{ff19}' | '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}' => {
            let ascii = char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c);
            to.push(ascii.to_ascii_lowercase());
        }
        _ => to.extend(c.to_lowercase()),
    }
}

/// Han, Hiragana, Katakana, Thai, Lao, Burmese, Khmer: letters and their marks, not digits or
/// punctuation.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e01}'..='\u{e3a}' | '\u{e40}'..='\u{e4e}'
        | '\u{e81}'..='\u{ece}' | '\u{edc}'..='\u{edf}'
        | '\u{1000}'..='\u{103f}' | '\u{1050}'..='\u{108f}' | '\u{109a}'..='\u{109d}'
        | '\u{1780}'..='\u{17d3}' | '\u{17d7}' | '\u{17dc}' | '\u{17dd}'
        | '\u{3005}'..='\u{3007}' | '\u{3041}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}'
        | '\u{30fc}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{a9e0}'..='\u{a9ef}' | '\u{aa60}'..='\u{aa7f}'
        | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9f}' | '\u{1b000}'..='\u{1b16f}'
        | '\u{20000}'..='\u{323af}')
}

/// Signs inside words that Unicode does not count as letters.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5bd}' | '\u{5bf}'
        | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}'
        | '\u{640}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}'
        | '\u{6df}'..='\u{6e4}' | '\u{6e7}' | '\u{6e8}' | '\u{6ea}'..='\u{6ed}' | '\u{711}'
        | '\u{730}'..='\u{74a}' | '\u{93c}' | '\u{94d}' | '\u{951}'..='\u{954}' | '\u{9bc}'
        | '\u{9cd}' | '\u{a3c}' | '\u{a4d}' | '\u{abc}' | '\u{acd}' | '\u{b3c}' | '\u{b4d}'
        | '\u{bcd}' | '\u{c3c}' | '\u{c4d}' | '\u{cbc}' | '\u{ccd}' | '\u{d3b}' | '\u{d3c}'
        | '\u{d4d}' | '\u{dca}' | '\u{f35}' | '\u{f37}' | '\u{f39}' | '\u{f71}'..='\u{f84}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1b34}' | '\u{1b44}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{200c}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{302a}'..='\u{302f}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_characters() {
        for (c, expected) in [
            ('a', Kind::Lower),
            ('Z', Kind::Upper),
            ('7', Kind::Digit),
            ('_', Kind::Underscore),
            ('-', Kind::Break),
            ('×', Kind::Break),
            ('÷', Kind::Break),
            ('Ž', Kind::Upper),
            ('ž', Kind::Lower),
            ('ـ', Kind::Mark),
            ('۳', Kind::Digit),
            ('한', Kind::Lower),
            ('語', Kind::Unspaced),
            ('、', Kind::Break),
            ('・', Kind::Break),
            ('ー', Kind::Unspaced),
            ('฿', Kind::Break),
            ('๕', Kind::Digit),
            ('\u{fffd}', Kind::Break),
            ('😀', Kind::Break),
        ] {
            assert_eq!(kind(c), expected, "{c:?}");
        }
    }

    #[test]
    fn every_character_folds_to_little() {
        let mut folded = String::new();
        for c in '\0'..=char::MAX {
            folded.clear();
            push_lower(c, &mut folded);
            assert!(folded.len() <= 6, "{c:?}");
        }
    }
}
