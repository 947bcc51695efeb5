//! Rankings, in the order that trec_eval gives them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, Write},
};

use super::{
    judgments::trec_id,
    lines::{Lines, failed_write},
};
use crate::{
    error::{Error, Result},
    search::Fusion,
};

/// The ranked documents of each query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    queries: BTreeMap<String, Ranking>,
}

/// The documents found for one query, best first.
///
/// The order is trec_eval's: by falling score, of equal scores by falling document id, compared as
/// bytes. Whatever order they came in is forgotten.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking(Vec<Ranked>);

/// A document of a ranking.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Its id.
    pub document: String,
    /// Its score, finite.
    pub score: f32,
}

impl Ranking {
    /// Ranks documents by their scores.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a score that is not finite
    /// and for a document that repeats.
    pub fn new(scored: impl IntoIterator<Item = (String, f32)>) -> Result<Ranking> {
        let mut ranked: Vec<Ranked> = scored
            .into_iter()
            .map(|(document, score)| Ranked { document, score })
            .collect();
        if let Some(bad) = ranked.iter().find(|ranked| !ranked.score.is_finite()) {
            return Err(Error::invalid(
                format!("score of document {:?}", bad.document),
                "a finite number",
                bad.score.to_string(),
            ));
        }
        ranked.sort_unstable_by(|a, b| b.document.cmp(&a.document));
        if let Some(pair) = ranked
            .windows(2)
            .find(|pair| pair[0].document == pair[1].document)
        {
            return Err(Error::invalid(
                format!("document {:?} of a ranking", pair[0].document),
                "each document once",
                "it twice",
            ));
        }
        // Zero has two signs; they are equal scores. The sort is stable: ids stay falling.
        ranked.sort_by(|a, b| (b.score + 0.0).total_cmp(&(a.score + 0.0)));
        Ok(Ranking(ranked))
    }

    /// The documents, best first.
    #[must_use]
    pub fn ranked(&self) -> &[Ranked] {
        &self.0
    }
}

impl Run {
    /// Sets the ranking of a query.
    pub fn insert(&mut self, query: &str, ranking: Ranking) {
        self.queries.insert(query.to_owned(), ranking);
    }

    /// The ranking of a query, where the run has one.
    #[must_use]
    pub fn ranking(&self, query: &str) -> Option<&Ranking> {
        self.queries.get(query)
    }

