//! One block: the whole vectors of up to eight documents in one run of bytes, by term.
//!
//! A header, a directory of buckets, then one record per bucket: keys of its terms, masks of the
//! documents that have them, impacts. Finding a term touches one line of the directory and one or
//! two of a record. Terms go by their *number* in the segment; the low bits of a number choose the
//! bucket, the rest is the key. `docs/format.md` has the bytes.
//!
//! Whatever the bytes hold, nothing here panics, reads outside the block's own bytes (and the
//! padding behind them) or runs longer than a block is long.

use crate::simd::{LANES, largest_byte, prefetch};

/// Bytes behind the last block of a section, so that impacts can be loaded eight at a time.
pub(crate) const PADDING: usize = 8;

const HEADER_LEN: usize = 4;
const LOG_BUCKETS_MAX: u8 = 16;

/// How a directory entry holds a record's place and number of terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entries {
    /// `u16`: 12 bits of place, 4 of count.
    Narrow,
    /// `u32`: 20 and 12.
    Medium,
    /// `u64`: 32 and 32.
    Wide,
}

impl Entries {
    const fn len(self) -> usize {
        match self {
            Entries::Narrow => 2,
            Entries::Medium => 4,
            Entries::Wide => 8,
        }
    }

    const fn place_bits(self) -> u32 {
        match self {
            Entries::Narrow => 12,
            Entries::Medium => 20,
            Entries::Wide => 32,
        }
    }

    /// Bits of an entry that hold a count: what its place leaves.
    const fn count_bits(self) -> u32 {
        match self {
            Entries::Narrow => 4,
            Entries::Medium => 12,
            Entries::Wide => 32,
        }
    }

    /// Whether a place and a count fit.
    const fn hold(self, place: u64, count: u64) -> bool {
        place >> self.place_bits() == 0 && count >> self.count_bits() == 0
    }

    fn from_len(len: u8) -> Option<Entries> {
        match len {
            2 => Some(Entries::Narrow),
            4 => Some(Entries::Medium),
            8 => Some(Entries::Wide),
            _ => None,
        }
    }
}

/// A block whose header was checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'a> {
    directory: &'a [u8],
    /// Records and padding.
    records: &'a [u8],
    entries: Entries,
    log_buckets: u8,
    key_len: u8,
    reserved: u8,
}

/// A term of a block: which documents have it, and their impacts in the low bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) mask: u8,
    pub(crate) impacts: u64,
}

/// Terms of a record whose keys, and masks, are looked at together.
const FEW: usize = 8;

/// Which of the bytes of `keys` is the first that is `key`, 8 if none; without a branch on any byte,
/// because a loop over so few mispredicts its end more often than not.
#[inline(always)]
fn first_equal(keys: u64, key: u8) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let different = keys ^ (ONES * u64::from(key));
    // The top bit of every zero byte, and of some bytes above one: the lowest is right.
    let zeros = different.wrapping_sub(ONES) & !different & (ONES << 7);
    zeros.trailing_zeros() as usize / 8
}

/// Which of the `count` low bytes of `keys` is `key`, the lowest if several.
#[inline]
fn position(keys: u64, key: u32, count: usize) -> Option<usize> {
    let at = first_equal(keys, u8::try_from(key).ok()?);
    (at < count).then_some(at)
}

impl Found {
    /// The impact of a lane that has the term.
    #[inline]
    pub(crate) fn of(self, lane: usize) -> u8 {
        let before = self.mask & ((1_u8 << (lane % LANES)) - 1);
        self.impacts.to_le_bytes()[before.count_ones() as usize]
    }

    /// The largest impact; 0 without any.
    #[inline(always)]
    pub(crate) fn largest(self) -> u8 {
        // Without a loop of unknown length, whose end would be mispredicted.
        let others = 64 - 8 * self.mask.count_ones();
        let own = self.impacts & u64::MAX.checked_shr(others).unwrap_or(0);
        largest_byte(own)
    }
}

