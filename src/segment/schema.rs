//! Which fields there are, and the one type that each has throughout an index.

use std::collections::BTreeMap;

use super::document::{Document, FIELD_NAME_LEN_MAX, FieldType, Value};
use crate::{
    bytes::Reader,
    error::{Error, Result},
};

/// Most fields of an index.
pub(crate) const FIELDS_MAX: usize = 1024;

/// Field names with their types, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schema {
    fields: BTreeMap<String, FieldType>,
}

impl Schema {
    pub(crate) const fn new() -> Schema {
        Schema {
            fields: BTreeMap::new(),
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<FieldType> {
        self.fields.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, FieldType)> + '_ {
        self.fields
            .iter()
            .map(|(name, field_type)| (name.as_str(), *field_type))
    }

    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Adds the fields of `document`, or refuses it and stays as it was: a field that is known
    /// under another type, or one field too many.
    pub(crate) fn learn(&mut self, document: &Document) -> Result<()> {
        let mut new = 0;
        for (name, value) in &document.fields {
            match self.fields.get(name) {
                Some(known) => check_type(name, *known, value)?,
                None => new += 1,
            }
        }
        self.check_room(new)?;
        for (name, value) in &document.fields {
            if !self.fields.contains_key(name) {
                self.fields.insert(name.clone(), value.field_type());
            }
        }
        Ok(())
    }

    /// Adds the fields of `other`, or refuses them and stays as it was.
    pub(crate) fn absorb(&mut self, other: &Schema) -> Result<()> {
        let mut new = 0;
        for (name, field_type) in &other.fields {
            match self.fields.get(name) {
                Some(known) if known != field_type => {
                    return Err(wrong_type(name, *known, *field_type));
                }
                Some(_) => {}
                None => new += 1,
            }
        }
        self.check_room(new)?;
        let fields = other.fields.iter();
        self.fields
            .extend(fields.map(|(name, field_type)| (name.clone(), *field_type)));
        Ok(())
    }

    /// The type of a field that a filter names, or an error that says which fields there are.
    pub(crate) fn named(&self, name: &str) -> Result<FieldType> {
        self.field(name).ok_or_else(|| {
            let known: Vec<&str> = self.fields.keys().map(String::as_str).collect();
            let remedy = match known.len() {
                0 => "no document has any field".to_owned(),
                1..=20 => format!("the fields are {}", known.join(", ")),
                more => format!("the first of {more} fields are {}", known[..20].join(", ")),
            };
            Error::not_found(format!("field `{name}`"), remedy)
        })
    }

    /// Adds a field read from a file; names must strictly rise.
    pub(super) fn push(
        &mut self,
        reader: &Reader<'_>,
        name: &str,
        field_type: FieldType,
    ) -> Result<()> {
        if let Some((last, _)) = self.fields.last_key_value()
            && last.as_str() >= name
        {
            return Err(reader.corrupt("field names that rise", format_args!("`{name}`")));
        }
        self.fields.insert(name.to_owned(), field_type);
        Ok(())
    }

    fn check_room(&self, new: usize) -> Result<()> {
        let len = self.fields.len() + new;
        if len > FIELDS_MAX {
            let what = "fields of an index";
            return Err(Error::limit(what, FIELDS_MAX as u64, len as u64));
        }
        Ok(())
    }
}

/// Whether `value` may stand in the field `name` of type `known`, or be compared with it.
pub(crate) fn check_type(name: &str, known: FieldType, value: &Value) -> Result<()> {
    let found = value.field_type();
    if found == known {
        return Ok(());
    }
    Err(wrong_type(name, known, found))
}

pub(super) const fn type_number(field_type: FieldType) -> u32 {
    match field_type {
        FieldType::String => 1,
        FieldType::Integer => 2,
        FieldType::Boolean => 3,
    }
}

/// A field's name and type, as the directory of fields has them.
pub(super) fn read_field<'a>(reader: &mut Reader<'a>) -> Result<(&'a str, FieldType)> {
    let name = reader.text("field name")?;
    if name.is_empty() || name.len() > FIELD_NAME_LEN_MAX {
        return Err(reader.corrupt("a name of 1 to 255 bytes", name.len()));
    }
    let field_type = match reader.u32("field type")? {
        1 => FieldType::String,
        2 => FieldType::Integer,
        3 => FieldType::Boolean,
        other => return Err(reader.corrupt("a field type of 1 to 3", other)),
    };
    Ok((name, field_type))
}

#[cold]
fn wrong_type(name: &str, known: FieldType, found: FieldType) -> Error {
    Error::invalid(
        format!("field `{name}`"),
        format!("a value of its type, {known}"),
        found.to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ErrorKind, sparse::SparseVector};

    fn document() -> Document {
        Document::new("k", SparseVector::default())
    }

    #[test]
    fn a_type_holds_for_ever_and_a_refusal_changes_nothing() {
        let mut schema = Schema::default();
        schema
            .learn(&document().field("a", 1).field("b", "x"))
            .unwrap();
        let before = schema.clone();
        let refused = schema.learn(&document().field("a", true).field("c", 1));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(schema, before);
        let message = schema.named("q").unwrap_err().to_string();
        assert!(message.contains("a, b"), "{message}");
    }

    #[test]
    fn there_are_at_most_1024_fields() {
        let mut schema = Schema::default();
        for at in 0..1024 {
            schema
                .learn(&document().field(format!("f{at}"), 1))
                .unwrap();
        }
        let refused = schema.learn(&document().field("one more", 1));
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Limit);
    }
}
