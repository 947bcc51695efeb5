//! Holds the architecture: a module imports only from lower floors, `unsafe` stands only where it
//! may, and no file outgrows its budget.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lowest first; the list of `ARCHITECTURE.md`. `encode` stands over the rest of its floor: encoders
/// read words of `text`.
const FLOORS: &[&[&str]] = &[
    &["error", "id", "planted", "sync"],
    &["bytes", "simd", "sparse", "progress", "statistics"],
    &["quantize", "codec", "storage", "text"],
    &["encode"],
    &["format"],
    &["segment"],
    &["search"],
    &["index"],
    &["memory", "evaluate", "interchange", "train"],
];

/// What may be named of `encode` above it and below the top floor: the trait, not the encoders.
const ENCODER_SEAM: &[&str] = &["Encoder", "Fingerprint"];

const UNSAFE_FILES: &[&str] = &[
    "simd/avx2.rs",
    "simd/avx512.rs",
    "simd/matrix.rs",
    "simd/neon.rs",
    "storage/mmap.rs",
];

const LINES_OF_CODE_MAX: usize = 600;

#[test]
fn modules_import_only_lower_floors() {
    let mut wrong = Vec::new();
    for source in sources() {
        if source.module == "lib" {
            continue;
        }
        let own = floor(&source.module)
            .unwrap_or_else(|| panic!("src/{} has no floor in this test", source.module));
        for (line, used) in crate_paths(&source.text) {
            let lower = floor(&used).is_some_and(|used| used < own);
            if used != source.module && !lower {
                wrong.push(format!("{}:{line}: crate::{used}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "imports of upper floors: {wrong:#?}");
}

#[test]
fn vectors_are_the_seam_of_encoders() {
    let mut wrong = Vec::new();
    let top = FLOORS.len() - 1;
    for source in sources() {
        let below_top = floor(&source.module).is_some_and(|floor| floor < top);
        if source.module == "encode" || !below_top {
            continue;
        }
        let text = source.text.replace(['\n', ' '], "");
        for (at, _) in text.match_indices("encode::") {
            let rest = &text[at + "encode::".len()..];
            let rest = rest.trim_start_matches('{');
            let names = rest.split(['}', ';', ')', ']']).next().unwrap_or_default();
            let first = names.split([',', ':', '<']).next().unwrap_or_default();
            if !ENCODER_SEAM.contains(&first) {
                wrong.push(format!("{}: encode::{first}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "encoders named below the top: {wrong:#?}");
}

#[test]
fn unsafe_stands_only_in_kernels_and_the_map() {
    let mut wrong = Vec::new();
    for source in sources() {
        let code = source.text.lines().filter(|line| !is_comment(line));
        let has = code
            .flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_')))
            .any(|word| word == "unsafe");
        if has && !UNSAFE_FILES.contains(&source.name.as_str()) {
            wrong.push(source.name);
        }
    }
    assert!(wrong.is_empty(), "unsafe code in {wrong:#?}");
}

#[test]
fn no_file_outgrows_its_budget() {
    let mut sizes: Vec<(usize, String)> = sources()
        .into_iter()
        .map(|source| (lines_of_code(&source.text), source.name))
        .collect();
    sizes.sort_unstable();
    let (largest, name) = sizes.last().expect("there are sources");
    assert!(*largest <= LINES_OF_CODE_MAX, "{name}: {largest} lines");
    let (median, name) = &sizes[sizes.len() / 2];
    assert!(
        *median <= 200,
        "the median file, {name}, has {median} lines"
    );
}

struct Source {
    /// Path under `src`, with forward slashes.
    name: String,
    module: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let source = |file: PathBuf| {
        let relative = file.strip_prefix(&src).expect("under src");
        let name = relative.to_string_lossy().replace('\\', "/");
        let first = name.split('/').next().expect("a name");
        Source {
            module: first.trim_end_matches(".rs").to_owned(),
            text: fs::read_to_string(&file).expect("source is readable"),
            name,
        }
    };
    files.into_iter().map(source).collect()
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            out.push(path);
        }
    }
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

/// The modules that a file names through `crate::`, each with its line: on the line itself, or in a
/// `use crate::{…}` list, where rustfmt puts each name on a line of its own.
fn crate_paths(text: &str) -> Vec<(usize, String)> {
    let mut names = Vec::new();
    let mut in_list = false;
    for (number, line) in text.lines().enumerate() {
        let mut found = |name: &str| {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let name: String = name.chars().take_while(|c| word(*c)).collect();
            if floor(&name).is_some() {
                names.push((number + 1, name));
            }
        };
        if is_comment(line) {
            continue;
        }
        for (at, path) in line.match_indices("crate::") {
            let rest = &line[at + path.len()..];
            match rest.strip_prefix('{') {
                Some(list) => list.split(", ").for_each(&mut found),
                None => found(rest),
            }
        }
        if in_list && line.starts_with("    ") && !line.starts_with("     ") {
            found(line.trim_start());
        }
        in_list = line.ends_with("use crate::{") || in_list && line != "};";
    }
    names
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Lines that are neither blank, nor comments, nor unit tests at the end of a file.
fn lines_of_code(text: &str) -> usize {
    text.lines()
        .take_while(|line| *line != "mod tests {")
        .filter(|line| !line.trim().is_empty() && !is_comment(line))
        .count()
}
