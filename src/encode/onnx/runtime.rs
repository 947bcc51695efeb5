//! Finding ONNX Runtime, and the one environment a process may have of it.
//!
//! With the feature `onnx-dynamic` the shared library is looked for when the first encoder opens,
//! in this order:
//!
//! 1. the path given to [`load_runtime`];
//! 2. the environment variable `ORT_DYLIB_PATH`; when it is set, nothing after it is tried;
//! 3. the directory of the running program, and `lib` in it;
//! 4. `onnxruntime/capi` in the Python packages of `VIRTUAL_ENV`, then of `CONDA_PREFIX`: what
//!    `pip install onnxruntime` puts there;
//! 5. the system's library directories, with and without a version in the name;
//! 6. what the system's own loader finds under the plain name.
//!
//! A candidate that does not load, or is older than 1.17, is remembered with its reason and the
//! next one is tried; when none is left, the error lists them all. Nothing of the runtime is
//! touched before a library has been loaded: touching it earlier would panic.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use ort::environment::Environment;

use crate::error::{Error, Result};

/// Set once, and kept: a process cannot make a second environment, even after the first is gone.
static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// One thread looks for the library; the others wait for what it finds.
static SEARCH: Mutex<()> = Mutex::new(());

/// Loads ONNX Runtime from a shared library, before any encoder is opened. Later calls, and calls
/// in a build that links the runtime, change nothing.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) with the reason why `path` cannot be used.
pub fn load_runtime(path: impl AsRef<Path>) -> Result<()> {
    environment_from(Some(path.as_ref())).map(|_| ())
}

/// Shares the host's environment, for hosts that use `ort` themselves: call it before opening an
/// encoder. Returns whether it was taken: `false` when there was one already.
pub fn share_environment(environment: Environment) -> bool {
    ENVIRONMENT.set(environment).is_ok()
}

/// The environment of this process.
pub(super) fn environment() -> Result<&'static Environment> {
    environment_from(None)
}

fn environment_from(path: Option<&Path>) -> Result<&'static Environment> {
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let _alone = SEARCH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = ENVIRONMENT.get() {
        return Ok(environment);
    }
    let builder = load(path)?;
    let environment = builder
        .with_name("sparsely")
        .with_telemetry(false)
        .build()
        .map_err(|why| {
            Error::model(
                "ONNX Runtime",
                format!(
                    "{why}; if this program uses `ort` elsewhere, hand its environment to `share_environment` first"
                ),
            )
        })?;
    Ok(ENVIRONMENT.get_or_init(|| environment))
}

#[cfg(not(feature = "onnx-dynamic"))]
fn load(_path: Option<&Path>) -> Result<ort::environment::EnvironmentBuilder> {
    Ok(ort::init())
}

#[cfg(feature = "onnx-dynamic")]
fn load(path: Option<&Path>) -> Result<ort::environment::EnvironmentBuilder> {
    let mut tried = Vec::new();
    for candidate in candidates(path) {
        match ort::init_from(&candidate) {
            Ok(builder) => return Ok(builder),
            Err(why) => {
                let (path, why) = (candidate.display().to_string(), reason(&why));
                // Most loaders name the file themselves.
                tried.push(if why.contains(&path) {
                    why
                } else {
                    format!("{path}: {why}")
                });
            }
        }
    }
    Err(not_found(&tried))
}

#[cfg_attr(
    not(feature = "onnx-dynamic"),
    expect(dead_code, reason = "a linked runtime is not looked for")
)]
#[cold]
fn not_found(tried: &[String]) -> Error {
    Error::not_found(
        "ONNX Runtime's shared library, 1.17 or newer,",
        format!(
            "`pip install onnxruntime` in a virtual environment and run with it active, or set ORT_DYLIB_PATH to the library file; tried {}",
            tried.join("; ")
        ),
    )
}

