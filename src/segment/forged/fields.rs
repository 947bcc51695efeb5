//! The section of fields.

use super::*;
use crate::segment::fields::FIELDS;

/// Where the arrays of a field lie in its section, as `docs/format.md` lays them out.
struct Places {
    /// Of its name in the directory.
    entry: usize,
    header: usize,
    values: usize,
    strings: usize,
    ends: usize,
    list: usize,
    frequent: usize,
    bitsets: usize,
    ordinals: usize,
}

fn places(section: &[u8], name: &str) -> Places {
    let mut entry = 4;
    while section[entry + 4..][..number::<4>(section, entry)] != *name.as_bytes() {
        entry += 4 + number::<4>(section, entry) + 20;
    }
    let kind = entry + 4 + name.len();
    let header = number::<8>(section, kind + 4);
    let [value_count, frequent_count, list_len, width] =
        [0, 4, 8, 12].map(|at| number::<4>(section, header + at));
    let is_text = number::<4>(section, kind) == 1;
    let lens = [
        8 * (value_count + usize::from(is_text)),
        number::<8>(section, header + 16),
        4 * value_count,
        4 * list_len,
        4 * frequent_count,
        8 * frequent_count * DOCS.div_ceil(64),
        width * DOCS,
    ];
    let mut next = header + 32;
    let [values, strings, ends, list, frequent, bitsets, ordinals] = lens.map(|len| {
        next += len.next_multiple_of(8);
        next - len.next_multiple_of(8)
    });
    Places {
        entry,
        header,
        values,
        strings,
        ends,
        list,
        frequent,
        bitsets,
        ordinals,
    }
}

#[test]
fn the_directory_of_fields() {
    check(
        FIELDS,
        &[
            ("at most 1024 fields", |s| {
                put_u32(s, 0, 1025);
                s.resize(30_000, 0);
            }),
            ("a name of 1 to 255 bytes", |s| put_u32(s, 4, 0)),
            ("a field type of 1 to 3", |s| {
                let at = places(s, "mixed").entry;
                put_u32(s, at + 4 + 5, 4);
            }),
            ("field names that rise", |s| {
                let at = places(s, "mixed").entry;
                s[at + 4] = b'a';
            }),
            ("a field where the one before ends", |s| {
                let (at, start) = (places(s, "mixed").entry, places(s, "mixed").header);
                put_u64(s, at + 4 + 5 + 4, start as u64 + 8);
            }),
            ("the first field at", |s| {
                let start = places(s, "always").header;
                for name in ["always", "mixed", "name", "number", "test"] {
                    let at = places(s, name).entry + 4 + name.len() + 4;
                    for at in [at, at + 8] {
                        let moved = number::<8>(s, at) as u64 + 8;
                        put_u64(s, at, moved);
                    }
                }
                s.splice(start..start, [0; 8]);
            }),
            (" bytes, found ", |s| s.extend([0; 8])),
        ],
    );
}

#[test]
fn the_counts_of_a_field() {
    const COUNTS: &str = "counts for 70 documents";
    fn of_number(s: &mut [u8], by: usize, value: u32) {
        let at = places(s, "number").header + by;
        put_u32(s, at, value);
    }
    check(
        FIELDS,
        &[
            (COUNTS, |s| of_number(s, 0, 71)),
            (COUNTS, |s| of_number(s, 4, 33)),
            (COUNTS, |s| of_number(s, 8, 71)),
            (COUNTS, |s| of_number(s, 12, 2)),
            (COUNTS, |s| of_number(s, 16, 8)),
            (COUNTS, |s| of_number(s, 24, 1)),
            (COUNTS, |s| {
                let at = places(s, "always").header;
                put_u32(s, at + 4, 2);
            }),
            ("a field that ends at", |s| of_number(s, 8, 60)),
        ],
    );
}

