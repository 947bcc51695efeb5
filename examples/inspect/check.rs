//! Whether an index is whole, and what to do where it is not.

use std::path::Path;

use serde_json::{Value, json};
use sparsely::{Config, Damage, DocKey, Index, Repair, Verify};

use crate::{Answer, count, list, told};

pub(crate) fn verify(path: &Path, is_quick: bool) -> Result<Answer, String> {
    must_be_index(path)?;
    let level = if is_quick {
        Verify::Quick
    } else {
        Verify::Full
    };
    let found = Index::verify_at(path, level).map_err(|error| told(path, &error))?;
    let level = if is_quick { "quick" } else { "full" };
    let looked = format!(
        "{}, {} bytes",
        count(found.files() as u64, "file"),
        found.bytes()
    );
    let text = match found.damage() {
        [] => format!("{}: whole ({level} check of {looked})", path.display()),
        damage => format!(
            "{}: damaged ({level} check of {looked}){}\n`inspect repair {}` says what a repair would drop",
            path.display(),
            list(damage),
            path.display()
        ),
    };
    Ok(Answer {
        json: json!({
            "whole": found.is_clean(),
            "level": level,
            "files": found.files(),
            "bytes": found.bytes(),
            "damage": damages(found.damage()),
        }),
        text,
        is_well: found.is_clean(),
    })
}

pub(crate) fn repair(path: &Path, writes: bool) -> Result<Answer, String> {
    must_be_index(path)?;
    let done = match writes {
        true => Index::repair_at(path, &Config::new()),
        false => Index::preview_repair_at(path),
    };
    let repair = done.map_err(|error| told(path, &error))?;
    let json = json!({
        "needed": !repair.is_unneeded(),
        "written": writes && !repair.is_unneeded(),
        "commit": repair.commit().get(),
        "given_up_commits": repair.given_up_commits().iter().map(|c| c.get()).collect::<Vec<_>>(),
        "dropped_segments": repair.dropped_segments().iter().map(|s| s.get()).collect::<Vec<_>>(),
        "removed_commits": repair.removed_commits().iter().map(|c| c.get()).collect::<Vec<_>>(),
        "revived_segments": repair.revived_segments().iter().map(|s| s.get()).collect::<Vec<_>>(),
        "lost_keys": keys(repair.lost_keys()),
        "lost_unnamed": repair.lost_unnamed(),
    });
    Ok(Answer {
        text: told_of(path, &repair, writes),
        json,
        // Something was done, or nothing had to be; without --write there is still damage.
        is_well: repair.is_unneeded() || (writes && lost(&repair) == 0),
    })
}

fn lost(repair: &Repair) -> u64 {
    repair.lost_keys().len() as u64 + repair.lost_unnamed()
}

fn told_of(path: &Path, repair: &Repair, writes: bool) -> String {
    let path = path.display();
    if repair.is_unneeded() {
        return format!("{path}: whole, nothing to repair");
    }
    let mut text = match writes {
        true => format!("{path}: repaired, commit {} stands", repair.commit()),
        false => format!("{path}: damaged; nothing was written. A repair would"),
    };
    let verb = |done: &'static str, would: &'static str| if writes { done } else { would };
    if !repair.given_up_commits().is_empty() {
        text += &format!(
            "\n{} commits whose manifests cannot be read:{}",
            verb("gave up", "give up"),
            list(repair.given_up_commits())
        );
    }
    if !repair.dropped_segments().is_empty() {
        text += &format!(
            "\n{} segments:{}",
            verb("dropped", "drop"),
            list(repair.dropped_segments())
        );
    }
    if !repair.revived_segments().is_empty() {
        text += &format!(
            "\n{} what was deleted from segments, their records of deletes being lost:{}",
            verb("brought back", "bring back"),
            list(repair.revived_segments())
        );
    }
    if !repair.removed_commits().is_empty() {
        text += &format!(
            "\n{} the damaged commit before, which nobody can go back to:{}",
            verb("removed", "remove"),
            list(repair.removed_commits())
        );
    }
    text += &format!(
        "\n{} {}",
        verb("lost", "lose"),
        count(lost(repair), "document")
    );
    if !repair.lost_keys().is_empty() {
        text += &format!(":{}", list(repair.lost_keys()));
    }
    if repair.lost_unnamed() > 0 {
        text += &format!(
            "\n{} of them have keys that cannot be read",
            repair.lost_unnamed()
        );
    }
    if !writes {
        text += &format!(
            "\n`inspect export {path} saved.jsonl` first saves what can still be read of them; \
             `inspect repair {path} --write` repairs"
        );
    }
    text
}

/// An empty directory has no damage, but it is not what somebody meant to check.
fn must_be_index(path: &Path) -> Result<(), String> {
    let names = std::fs::read_dir(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("no index at {}: check the path", path.display()),
        _ => format!("{}: cannot read: {error}", path.display()),
    })?;
    let is_manifest = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("manifest-");
    match names.flatten().any(|entry| is_manifest(&entry.file_name())) {
        true => Ok(()),
        false => Err(format!("no index at {}: no manifest there", path.display())),
    }
}

pub(crate) fn damages(damage: &[Damage]) -> Vec<Value> {
    let damage = damage.iter().map(|damage| {
        json!({
            "file": damage.file,
            "section": damage.section,
            "offset": damage.offset,
            "message": damage.message,
        })
    });
    damage.collect()
}

/// Keys as text, or as hexadecimal digits where they are none.
pub(crate) fn keys(keys: &[DocKey]) -> Vec<Value> {
    let key = |key: &DocKey| match std::str::from_utf8(key.as_bytes()) {
        Ok(text) => json!(text),
        Err(_) => {
            let hex: String = key.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
            json!({ "hex": hex })
        }
    };
    keys.iter().map(key).collect()
}
