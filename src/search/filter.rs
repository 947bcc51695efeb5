//! Conditions on typed fields and keys.
//!
//! A filter is checked against the index's fields before it runs: a field that no document has, or
//! a value of another type than the field's, is an error rather than an empty answer. A document
//! without the field matches no condition on it (and so matches its negation).

use std::ops::{Bound, RangeBounds};

use crate::{
    error::{Error, Result},
    segment::{Document, FieldType, Schema, Value, check_type},
};

/// How deep conditions may nest.
pub(super) const DEPTH_MAX: usize = 64;
/// How many conditions and values a filter may have.
const SIZE_MAX: usize = 1 << 20;

/// A condition that documents must meet to be results, or to be deleted.
///
/// ```
/// use sparsely::Filter;
/// let filter = Filter::and([
///     Filter::is_in("language", ["rust", "c"]),
///     Filter::range("lines", 10..=200),
///     Filter::not(Filter::key_prefix("tests/")),
/// ]);
/// ```
///
/// Conditions nest at most 64 deep.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(pub(super) Condition);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Condition {
    /// The field has one of the values, which are sorted and all of one type.
    IsIn(String, Vec<Value>),
    /// The integer field is at least the first and at most the second number.
    Between(String, i64, i64),
    /// The range holds no number.
    Nothing(String),
    KeyPrefix(Vec<u8>),
    Not(Box<Filter>),
    And(Vec<Filter>),
    Or(Vec<Filter>),
}

impl Filter {
    /// The field has this value.
    pub fn equals(field: impl Into<String>, value: impl Into<Value>) -> Filter {
        Filter(Condition::IsIn(field.into(), vec![value.into()]))
    }

