//! From a word to its number: open addressing over the table's own strings.
//!
//! Half full at most, so that a word the table does not know costs a probe or two. The standard
//! map would hold every word a second time and hash four times as slowly.

/// No word.
const FREE: u32 = u32::MAX;

#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    /// A power of two; numbers of words, or [`FREE`].
    slots: Vec<u32>,
}

impl Lookup {
    pub(super) fn with_room_for(words: u32) -> Lookup {
        let room = (words as usize).saturating_mul(2).max(2);
        Lookup {
            slots: vec![FREE; room.next_power_of_two()],
        }
    }

    /// The number of the word with these bytes, where `is_same` knows it.
    pub(super) fn find(&self, bytes: &[u8], is_same: impl Fn(u32) -> bool) -> Option<u32> {
        self.slot(bytes, is_same).err()
    }

    /// The free slot for a word, or the number of the same word.
    pub(super) fn slot(&self, bytes: &[u8], is_same: impl Fn(u32) -> bool) -> Result<usize, u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash(bytes) & mask;
        loop {
            match self.slots[at] {
                FREE => return Ok(at),
                id if is_same(id) => return Err(id),
                _ => at = (at + 1) & mask,
            }
        }
    }

    pub(super) fn fill(&mut self, slot: usize, id: u32) {
        self.slots[slot] = id;
    }
}

/// Eight bytes a step, multiplied and folded. Tables are checked for equal words and at most half
/// full, so a bad distribution costs time only.
fn hash(bytes: &[u8]) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = FACTOR ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(FACTOR);
        hash ^= hash >> 29;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "any bits do for a slot, and the mask takes the low ones"
    )]
    let hash = hash as usize;
    hash
}
