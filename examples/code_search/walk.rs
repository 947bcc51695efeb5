//! Which files of a tree are indexed, and why the others are not.
//!
//! Rules of `.gitignore`, `.ignore` and git's own excludes hold, inside a repository or not. On top
//! of them, what nobody searches is left out and counted by reason, because an index that silently
//! lacks a directory (or silently holds a thousand copies of one) is the commonest complaint about
//! tools of this kind. Symbolic links are never followed, so there are no loops.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io::Read,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use crate::hash::Hash;

/// Larger files are not source that somebody wrote.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 20;

/// A NUL this early makes a file binary.
const BINARY_PREFIX: usize = 8 * 1024;

/// A longer line makes a file minified or generated.
const MAX_LINE_BYTES: usize = 10_000;

/// Why a file or directory is not in the index. The names are part of the JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skip {
    Ignored,
    Hidden,
    Binary,
    TooLarge,
    Minified,
    LockFile,
    Secret,
    Link,
    /// `node_modules`, virtual environments, directories tagged as caches.
    Dependencies,
    /// Another working copy of a repository, as agents make them by the dozen.
    Worktree,
    AnIndex,
    /// Pipes, sockets, devices.
    Special,
    Unreadable,
    NotUnicode,
}

impl Skip {
    const ALL: [Skip; 14] = [
        Skip::Ignored,
        Skip::Hidden,
        Skip::Binary,
        Skip::TooLarge,
        Skip::Minified,
        Skip::LockFile,
        Skip::Secret,
        Skip::Link,
        Skip::Dependencies,
        Skip::Worktree,
        Skip::AnIndex,
        Skip::Special,
        Skip::Unreadable,
        Skip::NotUnicode,
    ];

    /// As stored and as a JSON key.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Skip::Ignored => "ignored",
            Skip::Hidden => "hidden",
            Skip::Binary => "binary",
            Skip::TooLarge => "too_large",
            Skip::Minified => "minified",
            Skip::LockFile => "lock_file",
            Skip::Secret => "secret",
            Skip::Link => "link",
            Skip::Dependencies => "dependencies",
            Skip::Worktree => "worktree",
            Skip::AnIndex => "index",
            Skip::Special => "special",
            Skip::Unreadable => "unreadable",
            Skip::NotUnicode => "path_not_unicode",
        }
    }

    pub(crate) fn from_key(key: &str) -> Option<Skip> {
        Skip::ALL.into_iter().find(|skip| skip.key() == key)
    }

    /// For people.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Skip::Ignored => "ignored by .gitignore and the like",
            Skip::Hidden => "hidden",
            Skip::Binary => "binary",
            Skip::TooLarge => "over 1 MiB",
            Skip::Minified => "minified or generated (a line over 10,000 bytes)",
            Skip::LockFile => "lock files",
            Skip::Secret => "keys and secrets",
            Skip::Link => "symbolic links",
            Skip::Dependencies => "dependencies and caches",
            Skip::Worktree => "other working copies",
            Skip::AnIndex => "search indexes",
            Skip::Special => "pipes and devices",
            Skip::Unreadable => "not readable",
            Skip::NotUnicode => "path not Unicode",
        }
    }
}

/// How many entries were skipped, by reason. A skipped directory counts once.
pub(crate) type SkipCounts = BTreeMap<Skip, u64>;

/// A file that may be indexed; its content has not been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Relative to the root, with forward slashes.
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Differs whenever the file may have changed: over times of modification and change, inode and
    /// device, which differ between copies of a file as well. 0 when nothing can be said, as for a
    /// file that was modified this very moment.
    pub(crate) stamp: u64,
}

/// Everything under a root that may be indexed, in the order of paths.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) skipped: SkipCounts,
}

