//! Typed fields: per field the sorted distinct values, the documents of each, and the value of
//! each document.
//!
//! A value that at least one in 32 documents has is kept as a bitset, which a filter borrows from
//! the file; the others are kept as lists. So a filter costs the smaller of its result and a bit
//! per document. Opening reads one small header per field.

use std::{borrow::Cow, ops::Range, sync::Arc};

use super::{
    document::{FIELD_STRING_LEN_MAX, FieldType, Value},
    part::{Part, index},
    schema::{FIELDS_MAX, Schema, read_field},
};
use crate::{
    error::{Error, Result},
    format::{FileView, SectionId},
    id::DocId,
};

pub(super) const FIELDS: SectionId = SectionId::required(5, "fields");

/// A value that this share of the documents has (one in so many) gets a bitset.
pub(super) const FREQUENT_SHARE: u64 = 32;
pub(super) const HEADER_LEN: u64 = 32;

/// The fields of a segment.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    part: Part,
    schema: Schema,
    /// In the order of the schema.
    fields: Vec<Field>,
    doc_count: u32,
}

/// Where the arrays of one field lie in the section.
#[derive(Clone, Debug)]
pub(super) struct Field {
    field_type: FieldType,
    value_count: u32,
    frequent_count: u32,
    list_len: u32,
    width: u32,
    values: u64,
    strings: u64,
    strings_len: u64,
    ends: u64,
    list: u64,
    frequent: u64,
    bitsets: u64,
    ordinals: u64,
}

/// Documents that a condition on a field admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection<'a> {
    /// Bit `d % 64` of word `d / 64` for document `d`.
    Bits(Cow<'a, [u64]>),
    /// By rising id.
    Few(Vec<DocId>),
}

/// A value as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ValueRef<'a> {
    String(&'a str),
    Integer(i64),
    Boolean(bool),
}

impl ValueRef<'_> {
    pub(super) fn to_value(self) -> Value {
        match self {
            ValueRef::String(value) => Value::String(value.to_owned()),
            ValueRef::Integer(value) => Value::Integer(value),
            ValueRef::Boolean(value) => Value::Boolean(value),
        }
    }
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> ValueRef<'a> {
        match value {
            Value::String(value) => ValueRef::String(value),
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Boolean(value) => ValueRef::Boolean(*value),
        }
    }
}

impl Fields {
    pub(super) fn open(view: &Arc<FileView>, doc_count: u32) -> Result<Fields> {
        let part = Part::required(view, FIELDS)?;
        let mut schema = Schema::new();
        let mut fields = Vec::new();
        let mut directory = part.unchecked_reader();
        let count = directory.count(24, "field count")?;
        if count > FIELDS_MAX {
            return Err(directory.corrupt(format_args!("at most {FIELDS_MAX} fields"), count));
        }
        let mut last_end = None;
        let mut first_start = None;
        for _ in 0..count {
            let (name, field_type) = read_field(&mut directory)?;
            let start = directory.u64("field start")?;
            let end = directory.u64("field end")?;
            if last_end.is_some_and(|end| end != start) {
                return Err(directory.corrupt("a field where the one before ends", start));
            }
            schema.push(&directory, name, field_type)?;
            fields.push(Field::open(&part, field_type, start..end, doc_count)?);
            first_start.get_or_insert(start);
            last_end = Some(end);
        }
        part.check(directory.offset())?;
        let directory_end = directory.offset().next_multiple_of(8) as u64;
        if first_start.is_some_and(|start| start != directory_end) {
            let expected = format_args!("the first field at {directory_end}");
            return Err(directory.corrupt(expected, "another place"));
        }
        part.check_len(last_end.unwrap_or(directory_end))?;
        Ok(Fields {
            schema,
            fields,
            doc_count,
            part,
        })
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }

    fn field(&self, name: &str) -> Option<&Field> {
        let at = self.schema.iter().position(|(other, _)| other == name)?;
        self.fields.get(at)
    }