#[test]
fn the_arrays_of_a_field() {
    check(
        FIELDS,
        &[
            ("0 or 1", |s| {
                let at = places(s, "test").values;
                put_u64(s, at + 8, 2);
            }),
            // The only value is compared with no other.
            ("0 or 1", |s| {
                let at = places(s, "always").values;
                put_u64(s, at, 2);
            }),
            ("values that strictly rise", |s| {
                let at = places(s, "number").values;
                put_u64(s, at + 8, 0);
            }),
            ("a string inside its field", |s| {
                let at = places(s, "name").values;
                put_u64(s, at + 8 * DOCS, 3 * 70 + 1);
            }),
            ("a string inside its field", |s| {
                let at = places(s, "name").values;
                put_u64(s, at + 8, 7);
            }),
            ("a string in UTF-8", |s| {
                let at = places(s, "name").strings;
                s[at] = 0xFF;
            }),
            ("rising ends up to 70", |s| {
                let at = places(s, "number").ends;
                put_u32(s, at + 12, 0);
            }),
            ("rising ends up to 70", |s| {
                let at = places(s, "number").ends;
                put_u32(s, at + 4 * 69, 71);
            }),
            ("a document below 70", |s| {
                let at = places(s, "number").list;
                put_u32(s, at, 70);
            }),
            ("a document that has the value", |s| {
                let at = places(s, "number").list;
                put_u32(s, at, 1);
            }),
            ("documents that strictly rise", |s| {
                let at = places(s, "mixed").list;
                put_u32(s, at, 47);
            }),
            ("all documents of a value", |s| {
                // As if one list had an entry less, and the next one more.
                let at = places(s, "number").ends;
                put_u32(s, at, 0);
            }),
            ("rising ordinals of frequent values", |s| {
                let at = places(s, "test").frequent;
                put_u32(s, at, 1);
            }),
            ("rising ordinals of frequent values", |s| {
                let at = places(s, "test").frequent;
                put_u32(s, at + 4, 2);
            }),
            ("a frequent value without a list", |s| {
                let at = places(s, "mixed").ends;
                put_u32(s, at, 1);
            }),
            ("no document beyond the last", |s| {
                let at = places(s, "test").bitsets;
                s[at + 8] |= 1 << 6;
            }),
            ("a document that has the value", |s| {
                let at = places(s, "test").bitsets;
                s[at] |= 1;
            }),
            ("all documents of a value", |s| {
                let at = places(s, "always").bitsets;
                s[at] ^= 1;
            }),
            ("an ordinal up to 70", |s| {
                let at = places(s, "number").ordinals;
                s[at] = 71;
            }),
        ],
    );
}

#[test]
fn a_string_of_a_field_is_at_most_64_kib() {
    let long = |letter: &str, at: u32| {
        let vector = SparseVector::new([(1, 1.0)]).unwrap();
        Document::new(format!("{at}"), vector).field("name", letter.repeat(40_000))
    };
    let good = open(written(&[long("a", 0), long("b", 1)])).unwrap();
    let bad = altered(&good, FIELDS, |s| {
        let header = number::<8>(s, 4 + 4 + 4 + 4);
        put_u64(s, header + 32 + 8, 0);
    });
    refused(bad, FIELDS, "a string of at most 64 KiB, found 80000");
}

/// Searches read without verifying.
#[test]
fn filters_and_stored_values_do_not_trust_fields() {
    type Read = fn(&Segment) -> Result<()>;
    let all: Read = |segment| {
        let selection = segment.fields().between("number", i64::MIN, i64::MAX);
        selection.map(drop)
    };
    let one: Read = |segment| {
        let selection = segment.fields().equal_to("number", &[Value::from(0)]);
        selection.map(drop)
    };
    let first: Read = |segment| segment.stored(DocId(0)).map(drop);
    let rules: [(Read, Rule); 4] = [
        (
            all,
            ("rising ends up to 70", |s| {
                let at = places(s, "number").ends;
                put_u32(s, at + 4 * 69, 71);
            }),
        ),
        (
            all,
            ("a document below 70", |s| {
                let at = places(s, "number").list;
                put_u32(s, at + 4 * 69, 70);
            }),
        ),
        (
            one,
            ("a document below 70", |s| {
                let at = places(s, "number").list;
                put_u32(s, at, 70);
            }),
        ),
        (
            first,
            ("an ordinal up to 70", |s| {
                let at = places(s, "number").ordinals;
                s[at] = 71;
            }),
        ),
    ];
    let good = open(written(&documents())).unwrap();
    for (read, (expected, change)) in rules {
        read(&good).unwrap();
        let bad = open(altered(&good, FIELDS, change)).unwrap();
        is_damage(&read(&bad).unwrap_err(), FIELDS, expected);
    }
}
