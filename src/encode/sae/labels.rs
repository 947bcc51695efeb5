//! Names of latents, from tables and from exports of explanation sites.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

/// Bytes of a file of labels: a million of a sentence each are a tenth.
const FILE_MAX: u64 = 1 << 30;

/// Bytes of one label.
const LABEL_MAX: usize = 4096;

/// Names of latents. A latent with several has the first.
///
/// ```
/// use sparsely::encode::sae::Labels;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("labels.tsv");
/// std::fs::write(&path, "# latents 16\n3\tfile locks\n7\tparsing of numbers\n")?;
/// let labels = Labels::read(&path, 16)?;
/// assert_eq!(labels.of(7), Some("parsing of numbers"));
/// assert!(Labels::read(&path, 8).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Where the label of each latent ends in `text`; it begins where the one before ends.
    ends: Vec<u32>,
    text: String,
}

/// An entry of a Neuronpedia export; there are more keys.
#[derive(Deserialize)]
struct Explanation {
    index: Index,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Index {
    Number(u64),
    Text(String),
}

impl Labels {
    /// Reads the labels of an autoencoder with `latents` latents: a `.tsv` of latent, tab and label
    /// a line, where lines after `#` are comments and `# latents N` says for how many it is; a
    /// `.jsonl` of objects with `index` and `description`; or a `.json` array of those, or object
    /// from latent to label.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when the file is damaged or for other latents,
    /// and [`ErrorKind::Limit`](crate::ErrorKind::Limit) when it is larger than 1 GiB.
    pub fn read(path: impl AsRef<Path>, latents: usize) -> Result<Labels> {
        let path = path.as_ref();
        let bytes = read(path)?;
        let refuse = |why: String| Error::model(path.display().to_string(), why);
        let text =
            std::str::from_utf8(&bytes).map_err(|why| refuse(format!("it is no UTF-8: {why}")))?;
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or("");
        let mut names = Names {
            names: vec![None; latents],
        };
        match end {
            "json" => names.json(text),
            "jsonl" => names.json_lines(text),
            _ => names.table(text),
        }
        .map_err(refuse)?;
        names.finish().map_err(refuse)
    }

    /// The label of `latent`.
    #[must_use]
    pub fn of(&self, latent: u32) -> Option<&str> {
        let at = usize::try_from(latent).ok()?;
        let place = |end: u32| usize::try_from(end).ok();
        let end = place(*self.ends.get(at)?)?;
        let start = match at.checked_sub(1) {
            None => 0,
            Some(before) => place(*self.ends.get(before)?)?,
        };
        self.text.get(start..end).filter(|label| !label.is_empty())
    }
}

struct Names {
    names: Vec<Option<String>>,
}

impl Names {
    fn put(&mut self, latent: u64, label: &str) -> Result<(), String> {
        let count = self.names.len();
        let place = usize::try_from(latent)
            .ok()
            .and_then(|at| self.names.get_mut(at))
            .ok_or_else(|| {
                format!("it names latent {latent}, but the autoencoder has {count}: it is for other latents")
            })?;
        if label.len() > LABEL_MAX {
            return Err(format!(
                "the label of latent {latent} is longer than {LABEL_MAX} bytes"
            ));
        }
        if place.is_none() {
            *place = Some(label.trim().to_owned());
        }
        Ok(())
    }

    fn table(&mut self, text: &str) -> Result<(), String> {
        for (line, number) in text.lines().zip(1..) {
            if let Some(comment) = line.strip_prefix('#') {
                if let Some(count) = comment.trim().strip_prefix("latents ")
                    && count.trim() != self.names.len().to_string()
                {
                    return Err(format!(
                        "it is for {count} latents, the autoencoder has {}",
                        self.names.len()
                    ));
                }
                continue;
            }
            if line.trim().is_empty() {
                continue;
            }
            let pair = line
                .split_once('\t')
                .and_then(|(latent, label)| Some((latent.trim().parse::<u64>().ok()?, label)));
            let (latent, label) = pair
                .ok_or_else(|| format!("line {number}: expected a latent, a tab and its label"))?;
            self.put(latent, label)?;
        }
        Ok(())
    }