/// What went wrong, in the loader's own words: `ort` hides them behind its own.
#[cfg(feature = "onnx-dynamic")]
fn reason(error: &ort::LoadDynamicError) -> String {
    let ort::LoadDynamicError::Dlopen { error, .. } = error else {
        return error.to_string();
    };
    let mut words: &dyn std::error::Error = error;
    while let Some(inner) = words.source() {
        words = inner;
    }
    words.to_string()
}

/// Where the library may be, best first.
#[cfg_attr(
    not(feature = "onnx-dynamic"),
    expect(dead_code, reason = "a linked runtime is not looked for")
)]
fn candidates(path: Option<&Path>) -> Vec<PathBuf> {
    if let Some(path) = path {
        return vec![path.to_owned()];
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return vec![path.into()];
    }
    let mut found = Vec::new();
    if let Ok(program) = std::env::current_exe()
        && let Some(folder) = program.parent()
    {
        libraries(folder, &mut found);
        libraries(&folder.join("lib"), &mut found);
    }
    for variable in ["VIRTUAL_ENV", "CONDA_PREFIX"] {
        if let Some(prefix) = std::env::var_os(variable) {
            python(Path::new(&prefix), &mut found);
        }
    }
    for folder in SYSTEM {
        libraries(Path::new(folder), &mut found);
    }
    found.push(PLAIN.into());
    found
}

#[cfg(target_os = "windows")]
const PLAIN: &str = "onnxruntime.dll";
#[cfg(target_os = "macos")]
const PLAIN: &str = "libonnxruntime.dylib";
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const PLAIN: &str = "libonnxruntime.so";

#[cfg(target_os = "windows")]
const SYSTEM: &[&str] = &[];
#[cfg(target_os = "macos")]
const SYSTEM: &[&str] = &["/opt/homebrew/lib", "/usr/local/lib"];
#[cfg(not(any(target_os = "windows", target_os = "macos")))]
const SYSTEM: &[&str] = &[
    "/usr/local/lib",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
];

/// The packages of a Python environment: `lib/python3.*/site-packages`, on Windows
/// `Lib/site-packages`.
fn python(prefix: &Path, found: &mut Vec<PathBuf>) {
    let package = Path::new("site-packages/onnxruntime/capi");
    libraries(&prefix.join("Lib").join(package), found);
    let Ok(entries) = prefix.join("lib").read_dir() else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("python3") {
            libraries(&entry.path().join(package), found);
        }
    }
}

/// The runtime's library in `folder`, under its plain name or with a version behind or before the
/// ending (`libonnxruntime.so.1.31.1`, `libonnxruntime.1.31.1.dylib`); the newest name first.
fn libraries(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = folder.read_dir() else {
        return;
    };
    let stem = PLAIN.split('.').next().unwrap_or(PLAIN);
    let mut names: Vec<_> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| {
            name.strip_prefix(stem).is_some_and(|rest| {
                rest.starts_with('.')
                    && rest
                        .split('.')
                        .all(|part| matches!(part, "so" | "dll" | "dylib") || is_number(part))
            })
        })
        .collect();
    names.sort_unstable();
    found.extend(names.into_iter().rev().map(|name| folder.join(name)));
}

fn is_number(part: &str) -> bool {
    part.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn names_with_versions_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let capi = folder
            .path()
            .join("lib/python3.11/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        for name in [
            "libonnxruntime.so.1.31.1",
            "libonnxruntime_providers_shared.so",
            "onnxruntime_pybind11_state.so",
        ] {
            std::fs::write(capi.join(name), []).unwrap();
        }
        let mut found = Vec::new();
        python(folder.path(), &mut found);
        assert_eq!(found, [capi.join("libonnxruntime.so.1.31.1")]);
    }

    #[test]
    fn a_given_path_is_the_only_candidate() {
        let given = Path::new("somewhere/libonnxruntime.so");
        assert_eq!(candidates(Some(given)), [given]);
    }
}