impl<'a> Block<'a> {
    /// A block and the padding (or whatever follows) behind it.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Block<'a>> {
        let (&[entry_len, log_buckets, key_len, reserved], rest) = bytes.split_first_chunk()?;
        let entries = Entries::from_len(entry_len)?;
        if log_buckets > LOG_BUCKETS_MAX || !matches!(key_len, 1 | 2 | 4) {
            return None;
        }
        let (directory, records) = rest.split_at_checked(entries.len() << log_buckets)?;
        Some(Block {
            directory,
            records,
            entries,
            log_buckets,
            key_len,
            reserved,
        })
    }

    /// Whether the bytes without meaning are zero, as a writer leaves them.
    pub(crate) fn is_canonical(&self) -> bool {
        self.reserved == 0
    }

    /// Asks for the record that [`Block::probe`] of this term needs.
    #[inline]
    pub(crate) fn prefetch_record(&self, number: u32) {
        let (place, _) = self.entry(self.bucket(number));
        prefetch(self.records, place);
    }

    /// The postings of the term `number`, with an empty mask where the block lacks it: what
    /// [`Block::find`] says, and in blocks of usual documents without a branch on the answer, which
    /// would be mispredicted for every third term.
    #[inline(always)]
    pub(crate) fn probe(&self, number: u32) -> Found {
        match self.probe_few(number) {
            Some(found) => found,
            None => self.probe_any(number),
        }
    }

    #[cold]
    #[inline(never)]
    fn probe_any(&self, number: u32) -> Found {
        let none = Found {
            mask: 0,
            impacts: 0,
        };
        self.find(number).unwrap_or(none)
    }

    /// None where keys are not bytes, are many, or lie at the very end.
    #[inline(always)]
    fn probe_few(&self, number: u32) -> Option<Found> {
        let (place, count) = self.entry(self.bucket(number));
        let key = u8::try_from(number >> self.log_buckets).ok()?;
        if self.key_len != 1 || count > FEW {
            return None;
        }
        let eight = |at: usize| {
            let bytes = self.records.get(at..)?.first_chunk()?;
            Some(u64::from_le_bytes(*bytes))
        };
        let at = first_equal(eight(place)?, key);
        let masks = eight(place + count)?;
        // No term is at 8, whose shift would be too large.
        let shift = 8 * (at % FEW);
        let before = (masks & ((1 << shift) - 1)).count_ones() as usize;
        let mask = (masks >> shift).to_le_bytes()[0];
        Some(Found {
            mask: if at < count { mask } else { 0 },
            impacts: eight(place + 2 * count + before)?,
        })
    }

    /// The postings of the term `number`.
    #[inline]
    pub(crate) fn find(&self, number: u32) -> Option<Found> {
        let (place, count) = self.entry(self.bucket(number));
        let key = number >> self.log_buckets;
        let record = self.records.get(place..)?;
        let key_len = usize::from(self.key_len);
        let keys = record.get(..count.checked_mul(key_len)?)?;
        let at = match (self.key_len, record.first_chunk()) {
            (1, Some(first)) if count <= FEW => position(u64::from_le_bytes(*first), key, count)?,
            (1, _) => keys.iter().position(|&k| u32::from(k) == key)?,
            (2, _) => {
                let keys = keys.as_chunks::<2>().0;
                keys.iter()
                    .position(|&k| u32::from(u16::from_le_bytes(k)) == key)?
            }
            _ => {
                let keys = keys.as_chunks::<4>().0;
                keys.iter().position(|&k| u32::from_le_bytes(k) == key)?
            }
        };
        let rest = record.get(keys.len()..)?;
        let mask = *rest.get(at)?;
        let before = match rest.first_chunk::<FEW>() {
            Some(masks) if at < FEW => {
                let before = (1_u64 << (8 * at)) - 1;
                (u64::from_le_bytes(*masks) & before).count_ones() as usize
            }
            _ => rest.iter().take(at).map(|m| m.count_ones() as usize).sum(),
        };
        let impacts = rest.get(count + before..)?;
        Some(Found {
            mask,
            impacts: u64::from_le_bytes(*impacts.first_chunk()?),
        })
    }

    /// Calls `visit` with each term's number, mask and impacts; false when the bytes are not those
    /// of a block of `len` bytes.
    pub(crate) fn visit(&self, len: usize, mut visit: impl FnMut(u32, u8, &'a [u8])) -> bool {
        let head = HEADER_LEN + self.directory.len();
        let Some(records) = len
            .checked_sub(head)
            .and_then(|len| self.records.get(..len))
        else {
            return false;
        };
        let mut rest = records;
        for bucket in 0..1_u32 << self.log_buckets {
            let (place, count) = self.entry(bucket as usize);
            // Records follow each other: no byte is visited twice, whatever the directory says.
            if place != records.len() - rest.len() {
                return false;
            }
            let key_len = usize::from(self.key_len);
            let keys = count
                .checked_mul(key_len)
                .and_then(|len| rest.split_at_checked(len));
            let Some((keys, after_keys)) = keys else {
                return false;
            };
            let Some((masks, mut after)) = after_keys.split_at_checked(count) else {
                return false;
            };
            let mut last = None;
            for (key, &mask) in keys.chunks_exact(key_len).zip(masks) {
                // Not a loop: most keys are a byte.
                let key = match *key {
                    [a] => u64::from(a),
                    [a, b] => u64::from(u16::from_le_bytes([a, b])),
                    [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
                    _ => return false,
                };
                let number = key << self.log_buckets | u64::from(bucket);
                let Some((impacts, next)) = after.split_at_checked(mask.count_ones() as usize)
                else {
                    return false;
                };
                let Ok(number) = u32::try_from(number) else {
                    return false;
                };
                if mask == 0 || last.is_some_and(|last| last >= key) {
                    return false;
                }
                last = Some(key);
                visit(number, mask, impacts);
                after = next;
            }
            rest = after;
        }
        rest.is_empty()
    }

    #[inline(always)]
    fn bucket(&self, number: u32) -> usize {
        let mask = (1_u32 << self.log_buckets) - 1;
        (number & mask) as usize
    }

    /// Place and number of terms of a bucket's record.
    #[inline(always)]
    fn entry(&self, bucket: usize) -> (usize, usize) {
        let entry = match self.entries {
            Entries::Narrow => {
                let entry = self.directory.as_chunks::<2>().0.get(bucket);
                entry.map(|&entry| u64::from(u16::from_le_bytes(entry)))
            }
            Entries::Medium => {
                let entry = self.directory.as_chunks::<4>().0.get(bucket);
                entry.map(|&entry| u64::from(u32::from_le_bytes(entry)))
            }
            Entries::Wide => {
                let entry = self.directory.as_chunks::<8>().0.get(bucket);
                entry.map(|&entry| u64::from_le_bytes(entry))
            }
        };
        let entry = entry.unwrap_or(0);
        let bits = self.entries.place_bits();
        // Both parts have at most 32 bits.
        let place = usize::try_from(entry & ((1 << bits) - 1)).unwrap_or(usize::MAX);
        (place, usize::try_from(entry >> bits).unwrap_or(usize::MAX))
    }
}

/// Collects the postings of one block and encodes them.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    /// Number, lane and impact, packed.
    postings: Vec<u64>,
    largest: u32,
    /// Where the terms of each bucket end.
    ends: Vec<usize>,
    scratch: Vec<u64>,
    directory: Vec<(u64, u64)>,
    records: Vec<u8>,
}