    /// Fuses the rankings of each query; a run that lacks a query counts as one that found
    /// nothing. Scores are rounded to `f32`, and equal ones fall by id as in any [`Ranking`].
    ///
    /// ```
    /// use sparsely::{Fusion, evaluate::{Ranking, Run}};
    /// let (mut words, mut learned) = (Run::default(), Run::default());
    /// words.insert("q", Ranking::new([("a".to_owned(), 2.0), ("b".to_owned(), 1.0)])?);
    /// learned.insert("q", Ranking::new([("b".to_owned(), 9.0)])?);
    /// let fused = Run::fused(&Fusion::reciprocal_rank(), &[&words, &learned])?;
    /// assert_eq!(fused.ranking("q").unwrap().ranked()[0].document, "b");
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Fusion::fuse`].
    pub fn fused(fusion: &Fusion, runs: &[&Run]) -> Result<Run> {
        Run::fused_by(|_| Ok(fusion.clone()), runs)
    }

    /// As [`Run::fused`], with a fusion for each query, as `fusion` says by its id.
    ///
    /// ```
    /// use sparsely::{Fusion, Normalization, evaluate::{Ranking, Run}};
    /// let (mut words, mut learned) = (Run::default(), Run::default());
    /// for query in ["known", "foreign"] {
    ///     words.insert(query, Ranking::new([("a".to_owned(), 2.0)])?);
    ///     learned.insert(query, Ranking::new([("b".to_owned(), 9.0)])?);
    /// }
    /// let by_query = |query: &str| {
    ///     let trust = if query == "known" { 0.9 } else { 0.1 };
    ///     Fusion::linear(Normalization::Highest).weights([1.0 - trust, trust])
    /// };
    /// let fused = Run::fused_by(by_query, &[&words, &learned])?;
    /// assert_eq!(fused.ranking("known").unwrap().ranked()[0].document, "b");
    /// assert_eq!(fused.ranking("foreign").unwrap().ranked()[0].document, "a");
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Fusion::fuse`], and those of `fusion`.
    pub fn fused_by(fusion: impl Fn(&str) -> Result<Fusion>, runs: &[&Run]) -> Result<Run> {
        let queries: BTreeSet<&String> = runs.iter().flat_map(|run| run.queries.keys()).collect();
        let mut fused = Run::default();
        for query in queries {
            let lists: Vec<Vec<(&str, f32)>> = runs
                .iter()
                .map(|run| {
                    let ranked = run.ranking(query).map_or(&[][..], Ranking::ranked);
                    let pairs = ranked.iter();
                    pairs
                        .map(|one| (one.document.as_str(), one.score))
                        .collect()
                })
                .collect();
            let ranked = fusion(query)?.fuse(&lists)?.into_iter().map(|found| {
                #[expect(clippy::cast_possible_truncation, reason = "rounding is meant")]
                let score = found.score as f32;
                (found.item.to_owned(), score)
            });
            fused.insert(query, Ranking::new(ranked)?);
        }
        Ok(fused)
    }

    /// The queries with their rankings, by rising id.
    pub fn queries(&self) -> impl ExactSizeIterator<Item = (&str, &Ranking)> {
        self.queries
            .iter()
            .map(|(query, ranking)| (query.as_str(), ranking))
    }

    /// Reads a TREC run file: lines of query, `Q0`, document, rank, score and a name of the run,
    /// between white space. Ranks are not looked at: scores tell. `file` names it in errors.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with file and line for a line of
    /// another shape; with file and query for what [`Ranking::new`] refuses; and the reader's own.
    pub fn read_trec(from: impl BufRead, file: &str) -> Result<Run> {
        let mut scored: BTreeMap<String, BTreeMap<String, f32>> = BTreeMap::new();
        let mut lines = Lines::new(from, file);
        while let Some(line) = lines.next_line()? {
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields[..] {
                [query, _, document, _, score, _] => {
                    let number: f32 = score
                        .parse()
                        .ok()
                        .filter(|number: &f32| number.is_finite())
                        .ok_or_else(|| lines.refuse("a finite score", format!("{score:?}")))?;
                    let ranking = scored.entry(query.to_owned()).or_default();
                    if ranking.insert(document.to_owned(), number).is_some() {
                        let found = format!("{document:?} of query {query:?} again");
                        return Err(lines.refuse("each document once for a query", found));
                    }
                }
                [] => {}
                _ => {
                    let found = format!("{} columns", fields.len());
                    return Err(lines.refuse("query, Q0, document, rank, score and name", found));
                }
            }
        }
        let mut run = Run::default();
        for (query, scored) in scored {
            run.queries.insert(query, Ranking::new(scored)?);
        }
        Ok(run)
    }

    /// Writes a TREC run file, ranks from 1, under `name`. `file` names it in errors.
    ///
    /// ```
    /// use sparsely::evaluate::{Ranking, Run};
    /// let mut run = Run::default();
    /// run.insert("q1", Ranking::new([("d1".to_owned(), 0.5), ("d2".to_owned(), 2.0)])?);
    /// let mut bytes = Vec::new();
    /// run.write_trec(&mut bytes, "mine", "run.txt")?;
    /// assert_eq!(bytes, b"q1 Q0 d2 1 2 mine\nq1 Q0 d1 2 0.5 mine\n");
    /// # Ok::<(), sparsely::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name or an id that is
    /// empty or has white space in it; and the writer's own.
    pub fn write_trec(&self, mut to: impl Write, name: &str, file: &str) -> Result<()> {
        let name = trec_id(name)?;
        for (query, ranking) in &self.queries {
            let query = trec_id(query)?;
            for (rank, Ranked { document, score }) in (1_usize..).zip(&ranking.0) {
                let document = trec_id(document)?;
                // The shortest form that reads back as the same number.
                writeln!(to, "{query} Q0 {document} {rank} {score} {name}")
                    .map_err(|error| failed_write(file, error))?;
            }
        }
        to.flush().map_err(|error| failed_write(file, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(scored: &[(&str, f32)]) -> String {
        let scored = scored.iter().map(|(id, score)| ((*id).to_owned(), *score));
        let ranking = Ranking::new(scored).unwrap();
        ranking
            .ranked()
            .iter()
            .map(|ranked| ranked.document.as_str())
            .collect()
    }

    #[test]
    fn equal_scores_fall_by_id() {
        assert_eq!(order(&[("a", 1.0), ("b", 2.0), ("c", 1.0)]), "bca");
        assert_eq!(
            order(&[("9", 1.0), ("10", 1.0)]),
            "910",
            "as strings, not numbers"
        );
        assert_eq!(order(&[("b", 0.0), ("c", -0.0), ("a", -0.0)]), "cba");
        assert_eq!(order(&[("z", -1.0), ("é", -1.0)]), "éz");
    }

    #[test]
    fn bad_rankings_are_refused() {
        let ranking = |list: &[(&str, f32)]| {
            Ranking::new(list.iter().map(|(id, score)| ((*id).to_owned(), *score)))
        };
        assert!(ranking(&[("a", f32::NAN)]).is_err());
        assert!(ranking(&[("a", f32::INFINITY)]).is_err());
        assert!(ranking(&[("a", 1.0), ("b", 1.0), ("a", 2.0)]).is_err());
        assert!(ranking(&[]).unwrap().ranked().is_empty());
    }

    #[test]
    fn files_come_back_as_they_were() {
        let mut run = Run::default();
        for (query, scores) in [("q", [0.1, 1e-30]), ("é", [3e38, -7.25])] {
            let scored = ["a", "b"].map(str::to_owned).into_iter().zip(scores);
            run.insert(query, Ranking::new(scored).unwrap());
        }
        let mut bytes = Vec::new();
        run.write_trec(&mut bytes, "name", "r").unwrap();
        assert_eq!(Run::read_trec(&bytes[..], "r").unwrap(), run);
        assert_eq!(run.queries().len(), 2);
        assert!(run.write_trec(Vec::new(), "two words", "r").is_err());
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, place) in [
            ("q Q0 d 1 1.0 t\nq Q0 d 2\n", "r:2"),
            ("q Q0 d 1 nan t\n", "r:1"),
            ("q Q0 d 1 x t\n", "r:1"),
            ("q Q0 d 1 1 t\nq Q0 d 2 0 t\n", "r:2"),
        ] {
            let error = Run::read_trec(text.as_bytes(), "r").unwrap_err();
            assert!(error.to_string().starts_with(place), "{error}");
        }
    }
}
