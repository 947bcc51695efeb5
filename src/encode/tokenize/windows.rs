//! Cutting a text's tokens into inputs that a model takes.
//!
//! An input is the special tokens in front, the prompt, some of the text, the special tokens
//! behind. Cuts fall between tokens only, and what did not fit is said.

use std::ops::Range;

/// A text as tokens.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// Special tokens in front.
    pub(crate) prefix: Vec<u32>,
    /// The prompt's tokens.
    pub(crate) prompt: Vec<u32>,
    /// The text's tokens.
    pub(crate) body: Vec<u32>,
    /// Where each stands in the text, in bytes.
    pub(crate) places: Vec<Range<usize>>,
    /// Special tokens behind.
    pub(crate) suffix: Vec<u32>,
}

/// How much of a text goes into one input, and what happens to the rest.
#[cfg(any(feature = "onnx", feature = "native"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// The longest input, special tokens and prompt included.
    pub(crate) tokens: usize,
    /// How many tokens a window shares with the one before; `None` drops what does not fit.
    pub(crate) overlap: Option<usize>,
}

/// One input to a model.
#[cfg(any(feature = "onnx", feature = "native"))]
#[derive(Debug)]
pub(crate) struct Window {
    /// The tokens.
    pub(crate) ids: Vec<u32>,
    /// Which of them the text and its prompt gave; the others are special.
    pub(crate) own: Range<usize>,
    /// The part of the text, in bytes.
    pub(crate) place: Range<usize>,
}

#[cfg(any(feature = "onnx", feature = "native"))]
impl Pieces {
    /// The inputs for this text, at least one, and how many of its tokens are in none.
    pub(crate) fn windows(&self, room: Room) -> (Vec<Window>, usize) {
        let special = self.prefix.len() + self.suffix.len();
        let space = room.tokens.saturating_sub(special);
        let prompt = &self.prompt[..self.prompt.len().min(space)];
        let space = space - prompt.len();
        let Some(overlap) = room.overlap.filter(|_| space > 0) else {
            let kept = self.body.len().min(space);
            return (vec![self.window(prompt, 0..kept)], self.body.len() - kept);
        };
        let step = space - overlap.min(space - 1);
        let mut windows = Vec::new();
        let mut start = 0;
        loop {
            let end = self.body.len().min(start + space);
            windows.push(self.window(prompt, start..end));
            if end == self.body.len() {
                return (windows, 0);
            }
            start += step;
        }
    }

    fn window(&self, prompt: &[u32], body: Range<usize>) -> Window {
        let ids = [&self.prefix, prompt, &self.body[body.clone()], &self.suffix].concat();
        let place = match (self.places.get(body.start), self.places[..body.end].last()) {
            (Some(first), Some(last)) if !body.is_empty() => first.start..last.end,
            _ => 0..0,
        };
        Window {
            own: self.prefix.len()..ids.len() - self.suffix.len(),
            ids,
            place,
        }
    }
}

#[cfg(any(feature = "onnx", feature = "native"))]
#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(body: u32) -> Pieces {
        let places = (0..usize::try_from(body).unwrap()).map(|at| at * 3..at * 3 + 2);
        Pieces {
            prefix: vec![101],
            prompt: vec![7],
            body: (1000..1000 + body).collect(),
            places: places.collect(),
            suffix: vec![102],
        }
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let (windows, lost) = pieces(9).windows(Room {
            tokens: 8,
            overlap: None,
        });
        assert_eq!(windows.len(), 1);
        assert_eq!(windows[0].ids, [101, 7, 1000, 1001, 1002, 1003, 1004, 102]);
        assert_eq!(
            (lost, windows[0].own.clone(), windows[0].place.clone()),
            (4, 1..7, 0..14)
        );
        for tokens in 0..4 {
            let (windows, lost) = pieces(9).windows(Room {
                tokens,
                overlap: None,
            });
            assert_eq!((windows.len(), lost), (1, 9), "{tokens}");
        }
    }

    #[test]
    fn windows_cover_every_token() {
        for body in 0..40 {
            for tokens in 3..20 {
                for overlap in [0, 1, 3, 30] {
                    let room = Room {
                        tokens,
                        overlap: Some(overlap),
                    };
                    let (windows, lost) = pieces(body).windows(room);
                    let mut seen: Vec<u32> = windows.iter().flat_map(|w| w.ids.clone()).collect();
                    seen.retain(|id| *id >= 1000);
                    seen.sort_unstable();
                    seen.dedup();
                    if tokens > 3 {
                        assert_eq!(lost, 0);
                        assert_eq!(seen, (1000..1000 + body).collect::<Vec<_>>());
                    }
                    assert!(windows.iter().all(|w| w.ids.len() <= tokens));
                }
            }
        }
    }
}