    /// The value of a field of one document.
    pub(super) fn value(&self, name: &str, doc: DocId) -> Result<Option<ValueRef<'_>>> {
        let Some(field) = self.field(name) else {
            return Ok(None);
        };
        match field.ordinal(&self.part, doc)? {
            None => Ok(None),
            Some(ordinal) => field.value(&self.part, ordinal).map(Some),
        }
    }

    /// The value of a field of one document, by value.
    pub(crate) fn value_of(&self, name: &str, doc: DocId) -> Result<Option<Value>> {
        Ok(self.value(name, doc)?.map(ValueRef::to_value))
    }

    /// All values of one document, by field name.
    pub(super) fn values(&self, doc: DocId) -> Result<Vec<(String, Value)>> {
        let mut values = Vec::new();
        for ((name, _), field) in self.schema.iter().zip(&self.fields) {
            if let Some(ordinal) = field.ordinal(&self.part, doc)? {
                let value = field.value(&self.part, ordinal)?.to_value();
                values.push((name.to_owned(), value));
            }
        }
        Ok(values)
    }

    /// Documents that have one of `values`, which are sorted. None where the segment lacks the
    /// field.
    pub(crate) fn equal_to(&self, name: &str, values: &[Value]) -> Result<Selection<'_>> {
        let Some(field) = self.field(name) else {
            return Ok(Selection::Few(Vec::new()));
        };
        let mut ordinals: Vec<Range<u32>> = Vec::new();
        for value in values {
            let value = ValueRef::from(value);
            let at = field.first_from(&self.part, value)?;
            if at == field.value_count || field.value(&self.part, at)? != value {
                continue;
            }
            match ordinals.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                _ => ordinals.push(at..at + 1),
            }
        }
        self.select(field, &ordinals)
    }

    /// Documents whose integer lies in the range.
    pub(crate) fn between(&self, name: &str, least: i64, most: i64) -> Result<Selection<'_>> {
        let field = self.field(name);
        let Some(field) = field.filter(|field| field.field_type == FieldType::Integer) else {
            return Ok(Selection::Few(Vec::new()));
        };
        let start = field.first_from(&self.part, ValueRef::Integer(least))?;
        let end = match most.checked_add(1) {
            Some(beyond) => field.first_from(&self.part, ValueRef::Integer(beyond))?,
            None => field.value_count,
        };
        self.select(field, std::slice::from_ref(&(start..end.max(start))))
    }

    /// Documents whose ordinal lies in one of the rising ranges.
    fn select(&self, field: &Field, ordinals: &[Range<u32>]) -> Result<Selection<'_>> {
        let mut listed = 0;
        let mut frequent = Vec::new();
        for at in 0..field.frequent_count {
            let ordinal = self.part.u32(field.frequent, at)?;
            if ordinals.iter().any(|range| range.contains(&ordinal)) {
                frequent.push(at);
            }
        }
        for range in ordinals {
            let docs = field.listed(&self.part, range)?;
            listed += u64::from(docs.end - docs.start);
        }
        match (frequent.as_slice(), listed) {
            ([only], 0) => return field.bits(&self.part, *only, self.doc_count),
            ([], few) if few * FREQUENT_SHARE < u64::from(self.doc_count) => {
                return self.gather(field, ordinals);
            }
            _ => {}
        }
        let mut words = vec![0_u64; index(self.doc_count.div_ceil(64))];
        for at in frequent {
            if let Selection::Bits(bits) = field.bits(&self.part, at, self.doc_count)? {
                for (word, more) in words.iter_mut().zip(bits.iter()) {
                    *word |= more;
                }
            }
        }
        for range in ordinals {
            for doc in field.docs(&self.part, range, self.doc_count)? {
                let doc = doc?;
                words[doc.index() / 64] |= 1 << (doc.0 % 64);
            }
        }
        Ok(Selection::Bits(Cow::Owned(words)))
    }

    fn gather(&self, field: &Field, ordinals: &[Range<u32>]) -> Result<Selection<'_>> {
        let mut docs = Vec::new();
        for range in ordinals {
            for doc in field.docs(&self.part, range, self.doc_count)? {
                docs.push(doc?);
            }
        }
        docs.sort_unstable();
        docs.dedup();
        Ok(Selection::Few(docs))
    }

    /// Values strictly rise, and lists, bitsets and ordinals say the same.
    pub(super) fn verify(&self) -> Result<()> {
        for field in &self.fields {
            field.verify(&self.part, self.doc_count)?;
        }
        Ok(())
    }
}

