//! Which documents answer which query, and how well.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{BufRead, Write},
};

use super::lines::{Lines, failed_write};
use crate::error::{Error, Result};

/// The judged documents of one query with their grades; above 0 is relevant.
pub type Grades = BTreeMap<String, i32>;

/// The judgments of a collection (qrels).
///
/// A judgment may name a document or a query that the collection lacks. It stays: such a document
/// counts as one that was not found, such a query as one that was not answered. That is what
/// trec_eval does; programs should say how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgments {
    queries: BTreeMap<String, Grades>,
}

impl Judgments {
    /// Adds one judgment. The same one twice is the same as once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) where the document has another
    /// grade for this query.
    pub fn insert(&mut self, query: &str, document: &str, grade: i32) -> Result<()> {
        let grades = self.queries.entry(query.to_owned()).or_default();
        match grades.entry(document.to_owned()) {
            Entry::Vacant(vacant) => {
                vacant.insert(grade);
                Ok(())
            }
            Entry::Occupied(held) if *held.get() == grade => Ok(()),
            Entry::Occupied(held) => Err(Error::invalid(
                format!("judgment of document {document:?} for query {query:?}"),
                format!("{}, its earlier grade", held.get()),
                grade.to_string(),
            )),
        }
    }

    /// The judged queries with their grades, by rising id.
    pub fn queries(&self) -> impl ExactSizeIterator<Item = (&str, &Grades)> {
        self.queries
            .iter()
            .map(|(query, grades)| (query.as_str(), grades))
    }

    /// The grades of one query, where it was judged.
    #[must_use]
    pub fn grades(&self, query: &str) -> Option<&Grades> {
        self.queries.get(query)
    }

    /// Reads a TREC qrels file: lines of query, a column without meaning, document and grade,
    /// between white space. `file` names it in errors.
    ///
    /// ```
    /// use sparsely::evaluate::Judgments;
    /// let judgments = Judgments::read_trec(&b"q1 0 d7 2\n"[..], "qrels.txt")?;
    /// assert_eq!(judgments.grades("q1").unwrap()["d7"], 2);
    /// let error = Judgments::read_trec(&b"q1 0 d7 2\nq1 0\n"[..], "qrels.txt").unwrap_err();
    /// assert!(error.to_string().starts_with("qrels.txt:2: expected"));
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with file and line for a line of
    /// another shape, text that is not UTF-8, or a document with two grades for one query; and the
    /// reader's own.
    pub fn read_trec(from: impl BufRead, file: &str) -> Result<Judgments> {
        let mut judgments = Judgments::default();
        let mut lines = Lines::new(from, file);
        while let Some(line) = lines.next_line()? {
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields[..] {
                [query, _, document, grade] => judgments.add(&lines, query, document, grade)?,
                [] => {}
                _ => {
                    let found = format!("{} columns", fields.len());
                    return Err(lines.refuse("query, 0, document and grade", found));
                }
            }
        }
        Ok(judgments)
    }

    /// Reads a BEIR qrels file: lines of query, document and grade between tabs, the first of them
    /// usually a heading. `file` names it in errors.
    ///
    /// # Errors
    /// As [`Judgments::read_trec`].
    pub fn read_tsv(from: impl BufRead, file: &str) -> Result<Judgments> {
        let mut judgments = Judgments::default();
        let mut lines = Lines::new(from, file);
        while let Some(line) = lines.next_line()? {
            let fields: Vec<&str> = line.split('\t').collect();
            match fields[..] {
                [_, _, heading] if lines.number() == 1 && heading.parse::<i32>().is_err() => {}
                [query, document, grade] => judgments.add(&lines, query, document, grade)?,
                [""] => {}
                _ => {
                    let found = format!("{} columns", fields.len());
                    return Err(lines.refuse("query, document and grade between tabs", found));
                }
            }
        }
        Ok(judgments)
    }

    /// Writes a TREC qrels file, by rising query and document. `file` names it in errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an id that is empty or has
    /// white space in it; and the writer's own.
    pub fn write_trec(&self, mut to: impl Write, file: &str) -> Result<()> {
        for (query, grades) in &self.queries {
            let query = trec_id(query)?;
            for (document, grade) in grades {
                let document = trec_id(document)?;
                writeln!(to, "{query} 0 {document} {grade}")
                    .map_err(|error| failed_write(file, error))?;
            }
        }
        to.flush().map_err(|error| failed_write(file, error))
    }

    fn add<R>(
        &mut self,
        lines: &Lines<'_, R>,
        query: &str,
        document: &str,
        grade: &str,
    ) -> Result<()> {
        let number = grade
            .trim()
            .parse()
            .map_err(|_| lines.refuse("a grade that is an integer", format!("{grade:?}")))?;
        self.insert(query, document, number).map_err(|_| {
            let found = format!("another for document {document:?} and query {query:?}");
            lines.refuse("one grade for a document and a query", found)
        })
    }
}

/// `id`, where columns between white space can hold it.
pub(super) fn trec_id(id: &str) -> Result<&str> {
    if id.is_empty() || id.contains(char::is_whitespace) {
        return Err(Error::invalid(
            "id for a TREC file",
            "characters without white space",
            format!("{id:?}"),
        ));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_as_they_were() {
        let mut judgments = Judgments::default();
        for (query, document, grade) in [("1", "b", 1), ("1", "a", -1), ("é", "c", 3)] {
            judgments.insert(query, document, grade).unwrap();
        }
        let mut bytes = Vec::new();
        judgments.write_trec(&mut bytes, "q").unwrap();
        assert_eq!(bytes, "1 0 a -1\n1 0 b 1\né 0 c 3\n".as_bytes());
        assert_eq!(Judgments::read_trec(&bytes[..], "q").unwrap(), judgments);
    }

    #[test]
    fn tsv_with_and_without_heading() {
        let plain = Judgments::read_tsv(&b"q 1\td 1\t2\r\n\n"[..], "q").unwrap();
        let headed = b"\xef\xbb\xbfquery-id\tcorpus-id\tscore\nq 1\td 1\t2";
        assert_eq!(Judgments::read_tsv(&headed[..], "q").unwrap(), plain);
        assert_eq!(plain.grades("q 1").unwrap()["d 1"], 2);
        assert_eq!(plain.queries().len(), 1);
    }

    #[test]
    fn bad_lines_are_named() {
        for (tsv, place) in [
            (&b"a\tb\t1\na\tb\tx\n"[..], "f:2"),
            (b"a\tb\t1\na\tb\t2\n", "f:2"),
            (b"a\tb\n", "f:1"),
            (b"a\tb\t1\n\xff\tb\t1\n", "f:2"),
            (b"a\tb\t1\na\tb\t1.5\n", "f:2"),
            (b"a\tb\t1\na\tb\t99999999999\n", "f:2"),
        ] {
            let error = Judgments::read_tsv(tsv, "f").unwrap_err();
            assert!(error.to_string().starts_with(place), "{error}");
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn ids_that_would_break_columns_are_refused() {
        let mut judgments = Judgments::default();
        judgments.insert("two words", "d", 1).unwrap();
        assert!(judgments.write_trec(Vec::new(), "q").is_err());
    }
}
