//! Tables, lists and blocks that break one rule each, under right checksums. The error is one of
//! damage and names the section.

use super::{blocks, testing::*, vectors, windows, *};
use crate::{codec::block::PADDING, quantize::DOCUMENT_TERMS_MAX};

/// Of twenty blocks, the last with five documents.
const DOCS: u32 = 19 * 8 + 5;

/// A change of one section, the section that the error names, and the rule that was broken, in the
/// words of the error.
type Rule = (SectionId, fn(&mut Vec<u8>), SectionId, &'static str);

/// Term 1 is everywhere and has number 0 and a row; terms 2 and 3 have a sparse list each, of one
/// block.
fn documents() -> Vec<ImpactVector> {
    let document = |doc: u32| {
        let impact = 50 + doc.to_le_bytes()[0] % 8;
        let rare = match doc {
            0 => Some((2, 9)),
            156 => Some((3, 8)),
            _ => None,
        };
        vector([(1, impact)].into_iter().chain(rare))
    };
    (0..DOCS).map(document).collect()
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn check(layout: Layout, rules: &[Rule]) {
    let docs = documents();
    let good = written(&docs, layout);
    open(good.clone(), DOCS).unwrap().verify().unwrap();
    for (changed, change, named, expected) in rules {
        let bad = open(altered(&good, *changed, change), DOCS);
        let error = bad.and_then(|postings| postings.verify()).unwrap_err();
        is_damage(&error, *named, expected);
    }
}

#[test]
fn tables_of_lists() {
    const RISE: &str = "terms and lists that rise, lists below 3";
    check(
        Layout::Windows,
        &[
            (HEAD, |s| put(s, 0, 3), HEAD, "a known layout"),
            (HEAD, |s| put(s, 4, 156), HEAD, "157 documents"),
            (HEAD, |s| put(s, 20, 1 << 16), HEAD, "windows of 32768"),
            (HEAD, |s| s[24] = 1, HEAD, "zeros"),
            (HEAD, |s| s.push(0), HEAD, "the end of the section"),
            (
                HEAD,
                |s| put(s, 8, 0),
                windows::TERMS,
                "a term for each list",
            ),
            (
                HEAD,
                |s| put(s, 8, 2),
                windows::TERMS,
                "the end of the section",
            ),
            (HEAD, |s| put(s, 12, 2), windows::TERMS, "lists below 2"),
            (
                HEAD,
                |s| put(s, 16, 160),
                windows::LISTS,
                "a last end of 160",
            ),
            (windows::TERMS, |s| put(s, 4, 1), windows::TERMS, RISE),
            (windows::TERMS, |s| put(s, 8, 1), windows::TERMS, RISE),
            (windows::TERMS, |s| put(s, 12, 0), windows::TERMS, RISE),
            (
                windows::LISTS,
                |s| put(s, 0, 1),
                windows::LISTS,
                "a window that exists",
            ),
            (
                windows::LISTS,
                |s| put(s, 4, 0),
                windows::LISTS,
                "lists that rise to 159",
            ),
            (
                windows::LISTS,
                |s| put(s, 4, 160),
                windows::LISTS,
                "lists that rise to 159",
            ),
            (
                windows::POSTINGS,
                |s| s.push(0),
                windows::POSTINGS,
                "477 bytes",
            ),
            // The place of a posting, and its impact.
            (
                windows::POSTINGS,
                |s| s[0] ^= 1,
                windows::POSTINGS,
                "postings of term 1",
            ),
            (
                windows::POSTINGS,
                |s| s[157 * 2] -= 1,
                windows::POSTINGS,
                "postings of term 1",
            ),
        ],
    );
}

#[test]
fn vectors_beside_lists() {
    const STARTS: &str = "starts rising from 0 to ";
    check(
        Layout::Windows,
        &[
            (vectors::STARTS, |s| put(s, 0, 1), vectors::STARTS, STARTS),
            (vectors::STARTS, |s| put(s, 16, 0), vectors::STARTS, STARTS),
            (vectors::BYTES, |s| s.push(0), vectors::STARTS, STARTS),
            // Two terms, their gaps, their impacts.
            (
                vectors::BYTES,
                |s| s[0] = 3,
                vectors::BYTES,
                "fewer terms than bytes for them",
            ),
            (
                vectors::BYTES,
                |s| s[2] = 2,
                vectors::BYTES,
                "a term below 3",
            ),
            (
                vectors::BYTES,
                |s| s[3] = 0,
                vectors::BYTES,
                "impacts of at least 1",
            ),
            (
                vectors::BYTES,
                |s| s[0] = 0,
                vectors::BYTES,
                "the end of the section",
            ),
            (
                vectors::BYTES,
                |s| s[3] += 1,
                windows::POSTINGS,
                "as vectors have them",
            ),
        ],
    );
}

/// Lists that are whole, of documents that have less than the vectors beside them.
#[test]
fn a_posting_that_no_list_has() {
    let more = [vector([(1, 5), (2, 6)]), vector([(1, 5), (2, 6)])];
    let less = [vector([(1, 5), (2, 6)]), vector([(1, 5)])];
    let more = view(written(&more, Layout::Windows)).unwrap();
    let mut bad = written(&less, Layout::Windows);
    for id in [vectors::STARTS, vectors::BYTES] {
        bad = altered(&bad, id, |bytes| *bytes = more.section(id).to_vec());
    }
    let error = open(bad, 2).unwrap().verify().unwrap_err();
    is_damage(
        &error,
        windows::LISTS,
        "every posting of a vector in a list",
    );
}

#[test]
fn tables_of_blocks() {
    use blocks::{BLOCKS, NUMBERS, ROWS, SPARSE, STARTS, TERMS};
    const BACK: &str = "terms that rise, with numbers that lead back";
    const RANGE: &str = "counts, ends and impacts in range";
    const RISE: &str = "starts that rise to Some(";
    check(
        Layout::Blocks,
        &[
            (HEAD, |s| put(s, 12, 4), HEAD, "at most 3"),
            (HEAD, |s| put(s, 16, 16), HEAD, "blocks of 8"),
            (HEAD, |s| put(s, 24, 1), HEAD, "expected 0, found 1"),
            (HEAD, |s| s[28] = 1, HEAD, "zeros"),
            (HEAD, |s| put(s, 8, 4), TERMS, "32 bytes, found 24"),
            (TERMS, |s| put(s, 8, 1), TERMS, BACK),
            (TERMS, |s| put(s, 12, 2), TERMS, BACK),
            (TERMS, |s| put(s, 12, 3), TERMS, BACK),
            (NUMBERS, |s| s.push(0), NUMBERS, "48 bytes, found 49"),
            // Postings, end of the sparse list, largest impact and width of distances.
            (NUMBERS, |s| put(s, 4, 0), NUMBERS, RANGE),
            (NUMBERS, |s| put(s, 4, 158), NUMBERS, RANGE),
            (NUMBERS, |s| put(s, 8, 2), NUMBERS, RANGE),
            (NUMBERS, |s| s[12] = 0, NUMBERS, RANGE),
            (NUMBERS, |s| s[13] = 1, NUMBERS, RANGE),
            (NUMBERS, |s| s[15] = 1, NUMBERS, RANGE),
            (NUMBERS, |s| put(s, 24, 0), NUMBERS, RANGE),
            (NUMBERS, |s| put(s, 24, 3), NUMBERS, RANGE),
            (NUMBERS, |s| put(s, 40, 6), NUMBERS, RANGE),
            (ROWS, |s| s.push(0), ROWS, "64 bytes, found 65"),
            (SPARSE, |s| s.push(0), SPARSE, "4 bytes, found 5"),
            (STARTS, |s| put(s, 0, 1), STARTS, RISE),
            (STARTS, |s| put(s, 8, 0), STARTS, RISE),
            (STARTS, |s| put(s, 20 * 8, 1 << 30), STARTS, RISE),
            (
                BLOCKS,
                |s| s.truncate(PADDING - 1),
                STARTS,
                "starts that rise to None",
            ),
        ],
    );
    check(
        Layout::BlocksAndLists,
        &[
            (HEAD, |s| put(s, 20, 2), windows::TERMS, "lists below 2"),
            (
                HEAD,
                |s| put(s, 24, 160),
                windows::LISTS,
                "a last end of 160",
            ),
            (
                windows::POSTINGS,
                |s| s[0] ^= 1,
                windows::POSTINGS,
                "postings of term 1",
            ),
        ],
    );
}

#[test]
fn blocks_against_their_tables() {
    use blocks::{BLOCKS, NUMBERS, ROWS, SPARSE};
    const BOUND: &str = "an impact that its bound does not have";
    const COUNTS: &str = "another number of documents, or another largest impact";
    const LACK: &str = "bounds of blocks that lack the term";
    // The first block: four bytes of header, a directory of four entries, and of each of two
    // terms the key, the documents that have it, their impacts.
    check(
        Layout::Blocks,
        &[
            (BLOCKS, |s| s[0] = 3, BLOCKS, "records that do not add up"),
            (BLOCKS, |s| s[3] = 1, BLOCKS, "records that do not add up"),
            (BLOCKS, |s| s[4] = 1, BLOCKS, "records that do not add up"),
            (BLOCKS, |s| s[13] = 0, BLOCKS, "records that do not add up"),
            (
                BLOCKS,
                |s| s[12] = 1,
                BLOCKS,
                "a term that is not of the segment",
            ),
            (BLOCKS, |s| s[14] = 0, BLOCKS, "an impact of 0"),
            (BLOCKS, |s| s[14] = 255, BLOCKS, BOUND),
            (BLOCKS, |s| s[24] = 8, BLOCKS, BOUND),
            (
                BLOCKS,
                |s| {
                    // Five documents, and one of them is the sixth.
                    let mask = s.iter().rposition(|&byte| byte == 0x1F).unwrap();
                    s[mask] = 0x2F;
                },
                BLOCKS,
                "a document beyond the last",
            ),
            (
                BLOCKS,
                |s| *s.last_mut().unwrap() = 1,
                BLOCKS,
                "zeros, found something else",
            ),
            // A bound lower than its impact, and one higher.
            (ROWS, |s| s[0] -= 1, BLOCKS, BOUND),
            (SPARSE, |s| s[1] += 1, BLOCKS, BOUND),
            // One that only moves on, but not by the most that it could.
            (SPARSE, |s| s[1] = 0, BLOCKS, BOUND),
            // The bound of a block that there is not.
            (ROWS, |s| s[2 * 20] |= 1, NUMBERS, LACK),
            (NUMBERS, |s| put(s, 4, 156), NUMBERS, COUNTS),
            (NUMBERS, |s| s[16 + 12] += 1, NUMBERS, COUNTS),
        ],
    );
    let good = written(&documents(), Layout::Blocks);
    let bad = altered(&good, SPARSE, |s| {
        s.splice(2.., [19, 0, 8, 7]).for_each(drop)
    });
    let bad = altered(&bad, NUMBERS, |s| put(s, 40, 6));
    let error = open(bad, DOCS).unwrap().verify().unwrap_err();
    is_damage(&error, NUMBERS, LACK);
}

/// Reading one document does not look at the tables' agreement, and trusts no block.
#[test]
fn a_document_is_not_read_from_a_bad_block() {
    let good = written(&documents(), Layout::Blocks);
    let mut vector = ImpactVector::default();
    let read = |bytes, into: &mut ImpactVector| open(bytes, DOCS).unwrap().read(DocId(0), into);
    read(good.clone(), &mut vector).unwrap();
    assert_eq!(vector, documents()[0]);
    let rules: [fn(&mut Vec<u8>); 4] = [|s| s[12] = 1, |s| s[14] = 0, |s| s[0] = 3, |s| s[4] = 1];
    for change in rules {
        let bad = altered(&good, blocks::BLOCKS, change);
        let error = read(bad, &mut vector).unwrap_err();
        is_damage(&error, blocks::BLOCKS, "a block of terms with impacts");
    }
}

#[test]
fn a_document_has_at_most_65535_terms() {
    let most = u32::try_from(DOCUMENT_TERMS_MAX).unwrap();
    let docs = [vector((0..most).map(|term| (term, 7))), vector([(most, 7)])];
    let good = written(&docs, Layout::Blocks);
    open(good.clone(), 2).unwrap().verify().unwrap();
    // The last record is that of sixteen terms, and the last of them is the second document's.
    let bad = altered(&good, blocks::BLOCKS, |s| {
        let mask = s.len() - PADDING - 16 - 1;
        assert_eq!(s[mask - 1..=mask], [1, 2]);
        s[mask] = 1;
    });
    let error = open(bad, 2).unwrap().verify().unwrap_err();
    is_damage(&error, blocks::BLOCKS, "a document of too many terms");
}

/// Distances of more than a byte, and of more than two: what a list of few blocks among very many
/// takes.
#[test]
fn sparse_lists_of_far_blocks() {
    const FAR: u32 = 70_000 * 8;
    let mut docs = vec![ImpactVector::default(); FAR as usize + 1];
    docs[3] = vector([(1, 5)]);
    docs[300 * 8] = vector([(1, 6), (2, 3)]);
    docs[FAR as usize] = vector([(1, 7), (2, 4)]);
    let good = written(&docs, Layout::Blocks);
    let postings = open(good.clone(), FAR + 1).unwrap();
    postings.verify().unwrap();
    let mut read = ImpactVector::default();
    for doc in [3, 300 * 8, FAR] {
        postings.read(DocId(doc), &mut read).unwrap();
        assert_eq!(read, docs[doc as usize]);
    }
    // Distances of two bytes each, then impacts: 0, 300, the most that there is, and the rest.
    let most = u32::from(u16::MAX);
    let rest = 70_000 - 300 - most;
    let distances = [0, 300, most, rest].map(|d| u16::try_from(d).unwrap().to_le_bytes());
    let sparse = blocks::SPARSE;
    let list = view(good.clone()).unwrap().section(sparse)[..12].to_vec();
    assert_eq!(list, [&distances.concat()[..], &[5, 6, 0, 7]].concat());
    let rules: [fn(&mut Vec<u8>); 4] = [
        |s| s[2] += 1,
        // Moves on by less than it could.
        |s| s[4] -= 1,
        |s| s[9] = 0,
        |s| s[11] = 8,
    ];
    for change in rules {
        let bad = open(altered(&good, sparse, change), FAR + 1).unwrap();
        let error = bad.verify().unwrap_err();
        let expected = "an impact that its bound does not have";
        is_damage(&error, blocks::BLOCKS, expected);
    }
}