impl Field {
    /// Lays the arrays out from the counts and compares the sum with the field's length.
    fn open(part: &Part, field_type: FieldType, block: Range<u64>, docs: u32) -> Result<Field> {
        let mut header = part.reader(block.start, block.start.saturating_add(HEADER_LEN))?;
        let value_count = header.u32("value count")?;
        let frequent_count = header.u32("frequent count")?;
        let list_len = header.u32("list length")?;
        let width = header.u32("ordinal width")?;
        let strings_len = header.u64("string bytes")?;
        let reserved = header.u64("reserved")?;
        let holds_strings = field_type == FieldType::String;
        let counts_fit = u64::from(frequent_count) <= FREQUENT_SHARE
            && frequent_count <= value_count
            && value_count <= docs
            && list_len <= docs
            && width == width_of(value_count)
            && (strings_len == 0 || holds_strings)
            && reserved == 0;
        if !counts_fit {
            let found = format_args!(
                "{value_count} values, {frequent_count} frequent, {list_len} listed, width {width}"
            );
            return Err(header.corrupt(format_args!("counts for {docs} documents"), found));
        }
        let mut next = block.start + HEADER_LEN;
        let mut place = |len: u64| {
            let start = next;
            next = next.saturating_add(len.div_ceil(8).saturating_mul(8));
            start
        };
        let value_slots = u64::from(value_count) + u64::from(holds_strings);
        let field = Field {
            field_type,
            value_count,
            frequent_count,
            list_len,
            width,
            strings_len,
            values: place(8 * value_slots),
            strings: place(strings_len),
            ends: place(4 * u64::from(value_count)),
            list: place(4 * u64::from(list_len)),
            frequent: place(4 * u64::from(frequent_count)),
            bitsets: place(8 * u64::from(frequent_count) * u64::from(docs.div_ceil(64))),
            ordinals: place(u64::from(width) * u64::from(docs)),
        };
        if next == block.end {
            return Ok(field);
        }
        let at = usize::try_from(block.start).unwrap_or(usize::MAX);
        let expected = format_args!("a field that ends at {next}");
        Err(part.corrupt(at, expected, block.end))
    }

