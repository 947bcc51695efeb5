//! Files of deletes.

use super::*;
use crate::{
    format::{FileIdentity, FileKind, FileView},
    segment::deletes::{DECREMENTS, DELETED, SECTIONS},
    storage::FileBytes,
};

const DELETES: FileIdentity = FileIdentity {
    kind: FileKind::Deletes,
    ..IDENTITY
};

fn open(bytes: Vec<u8>, doc_count: u32) -> Result<Deletes> {
    let bytes = FileBytes::new(bytes);
    Deletes::open(
        bytes,
        "deletes-3-1",
        IDENTITY.index,
        IDENTITY.number,
        doc_count,
    )
}

#[test]
fn deleted_documents_and_their_terms() {
    let documents = documents();
    let doomed: Vec<&DocKey> = documents.iter().step_by(10).map(Document::key).collect();
    let live = without(&live(&documents), &doomed);
    let (good, ()) = file_with(DELETES, |mut file| {
        live.deletes().unwrap().write(&mut file).unwrap();
        file.finish().unwrap();
    });
    assert_eq!(open(good.clone(), 70).unwrap().len(), 7);
    let error = open(good.clone(), 60).unwrap_err();
    is_damage(&error, DELETED, "documents below 60");
    let view = FileView::open(FileBytes::new(good), "deletes-3-1", DELETES, &SECTIONS);
    let view = view.unwrap();
    let rules: &[(SectionId, Rule)] = &[
        (DELETED, ("the end of the section", |s| s.push(0))),
        (DELETED, ("a roaring bitmap", |s| s.truncate(3))),
        (DECREMENTS, ("terms that rise", |s| put_u32(s, 8, 0))),
        (DECREMENTS, ("a count of 1 to 7", |s| put_u32(s, 4, 0))),
        (DECREMENTS, ("a count of 1 to 7", |s| put_u32(s, 4, 8))),
        (DECREMENTS, ("4 bytes of count", |s| s.truncate(4))),
    ];
    for (changed, (expected, change)) in rules {
        let (bad, ()) = file_with(DELETES, |mut file| {
            for id in SECTIONS {
                let mut bytes = view.section(id).to_vec();
                if id == *changed {
                    change(&mut bytes);
                }
                file.section(id, &bytes).unwrap();
            }
            file.finish().unwrap();
        });
        is_damage(&open(bad, 70).unwrap_err(), *changed, expected);
    }
}
