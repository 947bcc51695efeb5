//! Writes the layout of blocks: one pass counts, one encodes. Where the bounds do not fit into
//! memory, more passes read the documents again for the bounds of more terms.
//!
//! Memory is what may be used, but at least 20 bytes per document, 48 per term, half a byte per block
//! for one row of bounds, and the blocks of a line for each piece of work under way.

use std::ops::Range;

use super::{
    HEAD, HEAD_LEN,
    blocks::{
        BLOCK_LEN, BLOCKS, LAYOUT, LINE_BLOCKS, NUMBERS, Number, ROWS, SPARSE, STARTS, TERMS,
        line_count,
    },
    bounds_write::{BoundsBuilder, PieceBounds, gathered_len},
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
    segment::{
        parallel::{Resources, in_order},
        source::ImpactSource,
    },
};

/// A term in at least one of so many blocks has a dense row. 24 and 32 were measured too, see
/// `docs/decisions.md`.
const DENSE_ONE_IN: u32 = 16;

/// Documents of a piece of counting.
const COUNT_PIECE: u32 = 2048 * BLOCK_LEN;

/// Postings of a piece of writing, on average: enough to be worth handing over, few enough to be
/// cancelled soon.
const PIECE_POSTINGS: usize = 1 << 20;

/// Bytes that a posting takes in a piece at most, encoded and as bounds.
const PIECE_POSTING_LEN: usize = 8;

/// The share of memory that pieces under way may have.
const PIECES_SHARE: usize = 8;

/// Bytes of a document beside its postings: its place in the order, and back, its segment and its id
/// there, and where its block begins.
const DOCUMENT_LEN: usize = 20;

pub(super) fn write(
    source: &dyn ImpactSource,
    with_lists: bool,
    resources: Resources,
    file: &mut FileWriter,
    progress: &mut Progress<'_>,
) -> Result<()> {
    let terms = count(source, resources, progress)?;
    let lists = BlocksWriter::new(source, &terms, resources).write(file, progress)?;
    write_numbers(&terms, &lists, file)?;

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
        (list_count, posting_count) =
            windows_write::write_lists(source, &by_term, resources, file, progress)?;
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

fn write_numbers(terms: &Terms, lists: &[(bool, u64)], file: &mut FileWriter) -> Result<()> {
    file.begin(NUMBERS)?;
    for (at, term) in terms.list.iter().enumerate() {
        let list = at.checked_sub(terms.dense_count).map(|at| lists[at]);
        let (is_narrow, end) = list.unwrap_or_default();
        let sparse_end = u32::try_from(end)
            .map_err(|_| Error::limit("bytes of sparse bounds", u64::from(u32::MAX), end))?;
        let number = Number {
            term: term.term,
            posting_count: term.posting_count,
            sparse_end,
            most: term.most,
            is_narrow,
        };
        file.write(&number.to_bytes())?;
    }
    Ok(())
}

/// A term of the segment during writing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Term {
    term: TermId,
    posting_count: u32,
    pub(super) block_count: u32,
    /// The last block that was counted, plus one.
    last_block: u32,
    pub(super) most: u8,
}

/// All terms by number.
pub(super) struct Terms {
    pub(super) list: Vec<Term>,
    numbers: TermMap,
    pub(super) dense_count: usize,
}

impl Terms {
    fn count(&self) -> u32 {
        u32::try_from(self.list.len()).unwrap_or(u32::MAX)
    }
}

