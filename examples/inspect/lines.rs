//! To lines of JSON and back.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use serde_json::json;
use sparsely::{Config, Export, Import, Index, Progress};

use crate::{
    Answer,
    check::{damages, keys},
    count, is_standard, list, told,
};

pub(crate) fn export(path: &Path, lines: &Path) -> Result<Answer, String> {
    let (export, place) = match is_standard(lines) {
        true => {
            let out = io::stdout().lock();
            (write(path, out)?, "the standard output".to_owned())
        }
        false => {
            let place = lines.display().to_string();
            // Never over a file that may be the last good copy.
            let file = File::create_new(lines)
                .map_err(|error| format!("{place}: cannot create: {error}"))?;
            let export = write(path, &file).inspect_err(|_| {
                let _ = std::fs::remove_file(lines);
            })?;
            file.sync_all()
                .map_err(|error| format!("{place}: cannot sync: {error}"))?;
            (export, place)
        }
    };
    let lost = export.lost_keys().len() as u64 + export.lost_unnamed();
    let mut text = format!(
        "wrote {} of commit {} to {place}",
        count(export.documents(), "document"),
        export.commit()
    );
    if !export.is_complete() {
        text += &format!(
            "\ndamaged:{}\n{} cannot be read",
            list(export.damage()),
            count(lost, "document")
        );
    }
    if export.remains() > 0 {
        text += &format!(
            ", {} of which left what is stored beside their vectors: they have lines without one",
            export.remains()
        );
    }
    if !export.lost_keys().is_empty() {
        text += &format!(":{}", list(export.lost_keys()));
    }
    Ok(Answer {
        json: json!({
            "commit": export.commit().get(),
            "documents": export.documents(),
            "complete": export.is_complete(),
            "lost_keys": keys(export.lost_keys()),
            "lost_unnamed": export.lost_unnamed(),
            "remains": export.remains(),
            "given_up_commits": export.given_up_commits().iter().map(|c| c.get()).collect::<Vec<_>>(),
            "revived_segments": export.revived_segments().iter().map(|s| s.get()).collect::<Vec<_>>(),
            "damage": damages(export.damage()),
        }),
        text,
        is_well: export.is_complete(),
    })
}

fn write(path: &Path, out: impl Write) -> Result<Export, String> {
    Index::export_at(path, out, &mut Progress::none()).map_err(|error| told(path, &error))
}

pub(crate) fn import(lines: &Path, path: &Path) -> Result<Answer, String> {
    let (from, name): (Box<dyn Read>, String) = match is_standard(lines) {
        true => (Box::new(io::stdin().lock()), "standard input".to_owned()),
        false => {
            let name = lines.display().to_string();
            let file =
                File::open(lines).map_err(|error| format!("{name}: cannot open: {error}"))?;
            (Box::new(file), name)
        }
    };
    let told = |error: sparsely::Error| told(path, &error);
    let import = Import::open(name, BufReader::new(from)).map_err(told)?;
    let config = import.configure(Config::new());
    let announced = import.documents();
    let index = Index::open_or_create(path, config).map_err(told)?;
    let mut writer = index.writer().map_err(told)?;
    let documents = import
        .read_into(&mut writer, &mut Progress::none())
        .map_err(told)?;
    let commit = writer.commit().map_err(told)?;
    let lost = announced.saturating_sub(documents);
    let mut text = format!(
        "read {} into {}, commit {commit}",
        count(documents, "document"),
        path.display()
    );
    if lost > 0 {
        text += &format!(
            "\n{} of the exported commit had no vector to read",
            count(lost, "document")
        );
    }
    Ok(Answer {
        json: json!({ "documents": documents, "lost": lost, "commit": commit.get() }),
        text,
        is_well: true,
    })
}