/// Walks `root`; `index_dir` is left out wherever it lies.
pub(crate) fn walk(root: &Path, index_dir: &Path) -> Walk {
    let index_dir = fs::canonicalize(index_dir).ok();
    let refused = Arc::new(Mutex::new(SkipCounts::new()));
    let counts = refused.clone();
    let mut builder = ignore::WalkBuilder::new(root);
    builder.require_git(false).follow_links(false);
    builder.filter_entry(move |entry| {
        let is_dir = entry.file_type().is_some_and(|kind| kind.is_dir());
        if !is_dir || entry.depth() == 0 {
            return true;
        }
        let reason = refuse_directory(entry.path(), index_dir.as_deref());
        if let (Some(reason), Ok(mut counts)) = (reason, counts.lock()) {
            *counts.entry(reason).or_default() += 1;
        }
        reason.is_none()
    });

    let now = SystemTime::now();
    let mut walk = Walk::default();
    let (mut there, mut seen) = (Tally::default(), Tally::default());
    for entry in builder.build() {
        let Ok(entry) = entry else {
            walk.skip(Skip::Unreadable);
            continue;
        };
        if entry.depth() > 0 {
            seen.add(entry.file_name());
        }
        match entry.file_type() {
            Some(kind) if kind.is_dir() => there.add_directory(entry.path()),
            _ => match candidate(root, &entry, now) {
                Ok(candidate) => walk.candidates.push(candidate),
                Err(reason) => walk.skip(reason),
            },
        }
    }
    // Entries that the rules kept out were never shown; they are what is there and was not seen.
    let mut skipped = refused
        .lock()
        .map_or_else(|_| SkipCounts::new(), |counts| counts.clone());
    let refused: u64 = skipped.values().sum();
    let ignored = there.plain.saturating_sub(seen.plain + refused);
    let hidden = there.hidden.saturating_sub(seen.hidden);
    for (reason, count) in [(Skip::Ignored, ignored), (Skip::Hidden, hidden)] {
        if count > 0 {
            skipped.insert(reason, count);
        }
    }
    for (reason, count) in skipped {
        *walk.skipped.entry(reason).or_default() += count;
    }
    walk.candidates.sort_by(|a, b| a.path.cmp(&b.path));
    walk
}

impl Walk {
    fn skip(&mut self, reason: Skip) {
        *self.skipped.entry(reason).or_default() += 1;
    }
}

/// Whether a file is left out for what it holds.
pub(crate) fn refuse_content(bytes: &[u8]) -> Option<Skip> {
    let start = &bytes[..bytes.len().min(BINARY_PREFIX)];
    if start.contains(&0) {
        return Some(Skip::Binary);
    }
    let head = String::from_utf8_lossy(&start[..start.len().min(200)]);
    if head.starts_with("-----BEGIN ") && head.contains("PRIVATE KEY-----") {
        return Some(Skip::Secret);
    }
    let longest = bytes.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    longest
        .filter(|len| *len > MAX_LINE_BYTES)
        .map(|_| Skip::Minified)
}

/// Reads a candidate; a file that grew over the limit since the walk is refused.
pub(crate) fn read(root: &Path, candidate: &Candidate) -> Result<Vec<u8>, Skip> {
    let file = File::open(root.join(&candidate.path)).map_err(|_| Skip::Unreadable)?;
    let mut bytes = Vec::with_capacity(usize::try_from(candidate.size).unwrap_or(0) + 1);
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|_| Skip::Unreadable)?;
    match u64::try_from(bytes.len()) {
        Ok(len) if len <= MAX_FILE_BYTES => Ok(bytes),
        _ => Err(Skip::TooLarge),
    }
}

/// Directory entries, hidden ones apart.
#[derive(Default)]
struct Tally {
    plain: u64,
    hidden: u64,
}

impl Tally {
    fn add(&mut self, name: &std::ffi::OsStr) {
        match name.as_encoded_bytes().starts_with(b".") {
            true => self.hidden += 1,
            false => self.plain += 1,
        }
    }

    fn add_directory(&mut self, path: &Path) {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            self.add(&entry.file_name());
        }
    }
}

fn candidate(root: &Path, entry: &ignore::DirEntry, now: SystemTime) -> Result<Candidate, Skip> {
    let kind = entry.file_type().ok_or(Skip::Special)?;
    if kind.is_symlink() {
        return Err(Skip::Link);
    }
    if !kind.is_file() {
        return Err(Skip::Special);
    }
    let path = relative(root, entry.path()).ok_or(Skip::NotUnicode)?;
    if let Some(reason) = refuse_name(&path) {
        return Err(reason);
    }
    let metadata = entry.metadata().map_err(|_| Skip::Unreadable)?;
    if metadata.len() > MAX_FILE_BYTES {
        return Err(Skip::TooLarge);
    }
    Ok(Candidate {
        path,
        size: metadata.len(),
        stamp: stamp(root, &metadata, now),
    })
}