impl BlockBuilder {
    /// Adds a posting, at most once per term and lane; those of a term by rising lane.
    pub(crate) fn push(&mut self, number: u32, lane: usize, impact: u8) {
        debug_assert!(lane < LANES);
        let posting = u64::from(number) << 16 | (lane as u64) << 8 | u64::from(impact);
        self.postings.push(posting);
        self.largest = self.largest.max(number);
    }

    /// Calls `visit` with each term of the block and its largest impact, by rising number. Sorts.
    pub(crate) fn terms(&mut self, mut visit: impl FnMut(u32, u8)) {
        self.sort();
        for term in self.postings.chunk_by(|a, b| a >> 16 == b >> 16) {
            let most = term.iter().map(|posting| posting.to_le_bytes()[0]).max();
            visit(number(term[0]), most.unwrap_or(0));
        }
    }

    /// Appends the encoded block to `out` and starts the next. `term_count` is that of the
    /// segment: numbers are below it.
    pub(crate) fn finish(&mut self, term_count: u32, out: &mut Vec<u8>) {
        self.sort();
        let pairs = self.postings.chunk_by(|a, b| a >> 16 == b >> 16).count() as u64;
        let log_buckets = self.choose_buckets(pairs, term_count);
        let key_len = key_len(term_count, log_buckets);

        // By bucket, then by key, as they are by number.
        self.distribute(16, log_buckets.into());
        self.records.clear();
        self.directory.clear();
        let mut start = 0;
        for &end in &self.ends {
            let own = &self.postings[start..end];
            start = end;
            let place = self.records.len() as u64;
            let terms = || own.chunk_by(|a, b| a >> 16 == b >> 16);
            for term in terms() {
                let key = number(term[0]) >> log_buckets;
                self.records
                    .extend_from_slice(&key.to_le_bytes()[..usize::from(key_len)]);
            }
            let keys_len = self.records.len() as u64 - place;
            for term in terms() {
                let lanes = term
                    .iter()
                    .map(|posting| 1 << (posting.to_le_bytes()[1] & 7));
                self.records
                    .push(lanes.fold(0_u8, |mask, lane| mask | lane));
            }
            let impacts = own.iter().map(|posting| posting.to_le_bytes()[0]);
            self.records.extend(impacts);
            self.directory.push((place, keys_len / u64::from(key_len)));
        }
        let all = [Entries::Narrow, Entries::Medium, Entries::Wide];
        let fit = |entries: &Entries| {
            self.directory
                .iter()
                .all(|&(place, count)| entries.hold(place, count))
        };
        let entries = all.into_iter().find(fit).unwrap_or(Entries::Wide);
        let entry_len = u8::try_from(entries.len()).unwrap_or(u8::MAX);
        out.extend([entry_len, log_buckets, key_len, 0]);
        for &(place, count) in &self.directory {
            let entry = place | count << entries.place_bits();
            out.extend_from_slice(&entry.to_le_bytes()[..entries.len()]);
        }
        out.extend_from_slice(&self.records);
        self.clear();
    }