    /// The field has one of these values; none of them match nothing.
    pub fn is_in<V: Into<Value>>(
        field: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Filter {
        let mut values: Vec<Value> = values.into_iter().map(Into::into).collect();
        values.sort_unstable();
        values.dedup();
        Filter(Condition::IsIn(field.into(), values))
    }

    /// The integer field lies in the range: `10..`, `..=5`, `1..9`.
    pub fn range(field: impl Into<String>, range: impl RangeBounds<i64>) -> Filter {
        let least = match range.start_bound() {
            Bound::Included(least) => Some(*least),
            Bound::Excluded(below) => below.checked_add(1),
            Bound::Unbounded => Some(i64::MIN),
        };
        let most = match range.end_bound() {
            Bound::Included(most) => Some(*most),
            Bound::Excluded(above) => above.checked_sub(1),
            Bound::Unbounded => Some(i64::MAX),
        };
        Filter(match (least, most) {
            (Some(least), Some(most)) if least <= most => {
                Condition::Between(field.into(), least, most)
            }
            _ => Condition::Nothing(field.into()),
        })
    }

    /// The document's key begins with these bytes.
    pub fn key_prefix(prefix: impl AsRef<[u8]>) -> Filter {
        Filter(Condition::KeyPrefix(prefix.as_ref().to_vec()))
    }

    /// The filter does not match.
    #[expect(
        clippy::should_implement_trait,
        reason = "reads as its siblings `and` and `or`, and takes the filter as an argument"
    )]
    pub fn not(filter: Filter) -> Filter {
        Filter(Condition::Not(Box::new(filter)))
    }

    /// All of the filters match; none of them match everything.
    pub fn and(filters: impl IntoIterator<Item = Filter>) -> Filter {
        Filter(Condition::And(filters.into_iter().collect()))
    }

    /// One of the filters matches; none of them match nothing.
    pub fn or(filters: impl IntoIterator<Item = Filter>) -> Filter {
        Filter(Condition::Or(filters.into_iter().collect()))
    }

    /// Refuses unknown fields, values of another type than their field's, and filters too deep to
    /// evaluate.
    pub(crate) fn check(&self, schema: &Schema) -> Result<()> {
        let mut size = 0;
        self.check_at(schema, 0, &mut size)
    }

    fn check_at(&self, schema: &Schema, depth: usize, size: &mut usize) -> Result<()> {
        if depth >= DEPTH_MAX {
            let what = "depth of a filter";
            return Err(Error::limit(what, DEPTH_MAX as u64, depth as u64 + 1));
        }
        *size += match &self.0 {
            Condition::IsIn(_, values) => values.len(),
            _ => 1,
        };
        if *size > SIZE_MAX {
            let what = "values and conditions of a filter";
            return Err(Error::limit(what, SIZE_MAX as u64, *size as u64));
        }
        match &self.0 {
            Condition::KeyPrefix(_) => Ok(()),
            Condition::IsIn(name, values) => {
                let known = schema.named(name)?;
                values
                    .iter()
                    .try_for_each(|value| check_type(name, known, value))
            }
            Condition::Between(name, ..) | Condition::Nothing(name) => match schema.named(name)? {
                FieldType::Integer => Ok(()),
                known => check_type(name, known, &Value::Integer(0)),
            },
            Condition::Not(filter) => filter.check_at(schema, depth + 1, size),
            Condition::And(filters) | Condition::Or(filters) => filters
                .iter()
                .try_for_each(|filter| filter.check_at(schema, depth + 1, size)),
        }
    }

    /// Whether a document that is not yet written matches; the filter was checked.
    pub(crate) fn matches(&self, document: &Document) -> bool {
        match &self.0 {
            Condition::IsIn(name, values) => document
                .value(name)
                .is_some_and(|value| values.binary_search(value).is_ok()),
            Condition::Between(name, least, most) => match document.value(name) {
                Some(Value::Integer(value)) => (least..=most).contains(&value),
                _ => false,
            },
            Condition::Nothing(_) => false,
            Condition::KeyPrefix(prefix) => document.key.as_bytes().starts_with(prefix),
            Condition::Not(filter) => !filter.matches(document),
            Condition::And(filters) => filters.iter().all(|filter| filter.matches(document)),
            Condition::Or(filters) => filters.iter().any(|filter| filter.matches(document)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::ErrorKind, sparse::SparseVector};

    fn document() -> Document {
        Document::new("src/a.rs", SparseVector::default())
            .field("language", "rust")
            .field("lines", 10)
            .field("test", false)
    }

    fn schema() -> Schema {
        let mut schema = Schema::default();
        schema.learn(&document()).unwrap();
        schema
    }

    #[test]
    fn ranges_take_every_form_of_bound() {
        let matches = |filter: Filter| filter.matches(&document());
        assert!(matches(Filter::range("lines", 10..)));
        assert!(matches(Filter::range("lines", ..=10)));
        assert!(matches(Filter::range("lines", ..)));
        assert!(!matches(Filter::range("lines", ..10)));
        assert!(!matches(Filter::range("lines", 11..)));
        assert!(matches(Filter::range(
            "lines",
            (Bound::Excluded(9), Bound::Excluded(11))
        )));
        let beyond = (Bound::Excluded(i64::MAX), Bound::Unbounded);
        assert!(!matches(Filter::range("lines", beyond)));
        #[expect(clippy::reversed_empty_ranges, reason = "the empty range is the case")]
        let reversed = Filter::range("lines", 11..3);
        assert!(!matches(reversed));
    }

    #[test]
    fn absent_fields_match_only_negations() {
        let bare = Document::new("k", SparseVector::default());
        assert!(!Filter::equals("lines", 10).matches(&bare));
        assert!(Filter::not(Filter::equals("lines", 10)).matches(&bare));
        assert!(Filter::and([]).matches(&bare));
        assert!(!Filter::or([]).matches(&bare));
        assert!(!Filter::is_in("lines", [0_i64; 0]).matches(&bare));
    }

    #[test]
    fn a_filter_is_checked_before_it_runs() {
        let kind = |filter: Filter| filter.check(&schema()).map_err(|error| error.kind());
        assert_eq!(kind(Filter::equals("lines", 1)), Ok(()));
        assert_eq!(
            kind(Filter::equals("lines", "1")),
            Err(ErrorKind::InvalidInput)
        );
        assert_eq!(
            kind(Filter::range("language", 1..)),
            Err(ErrorKind::InvalidInput)
        );
        assert_eq!(kind(Filter::equals("line", 1)), Err(ErrorKind::NotFound));
        let message = Filter::equals("line", 1).check(&schema()).unwrap_err();
        assert!(
            message.to_string().contains("language, lines, test"),
            "{message}"
        );
        let deep = |n| (0..n).fold(Filter::key_prefix("a"), |f, _| Filter::not(f));
        assert_eq!(kind(deep(63)), Ok(()));
        assert_eq!(kind(deep(64)), Err(ErrorKind::Limit));
    }
}