/// With forward slashes on every platform, so that an index can move between them.
fn relative(root: &Path, path: &Path) -> Option<String> {
    let below = path.strip_prefix(root).ok()?;
    let parts: Option<Vec<&str>> = below.iter().map(|part| part.to_str()).collect();
    // A line break in a name would break every list of results.
    parts
        .map(|parts| parts.join("/"))
        .filter(|path| !path.is_empty() && !path.contains(char::is_control))
}

fn refuse_directory(path: &Path, index_dir: Option<&Path>) -> Option<Skip> {
    if index_dir.is_some_and(|index| fs::canonicalize(path).is_ok_and(|path| path == index)) {
        return Some(Skip::AnIndex);
    }
    let has = |name: &str| path.join(name).exists();
    if has("writer.lock") && is_index(path) {
        return Some(Skip::AnIndex);
    }
    let is_named = |name: &str| path.file_name().is_some_and(|own| own == name);
    if is_named("node_modules")
        || is_named("__pycache__")
        || has("CACHEDIR.TAG")
        || has("pyvenv.cfg")
    {
        return Some(Skip::Dependencies);
    }
    // A linked working copy has a file there that points into `.git/worktrees`.
    let link = path.join(".git");
    let is_worktree =
        link.is_file() && fs::read_to_string(link).is_ok_and(|text| text.contains("/worktrees/"));
    is_worktree.then_some(Skip::Worktree)
}

fn is_index(path: &Path) -> bool {
    let is_manifest = |name: &str| name.starts_with("manifest-");
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name().to_str().is_some_and(is_manifest))
}

fn refuse_name(path: &str) -> Option<Skip> {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    if LOCK_FILES.contains(&name.as_str()) {
        Some(Skip::LockFile)
    } else if SECRET_FILES.contains(&name.as_str()) || SECRET_EXTENSIONS.contains(&extension) {
        Some(Skip::Secret)
    } else if name.ends_with(".min.js") || name.ends_with(".min.css") || extension == "map" {
        Some(Skip::Minified)
    } else {
        None
    }
}

const LOCK_FILES: &[&str] = &[
    "bun.lock",
    "cargo.lock",
    "composer.lock",
    "deno.lock",
    "flake.lock",
    "gemfile.lock",
    "go.sum",
    "gradle.lockfile",
    "mix.lock",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "packages.lock.json",
    "pdm.lock",
    "pipfile.lock",
    "pnpm-lock.yaml",
    "poetry.lock",
    "pubspec.lock",
    "uv.lock",
    "yarn.lock",
];

/// Files of these names are nearly always hidden or ignored; an explicit exception does not bring
/// them in either.
const SECRET_FILES: &[&str] = &[
    ".env",
    ".htpasswd",
    ".netrc",
    ".npmrc",
    ".pypirc",
    "credentials",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
];

const SECRET_EXTENSIONS: &[&str] = &[
    "env", "jks", "kdbx", "key", "keystore", "p12", "pem", "pfx", "ppk",
];

/// Times are trusted only when they lie this far back: a file can change twice within the
/// resolution of its clock.
const SETTLED: Duration = Duration::from_secs(2);

fn stamp(root: &Path, metadata: &Metadata, now: SystemTime) -> u64 {
    let Ok(modified) = metadata.modified() else {
        return 0;
    };
    let identity = identity(root, metadata);
    let settled = now.checked_sub(SETTLED).unwrap_or(SystemTime::UNIX_EPOCH);
    if modified > settled || identity.changed > settled {
        return 0;
    }
    let since = |time: SystemTime| {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        since.as_nanos().to_le_bytes()
    };
    Hash::new()
        .add(&since(modified))
        .add(&since(identity.changed))
        .add(&identity.number)
        .finish()
}

/// What tells a file from its copies.
struct Identity {
    /// When anything about the file changed; nobody can set this back.
    changed: SystemTime,
    number: Vec<u8>,
}

#[cfg(unix)]
fn identity(_: &Path, metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
    let nanoseconds = u64::try_from(metadata.ctime_nsec()).unwrap_or(0);
    let since = Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
    let number = [metadata.dev(), metadata.ino()].map(u64::to_le_bytes);
    Identity {
        changed: SystemTime::UNIX_EPOCH + since,
        number: number.concat(),
    }
}

