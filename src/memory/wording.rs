//! How alike two short texts are in their wording: what decides between tasks that share most of
//! their words.
//!
//! Tasks of one environment come out of templates, so a bag of words cannot tell "melt lead" from
//! "freeze lead" when "lead" is the rarer word. Phrases can. The likeness is the cosine of the
//! counts of all runs of one to [`LONGEST_RUN`] words, saturated as BM25 does, with no weights
//! learned or counted over a collection. It is symmetric: words that a text has beyond the other
//! count against it, which a dot product never does.

/// Words in the longest run that is compared.
const LONGEST_RUN: usize = 3;

/// Beyond this many words a text is compared by its beginning: tasks are short, and a text of
/// another kind must not cost more than the search did.
const WORDS_MOST: usize = 512;

/// The runs of a text with their saturated counts, by rising digest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wording {
    runs: Vec<(u64, f32)>,
    norm: f32,
}

impl Wording {
    pub(super) fn of(text: &str) -> Wording {
        let mut found = Vec::new();
        let mut recent = [0_u64; LONGEST_RUN];
        let mut seen = 0;
        for word in words(text).take(WORDS_MOST) {
            recent.rotate_right(1);
            recent[0] = word;
            seen = (seen + 1).min(LONGEST_RUN);
            let mut run = 0_u64;
            for &word in &recent[..seen] {
                run = run
                    .rotate_left(5)
                    .wrapping_add(word)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15);
                found.push(run);
            }
        }
        found.sort_unstable();
        let runs: Vec<(u64, f32)> = found
            .chunk_by(|one, other| one == other)
            .map(|same| {
                // At most `WORDS_MOST` times `LONGEST_RUN`, so it fits.
                let count = f32::from(u16::try_from(same.len()).unwrap_or(u16::MAX));
                (same[0], count * 2.2 / (count + 1.2))
            })
            .collect();
        let norm = runs
            .iter()
            .map(|(_, count)| count * count)
            .sum::<f32>()
            .sqrt();
        Wording { runs, norm }
    }

    /// 0 for nothing in common, 1 for the same runs.
    pub(super) fn likeness(&self, other: &Wording) -> f32 {
        if self.norm == 0.0 || other.norm == 0.0 {
            return 0.0;
        }
        let mut sum = 0.0_f64;
        let mut rest = other.runs.iter().peekable();
        for &(run, count) in &self.runs {
            while rest.next_if(|(theirs, _)| *theirs < run).is_some() {}
            if let Some((_, theirs)) = rest.next_if(|(theirs, _)| *theirs == run) {
                sum += f64::from(count) * f64::from(*theirs);
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a ratio between 0 and 1 is rounded"
        )]
        let likeness = (sum / (f64::from(self.norm) * f64::from(other.norm))) as f32;
        likeness.min(1.0)
    }
}

/// Digests of the words of a text, lower-cased.
fn words(text: &str) -> impl Iterator<Item = u64> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.chars()
                .flat_map(char::to_lowercase)
                .fold(0xcbf2_9ce4_8422_2325, |hash, letter| {
                    (hash ^ u64::from(u32::from(letter))).wrapping_mul(0x0100_0000_01b3)
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn likeness(one: &str, other: &str) -> f32 {
        Wording::of(one).likeness(&Wording::of(other))
    }

    #[test]
    fn phrases_decide_and_extra_words_count_against() {
        let task = |what: &str| {
            format!(
                "Your task is to {what}. First, focus on the substance. Then, take actions that \
                 will cause it to change its state of matter."
            )
        };
        // By single words the third has more of the first than the second has: "lead".
        let (asked, same, other) = (
            task("melt lead"),
            task("melt tin"),
            task("change the state of matter of lead"),
        );
        assert!(likeness(&asked, &same) > likeness(&asked, &other));
        assert!(likeness("melt tin", "melt tin") > 0.999);
        assert!(likeness("melt tin", "melt tin and then freeze the tin") < 0.9);
        assert_eq!(likeness("", "melt"), 0.0);
        assert_eq!(likeness("TIN", "tin"), 1.0);
        assert!((likeness("a b c", "c b a") - likeness("c b a", "a b c")).abs() < 1e-6);
        assert!(likeness("a b c", "c b a") < 0.6);
    }
}