    fn json_lines(&mut self, text: &str) -> Result<(), String> {
        for (line, number) in text.lines().zip(1..) {
            if !line.trim().is_empty() {
                let entry = serde_json::from_str(line)
                    .map_err(|why| format!("line {number}: not as expected: {why}"))?;
                self.explanation(entry)?;
            }
        }
        Ok(())
    }

    fn json(&mut self, text: &str) -> Result<(), String> {
        let refuse = |why: serde_json::Error| format!("not as expected: {why}");
        if text.trim_start().starts_with('{') {
            let labels: std::collections::BTreeMap<String, String> =
                serde_json::from_str(text).map_err(refuse)?;
            return labels
                .iter()
                .try_for_each(|(latent, label)| self.put(number(latent)?, label));
        }
        let entries: Vec<Explanation> = serde_json::from_str(text).map_err(refuse)?;
        entries
            .into_iter()
            .try_for_each(|entry| self.explanation(entry))
    }

    fn explanation(&mut self, entry: Explanation) -> Result<(), String> {
        let latent = match entry.index {
            Index::Number(latent) => latent,
            Index::Text(latent) => number(&latent)?,
        };
        match entry.description {
            Some(label) => self.put(latent, &label),
            None => Ok(()),
        }
    }

    fn finish(self) -> Result<Labels, String> {
        let mut labels = Labels::default();
        for name in self.names {
            labels.text.push_str(name.as_deref().unwrap_or(""));
            let end = u32::try_from(labels.text.len());
            labels
                .ends
                .push(end.map_err(|_| "its labels are more than 4 GiB".to_owned())?);
        }
        Ok(labels)
    }
}

fn number(latent: &str) -> Result<u64, String> {
    latent
        .trim()
        .parse()
        .map_err(|_| format!("{latent:?} is no number of a latent"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(|source| Error::io("open", path, source))?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io("read", path, source))?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > FILE_MAX {
        let what = format!("bytes of {}", path.display());
        return Err(Error::limit(what, FILE_MAX, length));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(name: &str, text: &str) -> Result<Labels> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Labels::read(&path, 10)
    }

    #[test]
    fn every_form_is_read() {
        for (name, text) in [
            ("a.tsv", "# latents 10\n\n0\tzero\n9\tnine \n9\tother\n"),
            (
                "a.jsonl",
                "{\"index\":\"0\",\"description\":\"zero\",\"modelId\":\"m\"}\n{\"index\":9,\"description\":\"nine\"}\n",
            ),
            (
                "a.json",
                "[{\"index\":\"0\",\"description\":\"zero\"},{\"index\":\"9\",\"description\":\"nine\"},{\"index\":\"3\",\"description\":null}]",
            ),
            ("a.json", "{\"0\":\"zero\",\"9\":\"nine\"}"),
        ] {
            let labels = labels(name, text).unwrap();
            let all: Vec<_> = [0, 3, 9, 10].map(|latent| labels.of(latent)).into();
            assert_eq!(all, [Some("zero"), None, Some("nine"), None], "{name}");
        }
    }

    #[test]
    fn other_latents_and_damage_are_refused() {
        for (name, text, word) in [
            ("a.tsv", "10\tten\n", "other latents"),
            ("a.tsv", "# latents 16384\n1\tone\n", "16384"),
            ("a.tsv", "1 one\n", "line 1"),
            ("a.tsv", "18446744073709551616\tone\n", "line 1"),
            (
                "a.jsonl",
                "{\"index\":\"10\",\"description\":\"ten\"}",
                "other latents",
            ),
            (
                "a.jsonl",
                "{\"index\":\"x\",\"description\":\"ten\"}",
                "no number",
            ),
            ("a.jsonl", "{\"index\":1}\n{", "line 2"),
            ("a.json", "[1]", "not as expected"),
            ("a.json", "{\"11\":\"\"}", "other latents"),
        ] {
            let error = labels(name, text).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        let long = format!("1\t{}\n", "x".repeat(LABEL_MAX + 1));
        assert!(labels("a.tsv", &long).is_err());
    }
}