    /// Forgets the block.
    pub(crate) fn clear(&mut self) {
        self.postings.clear();
        self.largest = 0;
    }

    /// By rising number, in passes over a digit of it each: a comparing sort takes four times as
    /// long for the thousand postings of a block.
    fn sort(&mut self) {
        if self.postings.is_sorted() {
            return;
        }
        let bits = u32::BITS - self.largest.leading_zeros();
        let passes = bits.div_ceil(DIGIT_BITS_MAX).max(1);
        let digit = bits.div_ceil(passes);
        for pass in 0..passes {
            self.distribute(16 + pass * digit, digit);
        }
    }

    /// Sorts by `bits` bits of the postings from `shift` on, equals as they were.
    fn distribute(&mut self, shift: u32, bits: u32) {
        let mask = (1_usize << bits) - 1;
        let digit = |posting: u64| usize::try_from(posting >> shift).unwrap_or(0) & mask;
        self.ends.clear();
        self.ends.resize(mask + 1, 0);
        for &posting in &self.postings {
            self.ends[digit(posting)] += 1;
        }
        let mut start = 0;
        for end in &mut self.ends {
            start += *end;
            *end = start - *end;
        }
        self.scratch.resize(self.postings.len(), 0);
        for &posting in &self.postings {
            let end = &mut self.ends[digit(posting)];
            self.scratch[*end] = posting;
            *end += 1;
        }
        std::mem::swap(&mut self.postings, &mut self.scratch);
    }

    /// Three to six terms a bucket, with more buckets where that shortens keys.
    fn choose_buckets(&self, pairs: u64, term_count: u32) -> u8 {
        let size = |log: u8| {
            let records = pairs * (u64::from(key_len(term_count, log)) + 1);
            let records = records + self.postings.len() as u64;
            let entry_len = if records < 4096 { 2 } else { 4 };
            records + (entry_len << log)
        };
        let least = (2..12_u8).find(|log| pairs >> log < 6).unwrap_or(12);
        (least..=least + 2)
            .min_by_key(|&log| size(log))
            .unwrap_or(least)
    }
}

/// Bits of a number that one pass sorts by.
const DIGIT_BITS_MAX: u32 = 9;

fn number(posting: u64) -> u32 {
    // Numbers have 32 bits by construction.
    u32::try_from(posting >> 16).unwrap_or(u32::MAX)
}