/// Elsewhere the place of the tree has to do.
#[cfg(not(unix))]
fn identity(root: &Path, metadata: &Metadata) -> Identity {
    Identity {
        changed: metadata.created().unwrap_or(SystemTime::UNIX_EPOCH),
        number: root.as_os_str().as_encoded_bytes().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, content: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn paths(walk: &Walk) -> Vec<&str> {
        walk.candidates
            .iter()
            .map(|file| file.path.as_str())
            .collect()
    }

    #[test]
    fn rules_hold_outside_a_repository_and_everything_left_out_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, ".gitignore", "/build\n*.log\n!keep.log\n");
        write(root, "src/main.rs", "fn main() {}\n");
        write(root, "src/deep/er/a.py", "a = 1\n");
        write(root, "src/deep/.gitignore", "*.tmp\n");
        write(root, "src/deep/x.tmp", "x\n");
        write(root, "build/out.rs", "x\n");
        write(root, "a.log", "x\n");
        write(root, "keep.log", "x\n");
        write(root, ".hidden/a.rs", "x\n");
        write(root, "Cargo.lock", "x\n");
        write(root, "deploy/prod.env", "KEY=1\n");
        write(root, "deploy/server.pem", "x\n");
        write(root, "web/app.min.js", "x\n");
        write(root, "web/node_modules/a/index.js", "x\n");
        write(
            root,
            "target/CACHEDIR.TAG",
            "Signature: 8a477f597d28d172789f06886806bc55\n",
        );
        write(root, "copy/.git", "gitdir: /x/.git/worktrees/copy\n");
        write(root, "copy/main.rs", "x\n");
        write(root, "old-index/writer.lock", "");
        write(root, "old-index/manifest-3", "x");
        write(root, "mine/segment-1", "x");
        fs::write(root.join("large.txt"), vec![b'a'; (1 << 20) + 1]).unwrap();

        let walk = walk(root, &root.join("mine"));
        assert_eq!(
            paths(&walk),
            ["keep.log", "src/deep/er/a.py", "src/main.rs"]
        );
        let counts: Vec<(Skip, u64)> = walk.skipped.into_iter().collect();
        assert_eq!(
            counts,
            [
                (Skip::Ignored, 3),
                (Skip::Hidden, 3),
                (Skip::TooLarge, 1),
                (Skip::Minified, 1),
                (Skip::LockFile, 1),
                (Skip::Secret, 2),
                (Skip::Dependencies, 2),
                (Skip::Worktree, 1),
                (Skip::AnIndex, 2),
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed_so_there_are_no_loops() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "a/b.rs", "x\n");
        std::os::unix::fs::symlink(root, root.join("a/loop")).unwrap();
        std::os::unix::fs::symlink("nowhere", root.join("a/broken")).unwrap();
        let walk = walk(root, &root.join(".sparsely"));
        assert_eq!(paths(&walk), ["a/b.rs"]);
        assert_eq!(walk.skipped.get(&Skip::Link), Some(&2));
    }

    #[test]
    fn content_decides_on_binary_secret_and_minified_files() {
        let mut late = vec![b'a'; BINARY_PREFIX];
        late.extend(b"\n\0");
        assert_eq!(refuse_content(b""), None);
        assert_eq!(refuse_content(b"ab\0c"), Some(Skip::Binary));
        assert_eq!(refuse_content(&late), None);
        let key = b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n";
        assert_eq!(refuse_content(key), Some(Skip::Secret));
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(refuse_content(&long), Some(Skip::Minified));
        assert_eq!(refuse_content(&long[1..]), None);
    }

    #[test]
    fn a_stamp_is_given_to_settled_files_only_and_differs_between_copies() {
        let dir = tempfile::tempdir().unwrap();
        let stamp_of = |name: &str, ahead: u64| {
            let metadata = fs::metadata(dir.path().join(name)).unwrap();
            stamp(
                dir.path(),
                &metadata,
                SystemTime::now() + Duration::from_secs(ahead),
            )
        };
        write(dir.path(), "a", "x");
        fs::copy(dir.path().join("a"), dir.path().join("b")).unwrap();
        assert_eq!(stamp_of("a", 0), 0);
        assert_ne!(stamp_of("a", 10), 0);
        assert_eq!(stamp_of("a", 10), stamp_of("a", 20));
        assert_ne!(stamp_of("a", 10), stamp_of("b", 10));
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        for skip in Skip::ALL {
            assert_eq!(Skip::from_key(skip.key()), Some(skip));
        }
    }
}
