//! Writes the layout of blocks: one pass counts, one encodes.
//!
//! Memory without lists is the bounds (about as large as they are in the file: 150 to 250 bytes a document of
//! 130 terms), 40 bytes per term, 8 per block.

use super::{
    HEAD, HEAD_LEN,
    blocks::{
        BLOCK_LEN, BLOCKS, LAYOUT, NARROW_LEN, NUMBERS, Number, ROWS, SPARSE, STARTS, TERMS,
        WIDE_LEN, code, line_count,
    },
    term_map::TermMap,
    windows_write,
};
use crate::{
    codec::block::{BlockBuilder, PADDING},
    error::{Error, Result},
    format::FileWriter,
    id::{DocId, TermId},
    progress::Progress,
    quantize::ImpactVector,
    segment::source::ImpactSource,
    simd::{LINE_CELLS, LINE_LEN},
};

/// A term in at least one of so many blocks has a dense row. 24 and 32 were measured too, see
/// `docs/decisions.md`.
const DENSE_ONE_IN: u32 = 16;

/// Blocks between two calls of the progress callback.
const STEP: u32 = 1024;

pub(super) fn write(
    source: &dyn ImpactSource,
    with_lists: bool,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let terms = count(source, progress)?;
    let mut bounds = BoundsBuilder::new(&terms, source.doc_count());
    let starts = write_blocks(source, &terms, &mut bounds, file, progress)?;
    file.begin(STARTS)?;
    for start in starts {
        file.write(&start.to_le_bytes())?;
    }
    bounds.write(&terms, file)?;

    let mut by_term: Vec<(TermId, u32)> =
        (0..).zip(&terms.list).map(|(n, t)| (t.term, n)).collect();
    by_term.sort_unstable();
    file.begin(TERMS)?;
    for (term, number) in &by_term {
        file.write(&term.get().to_le_bytes())?;
        file.write(&number.to_le_bytes())?;
    }
    let (mut list_count, mut posting_count) = (0, 0);
    if with_lists {
        let count = |number: u32| terms.list[number as usize].posting_count;
        let by_term = by_term.iter().map(|&(term, number)| (term, count(number)));
        let by_term: Vec<_> = by_term.collect();
        let most = windows_write::PASS_POSTINGS;
        (list_count, posting_count) =
            windows_write::write_lists(source, &by_term, file, progress, most)?;
    }
    let mut head = Vec::with_capacity(HEAD_LEN);
    let dense_count = u32::try_from(terms.dense_count).unwrap_or(u32::MAX);
    let fields = [
        LAYOUT,
        source.doc_count(),
        terms.count(),
        dense_count,
        BLOCK_LEN,
        list_count,
        posting_count,
    ];
    head.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
    head.resize(HEAD_LEN, 0);
    file.section(HEAD, &head)
}

/// A term of the segment during writing.
#[derive(Clone, Copy, Debug, Default)]
struct Term {
    term: TermId,
    posting_count: u32,
    block_count: u32,
    last_block: u32,
    most: u8,
}

/// All terms by number.
struct Terms {
    list: Vec<Term>,
    numbers: TermMap,
    dense_count: usize,
}

impl Terms {
    fn count(&self) -> u32 {
        u32::try_from(self.list.len()).unwrap_or(u32::MAX)
    }
}

/// Counts each term's documents and blocks, and numbers the terms.
fn count(source: &dyn ImpactSource, progress: &mut Progress<'_>) -> Result<Terms> {
    let mut places = TermMap::default();
    let mut list: Vec<Term> = Vec::new();
    let mut vector = ImpactVector::default();
    for doc in 0..source.doc_count() {
        if doc.is_multiple_of(STEP * BLOCK_LEN) {
            let total = u64::from(source.doc_count());
            progress.step("counting terms", u64::from(doc), total)?;
        }
        source.read(DocId(doc), &mut vector)?;
        // Block 0 must differ from "no block yet".
        let block = doc / BLOCK_LEN + 1;
        for (term, impact) in vector.iter() {
            let next = u32::try_from(list.len() + 1).unwrap_or(u32::MAX);
            let place = places.entry(term);
            if *place == 0 {
                *place = next;
                list.push(Term {
                    term,
                    ..Term::default()
                });
            }
            let entry = &mut list[*place as usize - 1];
            entry.posting_count += 1;
            entry.block_count += u32::from(entry.last_block != block);
            entry.last_block = block;
            entry.most = entry.most.max(impact);
        }
    }
    list.sort_unstable_by_key(|term| (std::cmp::Reverse(term.block_count), term.term));
    let mut numbers = TermMap::default();
    for (number, term) in (0..).zip(&list) {
        *numbers.entry(term.term) = number;
    }
    let block_count = source.doc_count().div_ceil(BLOCK_LEN);
    let is_dense = |term: &Term| {
        u64::from(term.block_count) * u64::from(DENSE_ONE_IN) >= u64::from(block_count)
    };
    let dense_count = list.partition_point(is_dense);
    Ok(Terms {
        list,
        numbers,
        dense_count,
    })
}

