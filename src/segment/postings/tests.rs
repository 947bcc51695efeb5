//! Both layouts give back what they were given, and refuse what they were not.

use super::{testing::*, *};

const LAYOUTS: [Layout; 3] = [Layout::Windows, Layout::Blocks, Layout::BlocksAndLists];

fn check(docs: &[ImpactVector]) {
    for layout in LAYOUTS {
        let postings = postings(docs, layout);
        postings.verify().unwrap();
        let mut vector = ImpactVector::default();
        let mut counts = std::collections::BTreeMap::new();
        for (doc, expected) in (0..).zip(docs) {
            postings.read(DocId(doc), &mut vector).unwrap();
            assert_eq!(vector, *expected, "{layout:?}, document {doc}");
            for term in &expected.terms {
                *counts.entry(*term).or_insert(0) += 1;
            }
        }
        for (&term, &count) in &counts {
            assert_eq!(postings.posting_count(term), count, "{layout:?}, {term}");
        }
        let absent = TermId::from(12_345);
        assert_eq!(postings.posting_count(absent), 0);
    }
}

#[test]
fn documents_come_back_as_they_were() {
    check(&[]);
    check(&[ImpactVector::default()]);
    check(&[vector([(0, 1)])]);
    check(&[vector([(u32::MAX, 255)]), vector([(0, 1), (u32::MAX, 1)])]);
    check(&vec![ImpactVector::default(); 100]);
    check(&corpus(300, 700, 1));
    check(&corpus(1000, 5000, 2));
}

#[test]
fn dimensions_of_every_model() {
    // Of vocabularies, of latents, of large vocabularies, of hashed words.
    for terms in [30_522, 131_072, 152_064, 1_000_000] {
        let spread = u32::MAX / terms;
        let small = corpus(150, terms, 3).into_iter().map(|doc| {
            // Even ids only, so that `check` finds its odd one absent.
            vector(
                doc.iter()
                    .map(|(term, impact)| (term.get() / spread / 2 * 2, impact)),
            )
        });
        check(&small.collect::<Vec<_>>());
    }
}

#[test]
fn the_largest_document_fits() {
    let huge = vector((0..65_535).map(|term| (term * 65_537, 7)));
    let other = vector((0..65_535).map(|term| (term * 65_536 + 1, 200)));
    check(&[
        vector([(5, 5)]),
        huge.clone(),
        ImpactVector::default(),
        other,
        huge,
    ]);
}

#[test]
fn several_windows() {
    let docs: Vec<_> = (0..windows::WINDOW_LEN + 70)
        .map(|doc| {
            vector([
                (doc % 3, 1 + doc.to_le_bytes()[0] / 2),
                (10 + doc % 1000, 9),
            ])
        })
        .collect();
    check(&docs);
}

#[test]
fn passes_over_ranges_of_terms_and_threads_write_the_same_file() {
    let docs = corpus(200, 300, 5);
    for layout in LAYOUTS {
        let at_once = written(&docs, layout);
        for (threads, memory) in [
            (1, 0),
            (1, 3000),
            (2, 1 << 28),
            (3, 0),
            (4, 5000),
            (7, 100_000),
        ] {
            let resources = Resources { threads, memory };
            let same = written_with(&docs, layout, resources) == at_once;
            assert!(same, "{layout:?}, {resources:?}");
        }
    }
}

#[test]
fn threads_and_memory_change_nothing_over_many_pieces() {
    // Several lines of blocks, several windows, terms in one block and in nearly all.
    let docs: Vec<_> = (0..windows::WINDOW_LEN + 3000)
        .map(|doc| {
            let rare = 1000 + doc.wrapping_mul(2_654_435_761) % 5000;
            vector([(doc % 3, 1 + doc.to_le_bytes()[0] / 2), (rare, 9), (7, 200)])
        })
        .collect();
    for layout in LAYOUTS {
        let at_once = written(&docs, layout);
        for (threads, memory) in [(1, 200_000), (2, 400_000), (3, 2 << 20)] {
            let resources = Resources { threads, memory };
            let same = written_with(&docs, layout, resources) == at_once;
            assert!(same, "{layout:?}, {resources:?}");
        }
    }
}

#[test]
fn progress_can_cancel() {
    let docs = corpus(50, 100, 6);
    for layout in LAYOUTS {
        file_with(|file| {
            let mut stop = |_| std::ops::ControlFlow::Break(());
            let progress = &mut Progress::new(&mut stop);
            let error = write(&&docs[..], layout, RESOURCES, file, progress);
            assert_eq!(
                error.unwrap_err().kind(),
                crate::error::ErrorKind::Cancelled
            );
        });
    }
}

/// Reads all that a damaged file offers; errors are allowed, and so are other sound documents: a
/// block stores each posting once, so under a right checksum another impact or slot is as good.
fn use_up(bytes: Vec<u8>, docs: &[ImpactVector]) -> Result<()> {
    let postings = open(bytes, u32::try_from(docs.len()).unwrap())?;
    let mut verdict = postings.verify();
    let mut vector = ImpactVector::default();
    for (doc, expected) in (0..).zip(docs) {
        let read = postings.read(DocId(doc), &mut vector);
        if read.is_ok() && vector != *expected {
            verdict = Err(crate::error::Error::invalid("vector", "the old", "another"));
        }
    }
    let beyond = DocId(u32::try_from(docs.len()).unwrap());
    let _ = postings.read(beyond, &mut vector);
    for vector in docs {
        for &term in &vector.terms {
            postings.posting_count(term);
        }
    }
    verdict
}

#[test]
fn damage_under_valid_checksums_is_found_and_harmless() {
    let docs = corpus(20, 40, 7);
    for layout in LAYOUTS {
        let good = written(&docs, layout);
        let sections = view(good.clone()).unwrap();
        let mut random = Random(3);
        for &id in Postings::SECTIONS.iter().filter(|id| sections.has(**id)) {
            let len = sections.section(id).len();
            for at in 0..len {
                let with = 1 + u8::try_from(random.below(255)).unwrap();
                let bad = altered(&good, id, |bytes| bytes[at] ^= with);
                assert!(
                    use_up(bad, &docs).is_err(),
                    "{}: byte {at} ^ {with}",
                    id.name
                );
            }
            for cut in [0, len / 2, len.saturating_sub(1)] {
                let bad = altered(&good, id, |bytes| bytes.truncate(cut));
                assert!(cut == len || use_up(bad, &docs).is_err(), "{} cut", id.name);
            }
            let longer = altered(&good, id, |bytes| bytes.push(0));
            assert!(use_up(longer, &docs).is_err(), "{} longer", id.name);
        }
        assert!(open(good, 41).is_err());
    }
}
