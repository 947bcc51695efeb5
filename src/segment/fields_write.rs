//! Writes typed fields. Memory is the section's own bytes and one field's distinct values.

use std::collections::{BTreeMap, HashMap};

use super::{
    build::VisitValue,
    document::FieldType,
    fields::{FIELDS, FREQUENT_SHARE, HEADER_LEN, ValueRef, width_of},
    part::index,
    schema::{Schema, type_number},
};
use crate::{
    bytes::put_text,
    error::{Error, Result},
    format::FileWriter,
};

/// Hands the value of each document of a field to a visitor.
type Values<'v> = dyn FnMut(&str, &mut VisitValue<'_>) -> Result<()> + 'v;

/// Writes the section: the directory, which needs all lengths, then the fields. `values` hands the
/// value of each document of a field to its visitor.
pub(super) fn write(
    schema: &Schema,
    doc_count: u32,
    file: &mut FileWriter,
    values: &mut Values<'_>,
) -> Result<()> {
    let names: usize = schema.iter().map(|(name, _)| name.len() + 24).sum();
    let directory_len = (4 + names).next_multiple_of(8);
    let mut directory = Vec::with_capacity(directory_len);
    let count = u32::try_from(schema.len()).unwrap_or(u32::MAX);
    directory.extend_from_slice(&count.to_le_bytes());
    let mut blocks = Vec::new();
    for (name, field_type) in schema.iter() {
        let start = (directory_len + blocks.len()) as u64;
        let mut builder = FieldBuilder::new(doc_count);
        values(name, &mut |doc, value| builder.push(doc, value))?;
        builder.finish(field_type, &mut blocks)?;
        let end = (directory_len + blocks.len()) as u64;
        put_text(&mut directory, name);
        directory.extend_from_slice(&type_number(field_type).to_le_bytes());
        directory.extend_from_slice(&start.to_le_bytes());
        directory.extend_from_slice(&end.to_le_bytes());
    }
    directory.resize(directory_len, 0);
    file.begin(FIELDS)?;
    file.write(&directory)?;
    file.write(&blocks)
}

struct FieldBuilder {
    strings: HashMap<String, u32>,
    numbers: HashMap<i64, u32>,
    /// Per document, one more than the number of its value in order of appearance.
    ordinals: Vec<u32>,
    doc_count: u32,
}

impl FieldBuilder {
    fn new(doc_count: u32) -> FieldBuilder {
        FieldBuilder {
            strings: HashMap::new(),
            numbers: HashMap::new(),
            ordinals: vec![0; index(doc_count)],
            doc_count,
        }
    }

    fn push(&mut self, doc: u32, value: ValueRef<'_>) {
        let next = u32::try_from(self.strings.len() + self.numbers.len()).unwrap_or(u32::MAX);
        let number = match value {
            ValueRef::String(value) => match self.strings.get(value) {
                Some(known) => *known,
                None => *self.strings.entry(value.to_owned()).or_insert(next),
            },
            ValueRef::Integer(value) => *self.numbers.entry(value).or_insert(next),
            ValueRef::Boolean(value) => *self.numbers.entry(value.into()).or_insert(next),
        };
        self.ordinals[index(doc)] = number + 1;
    }

    fn finish(mut self, field_type: FieldType, out: &mut Vec<u8>) -> Result<()> {
        let mut values = Vec::new();
        let mut strings = Vec::new();
        // Number in order of appearance to ordinal, both from 1; 0 stays absence.
        let mut ranks = vec![0_u32; self.strings.len() + self.numbers.len() + 1];
        if field_type == FieldType::String {
            let sorted: BTreeMap<String, u32> =
                std::mem::take(&mut self.strings).into_iter().collect();
            for (rank, (value, number)) in (1..).zip(sorted) {
                ranks[index(number) + 1] = rank;
                values.extend_from_slice(&(strings.len() as u64).to_le_bytes());
                strings.extend_from_slice(value.as_bytes());
            }
            values.extend_from_slice(&(strings.len() as u64).to_le_bytes());
        } else {
            let mut sorted: Vec<(i64, u32)> = self.numbers.drain().collect();
            sorted.sort_unstable();
            for (rank, (value, number)) in (1..).zip(sorted) {
                ranks[index(number) + 1] = rank;
                values.extend_from_slice(&value.to_le_bytes());
            }
        }
        for ordinal in &mut self.ordinals {
            *ordinal = ranks[index(*ordinal)];
        }
        let value_count = u32::try_from(ranks.len() - 1)
            .map_err(|_| Error::limit("values of a field", u64::from(u32::MAX), u64::MAX))?;
        self.lay_out(value_count, &values, &strings, out);
        Ok(())
    }

    fn lay_out(&self, value_count: u32, values: &[u8], strings: &[u8], out: &mut Vec<u8>) {
        let mut counts = vec![0_u32; index(value_count) + 1];
        for ordinal in &self.ordinals {
            counts[index(*ordinal)] += 1;
        }
        let is_frequent =
            |count: u32| u64::from(count) * FREQUENT_SHARE >= u64::from(self.doc_count);
        let frequent: Vec<u32> = (1..=value_count)
            .filter(|ordinal| is_frequent(counts[index(*ordinal)]))
            .collect();
        // Where the list of each ordinal goes on.
        let mut ends = Vec::with_capacity(index(value_count));
        let mut places = vec![0_u32; index(value_count) + 1];
        let mut list_len = 0;
        for ordinal in 1..=value_count {
            places[index(ordinal)] = list_len;
            let count = counts[index(ordinal)];
            list_len += if is_frequent(count) { 0 } else { count };
            ends.push(list_len);
        }
        let word_count = index(self.doc_count.div_ceil(64));
        let mut list = vec![0_u32; index(list_len)];
        let mut bits = vec![0_u64; word_count * frequent.len()];
        for (doc, &ordinal) in (0_u32..).zip(&self.ordinals) {
            if ordinal == 0 {
                continue;
            }
            if let Ok(at) = frequent.binary_search(&ordinal) {
                bits[at * word_count + index(doc / 64)] |= 1 << (doc % 64);
            } else {
                let place = &mut places[index(ordinal)];
                list[index(*place)] = doc;
                *place += 1;
            }
        }
        let width = width_of(value_count);
        let frequent_count = u32::try_from(frequent.len()).unwrap_or(u32::MAX);
        debug_assert_eq!(HEADER_LEN, 4 * 4 + 2 * 8);
        for number in [value_count, frequent_count, list_len, width] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&(strings.len() as u64).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        put_padded(out, values.iter().copied());
        put_padded(out, strings.iter().copied());
        put_padded(out, ends.iter().flat_map(|end| end.to_le_bytes()));
        put_padded(out, list.iter().flat_map(|doc| doc.to_le_bytes()));
        put_padded(out, frequent.iter().flat_map(|one| (one - 1).to_le_bytes()));
        put_padded(out, bits.iter().flat_map(|word| word.to_le_bytes()));
        let ordinals = self.ordinals.iter();
        put_padded(
            out,
            ordinals.flat_map(|one| one.to_le_bytes().into_iter().take(index(width))),
        );
    }
}

/// Appends `bytes` and zeros up to a multiple of 8; `out` began at one.
fn put_padded(out: &mut Vec<u8>, bytes: impl Iterator<Item = u8>) {
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(8), 0);
}