fn write_blocks(
    source: &dyn ImpactSource,
    terms: &Terms,
    bounds: &mut BoundsBuilder,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<Vec<u64>> {
    file.begin(BLOCKS)?;
    let mut starts = vec![0];
    let mut builder = BlockBuilder::default();
    let mut vector = ImpactVector::default();
    let mut bytes = Vec::new();
    let block_count = source.doc_count().div_ceil(BLOCK_LEN);
    for block in 0..block_count {
        if block.is_multiple_of(STEP) {
            let total = u64::from(block_count);
            progress.step("writing blocks", u64::from(block), total)?;
        }
        let first = block * BLOCK_LEN;
        let end = first.saturating_add(BLOCK_LEN).min(source.doc_count());
        for (lane, doc) in (first..end).enumerate() {
            source.read(DocId(doc), &mut vector)?;
            for (term, impact) in vector.iter() {
                let Some(number) = terms.numbers.get(term) else {
                    let found = format!("term {term} of document {doc} only in one of them");
                    return Err(Error::invalid(
                        "documents",
                        "the same at every reading",
                        found,
                    ));
                };
                builder.push(number, lane, impact);
            }
        }
        builder.terms(|number, most| bounds.push(terms, block, number, most));
        bytes.clear();
        builder.finish(terms.count(), &mut bytes);
        file.write(&bytes)?;
        starts.push(file.section_len());
    }
    file.write(&[0; PADDING])?;
    Ok(starts)
}

/// Rows and lists while blocks arrive in order.
struct BoundsBuilder {
    rows: Vec<u8>,
    row_len: usize,
    sparse: Vec<Sparse>,
}

#[derive(Clone, Default)]
struct Sparse {
    last_block: u32,
    distances: Vec<u16>,
    impacts: Vec<u8>,
}

impl BoundsBuilder {
    fn new(terms: &Terms, doc_count: u32) -> BoundsBuilder {
        let row_len = line_count(doc_count) as usize * LINE_LEN;
        BoundsBuilder {
            rows: vec![0; terms.dense_count * row_len],
            row_len,
            sparse: vec![Sparse::default(); terms.list.len() - terms.dense_count],
        }
    }

    fn push(&mut self, terms: &Terms, block: u32, number: u32, impact: u8) {
        let at = number as usize;
        let Some(sparse) = at.checked_sub(terms.dense_count) else {
            let cell = block as usize % LINE_CELLS;
            let line = at * self.row_len + block as usize / LINE_CELLS * LINE_LEN;
            let code = code(impact, terms.list[at].most);
            self.rows[line + cell % 32 * 2 + cell / 64] |= code << (cell / 32 % 2 * 4);
            return;
        };
        let list = &mut self.sparse[sparse];
        let mut distance = block - list.last_block;
        while distance > u32::from(u16::MAX) {
            list.distances.push(u16::MAX);
            list.impacts.push(0);
            distance -= u32::from(u16::MAX);
        }
        list.distances
            .push(u16::try_from(distance).unwrap_or(u16::MAX));
        list.impacts.push(impact);
        list.last_block = block;
    }

    fn write(&self, terms: &Terms, file: &mut FileWriter) -> Result<()> {
        file.section(ROWS, &self.rows)?;
        file.begin(SPARSE)?;
        let mut numbers = Vec::with_capacity(terms.list.len());
        for (at, term) in terms.list.iter().enumerate() {
            let mut number = Number {
                term: term.term,
                posting_count: term.posting_count,
                sparse_end: 0,
                most: term.most,
                is_narrow: false,
            };
            if let Some(sparse) = at.checked_sub(terms.dense_count) {
                number.is_narrow = self.sparse[sparse].write(file)?;
                let end = file.section_len();
                number.sparse_end = u32::try_from(end).map_err(|_| {
                    Error::limit("bytes of sparse bounds", u64::from(u32::MAX), end)
                })?;
            }
            numbers.push(number);
        }
        file.begin(NUMBERS)?;
        for number in numbers {
            file.write(&number.to_bytes())?;
        }
        Ok(())
    }
}

impl Sparse {
    /// Writes the list in the shorter way, and says whether that has narrow distances.
    fn write(&self, file: &mut FileWriter) -> Result<bool> {
        let (mut distances, mut impacts) = (Vec::new(), Vec::new());
        let mut distance = 0;
        for (&step, &impact) in self.distances.iter().zip(&self.impacts) {
            distance += u32::from(step);
            if impact == 0 {
                continue;
            }
            while distance > u32::from(u8::MAX) {
                distances.push(u8::MAX);
                impacts.push(0);
                distance -= u32::from(u8::MAX);
            }
            distances.push(distance.to_le_bytes()[0]);
            impacts.push(impact);
            distance = 0;
        }
        let is_narrow = impacts.len() * NARROW_LEN < self.impacts.len() * WIDE_LEN;
        if is_narrow {
            file.write(&distances)?;
            file.write(&impacts)?;
        } else {
            for distance in &self.distances {
                file.write(&distance.to_le_bytes())?;
            }
            file.write(&self.impacts)?;
        }
        Ok(is_narrow)
    }
}
