//! The heaviest terms of every document, as small numbers side by side: what ordering reads over
//! and over.

use crate::{
    error::Result,
    id::{DocId, TermId},
    progress::Progress,
    quantize::ImpactVector,
    segment::{
        parallel::{Resources, in_order},
        postings::term_map::TermMap,
        source::ImpactSource,
    },
    simd::prefetch,
};

/// The number of a term: of two bytes where all fit, which halves what ordering reads.
pub(super) trait Number: bytemuck::Pod + Default + Send + Sync {
    fn new(number: u32) -> Self;
    fn index(self) -> usize;
}

impl Number for u16 {
    fn new(number: u32) -> u16 {
        u16::try_from(number).unwrap_or(u16::MAX)
    }

    fn index(self) -> usize {
        usize::from(self)
    }
}

impl Number for u32 {
    fn new(number: u32) -> u32 {
        number
    }

    fn index(self) -> usize {
        self as usize
    }
}

#[derive(Debug)]
pub(super) struct Copies<N> {
    /// `kept` places per document, of which the first few are used.
    terms: Vec<N>,
    lens: Vec<u8>,
    kept: usize,
    term_count: usize,
}

/// Bytes that one request for memory brings.
const PREFETCH_LEN: usize = 64;

/// Documents of a piece of work.
const PIECE: u32 = 8192;

impl<N: Number> Copies<N> {
    /// Keeps at most `kept` terms a document, which is below 256; terms are numbered by `numbers`.
    pub(super) fn new(
        source: &dyn ImpactSource,
        kept: usize,
        mut numbers: Numbers,
        resources: Resources,
        progress: &mut Progress<'_>,
    ) -> Result<Copies<N>> {
        let doc_count = source.doc_count();
        let all = DocId(doc_count).index();
        let mut copies = Copies {
            terms: Vec::with_capacity(all * kept),
            lens: Vec::with_capacity(all),
            kept,
            term_count: 0,
        };
        let work = |piece: u32| {
            let first = piece * PIECE;
            let docs = first..doc_count.min(first.saturating_add(PIECE));
            heaviest(source, docs.map(DocId), kept)
        };
        let count = doc_count.div_ceil(PIECE);
        in_order(resources.threads, count, work, |piece, (terms, lens)| {
            let done = u64::from(piece) * u64::from(PIECE);
            progress.step("reading documents", done, u64::from(doc_count))?;
            let mut rest = &terms[..];
            for &len in &lens {
                let (own, later) = rest.split_at(usize::from(len));
                rest = later;
                let own = own.iter().map(|&term| N::new(numbers.of(term)));
                copies.terms.extend(own);
                let end = copies.terms.len() + kept - usize::from(len);
                copies.terms.resize(end, N::default());
            }
            copies.lens.extend(lens);
            Ok(())
        })?;
        copies.term_count = numbers.count();
        Ok(copies)
    }

    pub(super) fn term_count(&self) -> usize {
        self.term_count
    }

    /// Asks for the memory of a document's terms.
    pub(super) fn prefetch(&self, doc: u32) {
        let bytes: &[u8] = bytemuck::cast_slice(&self.terms);
        let start = doc as usize * self.kept * size_of::<N>();
        prefetch(bytes, start);
        prefetch(bytes, start + PREFETCH_LEN);
    }

    /// The terms of a document.
    pub(super) fn terms(&self, doc: u32) -> &[N] {
        let at = doc as usize;
        let start = at * self.kept;
        &self.terms[start..start + usize::from(self.lens[at])]
    }
}

/// The heaviest terms of some documents, and how many each has.
fn heaviest(
    source: &dyn ImpactSource,
    docs: impl Iterator<Item = DocId>,
    kept: usize,
) -> Result<(Vec<TermId>, Vec<u8>)> {
    let (mut terms, mut lens) = (Vec::new(), Vec::new());
    let mut vector = ImpactVector::default();
    let mut heaviest = Vec::new();
    for doc in docs {
        source.read(doc, &mut vector)?;
        heaviest.clear();
        heaviest.extend(vector.iter().map(|(term, impact)| (255 - impact, term)));
        if heaviest.len() > kept {
            heaviest.select_nth_unstable(kept);
            heaviest.truncate(kept);
            heaviest.sort_unstable();
        }
        terms.extend(heaviest.iter().map(|&(_, term)| term));
        lens.push(u8::try_from(heaviest.len()).unwrap_or(u8::MAX));
    }
    Ok((terms, lens))
}

/// How terms become numbers.
#[derive(Debug)]
pub(super) enum Numbers {
    /// Ids are below so many, and are the numbers.
    Ids(usize),
    /// By appearance, from 0; each plus one in the map.
    Map(TermMap),
}

impl Numbers {
    fn of(&mut self, term: TermId) -> u32 {
        match self {
            Numbers::Ids(_) => term.get(),
            Numbers::Map(map) => {
                let next = u32::try_from(map.len() + 1).unwrap_or(u32::MAX);
                let number = map.entry(term);
                if *number == 0 {
                    *number = next;
                }
                *number - 1
            }
        }
    }

    fn count(&self) -> usize {
        match self {
            Numbers::Ids(count) => *count,
            Numbers::Map(map) => map.len(),
        }
    }
}