    fn value<'a>(&self, part: &'a Part, ordinal: u32) -> Result<ValueRef<'a>> {
        let place = self.values + 8 * u64::from(ordinal);
        let number = part.u64(self.values, ordinal)?;
        let wrong = |expected: &str, found: &dyn std::fmt::Display| {
            let at = usize::try_from(place).unwrap_or(usize::MAX);
            part.corrupt(at, expected, found)
        };
        match self.field_type {
            FieldType::Integer => Ok(ValueRef::Integer(i64::from_le_bytes(number.to_le_bytes()))),
            FieldType::Boolean if number <= 1 => Ok(ValueRef::Boolean(number == 1)),
            FieldType::Boolean => Err(wrong("0 or 1", &number)),
            FieldType::String => {
                let end = part.u64(self.values, ordinal + 1)?;
                if number > end || end > self.strings_len {
                    return Err(wrong("a string inside its field", &end));
                }
                if end - number > FIELD_STRING_LEN_MAX as u64 {
                    return Err(wrong("a string of at most 64 KiB", &(end - number)));
                }
                let bytes = part.slice(self.strings + number, self.strings + end)?;
                let text = std::str::from_utf8(bytes);
                text.map(ValueRef::String)
                    .map_err(|error| wrong("a string in UTF-8", &error))
            }
        }
    }

    /// The lowest ordinal whose value is not below `value`.
    fn first_from(&self, part: &Part, value: ValueRef<'_>) -> Result<u32> {
        let (mut low, mut high) = (0, self.value_count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.value(part, middle)? < value {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The ordinal of a document's value.
    fn ordinal(&self, part: &Part, doc: DocId) -> Result<Option<u32>> {
        let start = self.ordinals + u64::from(self.width) * u64::from(doc.0);
        let bytes = part.slice(start, start + u64::from(self.width))?;
        let number = bytes.iter().rev();
        let number = number.fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        if number > self.value_count {
            let at = usize::try_from(start).unwrap_or(usize::MAX);
            let expected = format_args!("an ordinal up to {}", self.value_count);
            return Err(part.corrupt(at, expected, number));
        }
        Ok(number.checked_sub(1))
    }

    /// The part of the list that holds documents of a range of values.
    fn listed(&self, part: &Part, ordinals: &Range<u32>) -> Result<Range<u32>> {
        let end_of = |ordinal: u32| match ordinal.checked_sub(1) {
            None => Ok(0),
            Some(before) => part.u32(self.ends, before),
        };
        let (start, end) = (end_of(ordinals.start)?, end_of(ordinals.end)?);
        if start <= end && end <= self.list_len {
            return Ok(start..end);
        }
        let at = usize::try_from(self.ends).unwrap_or(usize::MAX);
        let expected = format_args!("rising ends up to {}", self.list_len);
        Err(part.corrupt(at, expected, format_args!("{start}, {end}")))
    }

    /// The listed documents of a range of values.
    fn docs<'a>(
        &self,
        part: &'a Part,
        ordinals: &Range<u32>,
        doc_count: u32,
    ) -> Result<impl Iterator<Item = Result<DocId>> + 'a> {
        let listed = self.listed(part, ordinals)?;
        let start = self.list + 4 * u64::from(listed.start);
        let bytes = part.slice(start, self.list + 4 * u64::from(listed.end))?;
        let (numbers, _) = bytes.as_chunks::<4>();
        let numbers = numbers.iter().map(|number| u32::from_le_bytes(*number));
        Ok(numbers.map(move |doc| match doc < doc_count {
            true => Ok(DocId(doc)),
            false => {
                let at = usize::try_from(start).unwrap_or(usize::MAX);
                let expected = format_args!("a document below {doc_count}");
                Err(part.corrupt(at, expected, doc))
            }
        }))
    }

    /// The bitset of a frequent value: borrowed where the machine reads it as it lies.
    fn bits<'a>(&self, part: &'a Part, at: u32, doc_count: u32) -> Result<Selection<'a>> {
        let len = 8 * u64::from(doc_count.div_ceil(64));
        let start = self.bitsets + len * u64::from(at);
        let bytes = part.slice(start, start + len)?;
        if cfg!(target_endian = "little")
            && let Ok(words) = bytemuck::try_cast_slice(bytes)
        {
            return Ok(Selection::Bits(Cow::Borrowed(words)));
        }
        let (words, _) = bytes.as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        Ok(Selection::Bits(words.collect()))
    }

    fn verify(&self, part: &Part, doc_count: u32) -> Result<()> {
        let damage = |expected: &str, found: u32| -> Error {
            let at = usize::try_from(self.values).unwrap_or(usize::MAX);
            part.corrupt(at, expected, found)
        };
        for ordinal in 1..self.value_count {
            if self.value(part, ordinal - 1)? >= self.value(part, ordinal)? {
                return Err(damage("values that strictly rise", ordinal));
            }
        }
        if self.value_count == 1 {
            self.value(part, 0)?;
        }
        let mut frequent = Vec::new();
        for at in 0..self.frequent_count {
            let ordinal = part.u32(self.frequent, at)?;
            if ordinal >= self.value_count || frequent.last().is_some_and(|last| *last >= ordinal) {
                return Err(damage("rising ordinals of frequent values", ordinal));
            }
            frequent.push(ordinal);
        }
        let mut counts = vec![0_u32; index(self.value_count)];
        for doc in (0..doc_count).map(DocId) {
            if let Some(ordinal) = self.ordinal(part, doc)? {
                counts[index(ordinal)] += 1;
            }
        }
        for (ordinal, count) in (0..).zip(counts) {
            let mut found = 0;
            let mut check = |doc: DocId| match self.ordinal(part, doc)? == Some(ordinal) {
                true => {
                    found += 1;
                    Ok(())
                }
                false => Err(damage("a document that has the value", doc.0)),
            };
            let listed = self.listed(part, &(ordinal..ordinal + 1))?;
            if let Ok(at) = frequent.binary_search(&ordinal) {
                let at = u32::try_from(at).unwrap_or(u32::MAX);
                if !listed.is_empty() {
                    return Err(damage("a frequent value without a list", ordinal));
                }
                if let Selection::Bits(words) = self.bits(part, at, doc_count)? {
                    for_each_bit(&words, |doc| match doc.0 < doc_count {
                        true => check(doc),
                        false => Err(damage("no document beyond the last", doc.0)),
                    })?;
                }
            } else {
                let mut last = None;
                for doc in self.docs(part, &(ordinal..ordinal + 1), doc_count)? {
                    let doc = doc?;
                    if last.replace(doc).is_some_and(|last| last >= doc) {
                        return Err(damage("documents that strictly rise", doc.0));
                    }
                    check(doc)?;
                }
            }
            if found != count {
                return Err(damage("all documents of a value", found));
            }
        }
        Ok(())
    }
}

/// Bytes of an ordinal.
pub(super) const fn width_of(value_count: u32) -> u32 {
    match value_count {
        0..=0xFF => 1,
        0x100..=0xFFFF => 2,
        _ => 4,
    }
}

/// Calls `visit` with every document of a set of bits.
fn for_each_bit(words: &[u64], mut visit: impl FnMut(DocId) -> Result<()>) -> Result<()> {
    for (at, &word) in (0_u32..).zip(words) {
        let mut left = word;
        while left != 0 {
            visit(DocId(at * 64 + left.trailing_zeros()))?;
            left &= left - 1;
        }
    }
    Ok(())
}