/// Counts each term's documents and blocks, and numbers the terms.
fn count(
    source: &dyn ImpactSource,
    resources: Resources,
    progress: &mut Progress<'_>,
) -> Result<Terms> {
    let doc_count = source.doc_count();
    let mut places = TermMap::default();
    let mut list: Vec<Term> = Vec::new();
    let pieces = doc_count.div_ceil(COUNT_PIECE);
    let work = |piece: u32| {
        let first = piece * COUNT_PIECE;
        count_piece(
            source,
            first..doc_count.min(first.saturating_add(COUNT_PIECE)),
        )
    };
    in_order(resources.threads, pieces, work, |piece, counted| {
        let done = u64::from(piece) * u64::from(COUNT_PIECE);
        progress.step("counting terms", done, u64::from(doc_count))?;
        for term in counted {
            let sum = entry(&mut places, &mut list, term.term);
            sum.posting_count += term.posting_count;
            sum.block_count += term.block_count;
            sum.most = sum.most.max(term.most);
        }
        Ok(())
    })?;
    drop(places);
    list.sort_unstable_by_key(|term| (std::cmp::Reverse(term.block_count), term.term));
    let mut numbers = TermMap::default();
    for (number, term) in (0..).zip(&list) {
        *numbers.entry(term.term) = number;
    }
    let block_count = doc_count.div_ceil(BLOCK_LEN);
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

/// The terms of whole blocks.
fn count_piece(source: &dyn ImpactSource, docs: Range<u32>) -> Result<Vec<Term>> {
    let mut places = TermMap::default();
    let mut list: Vec<Term> = Vec::new();
    let mut vector = ImpactVector::default();
    for doc in docs {
        source.read(DocId(doc), &mut vector)?;
        // Block 0 must differ from "no block yet".
        let block = doc / BLOCK_LEN + 1;
        for (term, impact) in vector.iter() {
            let entry = entry(&mut places, &mut list, term);
            entry.posting_count += 1;
            entry.block_count += u32::from(entry.last_block != block);
            entry.last_block = block;
            entry.most = entry.most.max(impact);
        }
    }
    Ok(list)
}

/// The entry of a term, which is added where there was none.
#[inline]
fn entry<'l>(places: &mut TermMap, list: &'l mut Vec<Term>, term: TermId) -> &'l mut Term {
    let next = u32::try_from(list.len() + 1).unwrap_or(u32::MAX);
    let place = places.entry(term);
    if *place == 0 {
        *place = next;
        list.push(Term {
            term,
            ..Term::default()
        });
    }
    &mut list[*place as usize - 1]
}

/// Writes blocks, and the bounds that come of them.
struct BlocksWriter<'a> {
    source: &'a dyn ImpactSource,
    terms: &'a Terms,
    resources: Resources,
    /// Lines of blocks that a piece of work has.
    piece_lines: u32,
}

/// What comes of some blocks.
struct Piece {
    bounds: PieceBounds,
    blocks: Vec<u8>,
    /// The length of each block.
    lens: Vec<u64>,
}

