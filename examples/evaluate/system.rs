//! One encoder with the index it made of a collection.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sparsely::{
    Config, Encoder, Error, Explanation, Filter, Grouping, Index, Query, Result, Scratch, Searcher,
    Snapshot,
    evaluate::{Collection, Judgments, Ranking, Run, Text},
};

use crate::{arguments::Arguments, encoders::Choice, filling::Filling};

/// The field that says which document a passage belongs to.
pub(crate) const DOCUMENT: &str = "document";

/// An encoder and a collection that it has indexed.
pub(crate) struct System {
    encoder: Box<dyn Encoder>,
    snapshot: Snapshot,
    pub(crate) index_seconds: f64,
    /// Documents or passages that an earlier run had encoded.
    pub(crate) reused: u64,
    /// The size of the index, stored texts included.
    pub(crate) bytes: u64,
    /// The ids of the documents.
    pub(crate) ids: HashSet<String>,
    /// Where passages are indexed.
    grouping: Option<Grouping>,
    /// Removes the index in the end, where it is a temporary one.
    _temporary: Option<tempfile::TempDir>,
}

impl System {
    /// Indexes `collection` in the folder `place`, or in a temporary one. Of an index that is there
    /// already, of the same encoder, documents whose texts are the same are not encoded again.
    pub(crate) fn build(
        collection: &Collection,
        choice: &Choice,
        arguments: &Arguments,
        place: Option<&Path>,
    ) -> Result<System> {
        let encoder = choice.open()?;
        let (place, temporary): (PathBuf, _) = match place {
            Some(place) => (place.to_owned(), None),
            None => {
                let made = tempfile::tempdir();
                let made = made.map_err(|error| Error::io("create", "index", error))?;
                (made.path().join("index"), Some(made))
            }
        };
        let begun = Instant::now();
        let index = Index::open_or_create(&place, Config::for_encoder(&*encoder))?;
        let mut filling = Filling::new(&index, &*encoder, temporary.is_none())?;
        let mut ids = HashSet::new();
        for document in collection.documents()? {
            let Text { id, text } = document?;
            match &arguments.passages {
                None => filling.add(id.clone(), text, None)?,
                Some(cut) => {
                    for (at, passage) in cut.cut(&text).into_iter().enumerate() {
                        filling.add(format!("{id}#{at}"), passage.to_owned(), Some(&id))?;
                    }
                }
            }
            if !ids.insert(id.clone()) {
                eprintln!("evaluate: document {id:?} stands twice; the later one counts");
            }
        }
        let reused = filling.finish()?;
        let snapshot = index.snapshot()?;
        Ok(System {
            encoder,
            snapshot,
            index_seconds: begun.elapsed().as_secs_f64(),
            reused,
            bytes: size(&place)?,
            ids,
            grouping: arguments
                .passages
                .map(|_| Grouping::by(DOCUMENT).score(arguments.combine)),
            _temporary: temporary,
        })
    }

    pub(crate) fn fingerprint(&self) -> String {
        self.encoder.fingerprint().to_string()
    }

    pub(crate) fn document_count(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Runs the judged queries; returns what they found and how long each took, encoding included.
    pub(crate) fn run(
        &self,
        collection: &Collection,
        judgments: &Judgments,
        top: usize,
    ) -> Result<(Run, Vec<Duration>)> {
        let mut run = Run::default();
        let mut times = Vec::new();
        let mut scratch = Scratch::new();
        for query in collection.queries()? {
            let Text { id, text } = query?;
            if judgments.grades(&id).is_none() {
                continue;
            }
            if run.ranking(&id).is_some() {
                eprintln!("evaluate: query {id:?} stands twice; the first one counts");
                continue;
            }
            let begun = Instant::now();
            let vector = self.encoder.encode_query_for(&text, &self.snapshot)?;
            let query = Query::new(vector).top(top);
            let scored = self.search(&query, &mut scratch)?;
            times.push(begun.elapsed());
            run.insert(&id, Ranking::new(scored)?);
        }
        Ok((run, times))
    }

    fn search(&self, query: &Query, scratch: &mut Scratch) -> Result<Vec<(String, f32)>> {
        let Some(grouping) = &self.grouping else {
            let hits = self.snapshot.search_with(query, scratch)?;
            let scored = hits.iter().map(|hit| (hit.key().to_string(), hit.score()));
            return Ok(scored.collect());
        };
        let groups = grouping.search_with(&self.snapshot, query, scratch)?;
        let scored = groups.as_slice().iter();
        let scored = scored.map(|group| (group.name.to_string(), group.score as f32));
        Ok(scored.collect())
    }

    /// Why a document has its score for a query, with readable terms.
    pub(crate) fn explain(&self, query: &str, document: &str) -> Result<Explanation> {
        let vector = self.encoder.encode_query_for(query, &self.snapshot)?;
        let query = Query::new(vector);
        let best = match &self.grouping {
            None => None,
            // Of its passages, the best.
            Some(_) => {
                let inside = query.clone().filter(Filter::equals(DOCUMENT, document));
                let best = self.snapshot.search(&inside.top(1))?;
                best.into_iter().next().map(|hit| hit.into_key())
            }
        };
        let key = best.unwrap_or_else(|| document.into());
        let explanation = self.snapshot.explain(&query, &key)?;
        Ok(explanation.labeled(|term| self.encoder.term(term)))
    }
}

fn size(dir: &Path) -> Result<u64> {
    let failed = |error| Error::io("list", dir, error);
    let mut bytes = 0;
    for entry in dir.read_dir().map_err(failed)? {
        let meta = entry.and_then(|entry| entry.metadata()).map_err(failed)?;
        bytes += if meta.is_file() { meta.len() } else { 0 };
    }
    Ok(bytes)
}