/// Bytes that the keys of numbers below `term_count` need.
fn key_len(term_count: u32, log_buckets: u8) -> u8 {
    match term_count.saturating_sub(1) >> log_buckets {
        0..=0xFF => 1,
        0x100..=0xFFFF => 2,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn round_trip(postings: &BTreeMap<(u32, usize), u8>, term_count: u32) {
        let mut builder = BlockBuilder::default();
        // A block before this one must leave nothing behind.
        builder.push(1, 1, 1);
        builder.finish(5, &mut Vec::new());
        for (&(number, lane), &impact) in postings {
            builder.push(number, lane, impact);
        }
        let mut bytes = Vec::new();
        builder.finish(term_count, &mut bytes);
        let len = bytes.len();
        bytes.extend([0xAA; PADDING]);
        let block = Block::new(&bytes).unwrap();

        let mut visited = BTreeMap::new();
        let whole = block.visit(len, |number, mask, impacts| {
            let lanes = (0..LANES).filter(|lane| mask >> lane & 1 == 1);
            for (lane, &impact) in lanes.zip(impacts) {
                visited.insert((number, lane), impact);
            }
            let found = block.find(number).unwrap();
            assert_eq!(found.mask, mask);
            assert_eq!(found.impacts.to_le_bytes()[..impacts.len()], *impacts);
        });
        assert!(whole);
        assert_eq!(visited, *postings);
        let step = if cfg!(miri) { 37 } else { 1 };
        for number in (0..term_count.min(3000)).step_by(step) {
            let present = (0..LANES).any(|lane| postings.contains_key(&(number, lane)));
            let (found, probed) = (block.find(number), block.probe(number));
            assert_eq!(found.is_some(), present, "{number}");
            assert_eq!(probed.mask != 0, present, "{number}");
            if let Some(found) = found {
                assert_eq!(found, probed, "{number}");
                let own = found.impacts.to_le_bytes();
                let own = own[..found.mask.count_ones() as usize].iter();
                assert_eq!(Some(&found.largest()), own.max());
            }
        }
    }

    #[test]
    fn blocks_of_every_shape() {
        round_trip(&BTreeMap::new(), 1);
        round_trip(&BTreeMap::from([((0, 0), 1)]), 1);
        round_trip(&BTreeMap::from([((u32::MAX - 1, 7), 255)]), u32::MAX);
        for (terms, spread) in [
            (5, 1),
            (60, 7),
            (300, 7),
            (3000, 100),
            (9000, 400_000),
            (40_000, 128),
            // Records of more than 20 bits.
            (300_000, 1),
        ] {
            // Miri takes a minute for what otherwise takes a millisecond.
            if cfg!(miri) && terms > 60 {
                break;
            }
            let mut postings = BTreeMap::new();
            let mut state = 1_u32;
            for term in 0..terms {
                for lane in 0..LANES {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if state >> 30 == 0 || lane == term as usize % LANES {
                        let impact = state.to_le_bytes()[2].max(1);
                        postings.insert((term * spread, lane), impact);
                    }
                }
            }
            round_trip(&postings, terms * spread);
        }
    }

    #[test]
    fn damaged_blocks_stay_in_bounds() {
        let mut builder = BlockBuilder::default();
        for number in 0..200 {
            builder.push(number * 3, number as usize % LANES, 9);
        }
        let mut good = Vec::new();
        builder.finish(700, &mut good);
        // Miri takes a millisecond for what otherwise takes ten nanoseconds.
        let (step, stride) = if cfg!(miri) { (131, 61) } else { (1, 1) };
        let numbers = || (0..700).step_by(stride);
        for at in (0..good.len()).step_by(step) {
            for byte in [0, 1, 0x7F, 0xFF] {
                let mut bad = good.clone();
                bad[at] = byte;
                let Some(block) = Block::new(&bad) else {
                    continue;
                };
                numbers().for_each(|number| _ = (block.find(number), block.probe(number)));
                block.visit(bad.len(), |_, _, _| ());
            }
        }
        for len in (0..good.len()).step_by(step) {
            if let Some(block) = Block::new(&good[..len]) {
                numbers().for_each(|number| _ = (block.find(number), block.probe(number)));
                assert!(!block.visit(len, |_, _, _| ()));
            }
        }
    }
}