impl<'a> BlocksWriter<'a> {
    fn new(
        source: &'a dyn ImpactSource,
        terms: &'a Terms,
        resources: Resources,
    ) -> BlocksWriter<'a> {
        let under_way = resources.threads.saturating_mul(2).saturating_add(1);
        let room = resources.memory / PIECES_SHARE / PIECE_POSTING_LEN / under_way;
        let lines = line_count(source.doc_count());
        let postings = source.posting_estimate().max(1);
        let piece_lines = room.min(PIECE_POSTINGS) as u64 * u64::from(lines) / postings;
        let piece_lines = u32::try_from(piece_lines).unwrap_or(u32::MAX);
        BlocksWriter {
            source,
            terms,
            resources,
            piece_lines: piece_lines.clamp(1, lines.max(1)),
        }
    }

    /// Writes the blocks, their starts and all bounds. Returns of each sparse list whether it is
    /// narrow, and where it ends.
    fn write(
        &self,
        file: &mut FileWriter,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<(bool, u64)>> {
        let mut lists = Vec::with_capacity(self.terms.list.len() - self.terms.dense_count);
        let mut pass = 0..self.pass_end(0);
        let mut bounds = self.bounds(&pass);
        let starts = self.write_blocks(&mut bounds, file, progress)?;
        file.begin(STARTS)?;
        for start in starts {
            file.write(&start.to_le_bytes())?;
        }
        file.begin(ROWS)?;
        let mut section = ROWS;
        loop {
            bounds.write_rows(file)?;
            if section == ROWS && pass.end as usize >= self.terms.dense_count {
                section = SPARSE;
                file.begin(section)?;
            }
            bounds.write_sparse(file, &mut lists)?;
            drop(bounds);
            if pass.end == self.terms.count() {
                return Ok(lists);
            }
            pass = pass.end..self.pass_end(pass.end);
            bounds = self.bounds(&pass);
            self.read_bounds(&pass, &mut bounds, progress)?;
        }
    }

    fn bounds(&self, pass: &Range<u32>) -> BoundsBuilder {
        BoundsBuilder::new(self.terms, pass.clone(), self.source.doc_count())
    }

    /// The end of the numbers from `start` on whose bounds fit into memory; of one, if there is any,
    /// in every case.
    fn pass_end(&self, start: u32) -> u32 {
        let doc_count = self.source.doc_count();
        let pieces = self.resources.memory / PIECES_SHARE;
        let fixed = DocId(doc_count).index() * DOCUMENT_LEN
            + self.terms.list.len() * 2 * size_of::<Term>()
            + pieces;
        let room = self.resources.memory.saturating_sub(fixed).max(pieces);
        let mut filled = 0;
        let fits = (start..self.terms.count()).take_while(|&number| {
            filled += gathered_len(self.terms, number as usize, doc_count);
            filled <= room || number == start
        });
        fits.last().map_or(start, |last| last + 1)
    }

    /// Writes all blocks; returns where each begins, and where the last ends.
    fn write_blocks(
        &self,
        bounds: &mut BoundsBuilder,
        file: &mut FileWriter,
        progress: &mut Progress<'_>,
    ) -> Result<Vec<u64>> {
        file.begin(BLOCKS)?;
        let mut starts = Vec::with_capacity(self.block_count() as usize + 1);
        starts.push(0);
        let mut end = 0;
        let encode = |builder: &mut BlockBuilder, piece: &mut Piece| {
            let start = piece.blocks.len();
            builder.finish(self.terms.count(), &mut piece.blocks);
            piece.lens.push((piece.blocks.len() - start) as u64);
        };
        let all = 0..self.terms.count();
        self.pieces("writing blocks", &all, encode, bounds, progress, |piece| {
            for len in piece.lens {
                end += len;
                starts.push(end);
            }
            file.write(&piece.blocks)
        })?;
        file.write(&[0; PADDING])?;
        Ok(starts)
    }

    /// Gathers the bounds of one more pass.
    fn read_bounds(
        &self,
        pass: &Range<u32>,
        bounds: &mut BoundsBuilder,
        progress: &mut Progress<'_>,
    ) -> Result<()> {
        let forget = |builder: &mut BlockBuilder, _: &mut Piece| builder.clear();
        self.pieces("writing bounds", pass, forget, bounds, progress, |_| Ok(()))
    }

    /// Reads all blocks, their terms of `numbers`, on all threads: `each` block is then in the builder.
    fn pieces(
        &self,
        stage: &'static str,
        numbers: &Range<u32>,
        each: impl Fn(&mut BlockBuilder, &mut Piece) + Sync,
        bounds: &mut BoundsBuilder,
        progress: &mut Progress<'_>,
        mut take: impl FnMut(Piece) -> Result<()>,
    ) -> Result<()> {
        let lines = line_count(self.source.doc_count());
        let pass = bounds.pass();
        let work = |piece: u32| {
            let first = piece * self.piece_lines;
            let lines = first..lines.min(first.saturating_add(self.piece_lines));
            let blocks = lines.start * LINE_BLOCKS..lines.end.saturating_mul(LINE_BLOCKS);
            let mut piece = Piece {
                bounds: pass.piece(lines),
                blocks: Vec::new(),
                lens: Vec::new(),
            };
            let mut builder = BlockBuilder::default();
            let mut vector = ImpactVector::default();
            for block in blocks.start..blocks.end.min(self.block_count()) {
                self.read(block, numbers, &mut vector, &mut builder)?;
                builder.terms(|number, most| piece.bounds.push(self.terms, block, number, most));
                each(&mut builder, &mut piece);
            }
            Ok(piece)
        };
        let count = lines.div_ceil(self.piece_lines);
        in_order(self.resources.threads, count, work, |at, piece| {
            let done = u64::from(at) * u64::from(self.piece_lines * LINE_BLOCKS);
            progress.step(stage, done, u64::from(self.block_count()))?;
            bounds.take(&piece.bounds);
            take(piece)
        })
    }

    /// Puts the documents of a block into the builder, their terms of `numbers`.
    fn read(
        &self,
        block: u32,
        numbers: &Range<u32>,
        vector: &mut ImpactVector,
        builder: &mut BlockBuilder,
    ) -> Result<()> {
        let first = block * BLOCK_LEN;
        let end = first.saturating_add(BLOCK_LEN).min(self.source.doc_count());
        for (lane, doc) in (first..end).enumerate() {
            self.source.read(DocId(doc), vector)?;
            for (term, impact) in vector.iter() {
                let Some(number) = self.terms.numbers.get(term) else {
                    let expected = "the same at every reading";
                    let found = format!("term {term} of document {doc} only in one of them");
                    return Err(Error::invalid("documents", expected, found));
                };
                if numbers.contains(&number) {
                    builder.push(number, lane, impact);
                }
            }
        }
        Ok(())
    }

    fn block_count(&self) -> u32 {
        self.source.doc_count().div_ceil(BLOCK_LEN)
    }
}
