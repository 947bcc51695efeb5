//! The program `code_search`, run as a user runs it: a child process, its output and exit code.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use serde_json::Value;
use sparsely::{Config, Document, Index, LexicalEncoder, SparseVector, TableEncoder};
use tempfile::TempDir;

/// The built program. `cargo test` builds examples beside the tests; where only this test was asked
/// for, it is built here.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let program = profile
            .join("examples")
            .join("code_search")
            .with_extension(std::env::consts::EXE_EXTENSION);
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--example",
            "code_search",
            "--manifest-path",
        ]);
        build.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
        build.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(
            build.status().unwrap().success(),
            "cannot build the program"
        );
        program
    })
}

/// Runs the program in `dir`.
fn run(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .current_dir(dir)
        .output()
        .unwrap()
}

/// Runs the program, which must succeed, and reads its last line as JSON.
fn json(dir: &Path, arguments: &[&str]) -> Value {
    let output = run(dir, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    last_line(&output)
}

fn last_line(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap()
}

/// Runs the program, which must fail with `code`; what it says of it as text.
fn failure(dir: &Path, code: i32, arguments: &[&str]) -> String {
    let output = run(dir, arguments);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {output:?}"
    );
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn keys(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().unwrap();
    results
        .iter()
        .map(|result| result["key"].as_str().unwrap())
        .collect()
}

fn write(root: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A tree with what trees have: sources, prose, rubbish.
fn tree() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    write(root, ".gitignore", "*.gen.rs\n");
    write(
        root,
        "src/lock.rs",
        "use std::fs::File;\n\n/// Takes the lock, or says who holds it.\npub fn open_lock(path: &str) -> Option<File> {\n    let file = File::open(path).ok()?;\n    file.try_lock().ok()?;\n    Some(file)\n}\n\n/// Adds numbers.\npub fn add(a: u32, b: u32) -> u32 {\n    let sum = a + b;\n    assert!(sum >= a);\n    sum\n}\n",
    );
    write(
        root,
        "tools/lock.py",
        "import os\n\n\nclass Lock:\n    \"\"\"A lock file.\"\"\"\n\n    def acquire(self, path):\n        self.handle = os.open(path, os.O_EXCL)\n        self.path = path\n        return self.handle\n\n    def release(self):\n        os.close(self.handle)\n        os.unlink(self.path)\n        self.handle = None\n",
    );
    write(
        root,
        "README.md",
        "# Locks\n\nHow files are locked: one writer, any number of readers.\n",
    );
    write(
        root,
        "broken.js",
        "function ( { lock ]]]\n\u{0}".replace('\u{0}', "\u{1b}[2J"),
    );
    write(root, "latin.txt", b"caf\xe9 au lait, locked\n");
    write(root, "empty.rs", "");
    write(root, "made.gen.rs", "fn lock() {}\n");
    write(root, "logo.png", b"\x89PNG\0\0lock");
    write(root, "server.pem", "lock\n");
    dir
}

#[test]
fn a_tree_is_indexed_searched_changed_and_searched_again() {
    let tree = tree();
    let root = tree.path();
    let built = json(root, &["index", "."]);
    assert_eq!((&built["files"], &built["added"]), (&6.into(), &6.into()));
    let skipped = serde_json::json!({ "ignored": 1, "hidden": 2, "binary": 1, "secret": 1 });
    assert_eq!(built["skipped"], skipped);

    let answer = json(root, &["search", "open the lock"]);
    assert_eq!(keys(&answer)[0], "src/lock.rs:1-8");
    let first = &answer["results"][0];
    assert_eq!(
        (&first["name"], &first["language"]),
        (&"open_lock".into(), &"rust".into())
    );
    assert_eq!((&first["start"], &first["end"]), (&1.into(), &8.into()));
    let all = keys(&json(root, &["search", "lock", "--top", "100"])).join(" ");
    for path in [
        "src/lock.rs",
        "tools/lock.py",
        "README.md",
        "broken.js",
        "latin.txt",
    ] {
        assert!(all.contains(path), "{path} is not in {all}");
    }
    let python = json(root, &["search", "lock", "--language", "py"]);
    assert!(!keys(&python).is_empty());
    assert!(
        keys(&python)
            .iter()
            .all(|key| key.starts_with("tools/lock.py:"))
    );
    assert_eq!(
        keys(&json(root, &["search", "lock", "--top", "1"])).len(),
        1
    );
    assert_eq!(
        keys(&json(root, &["search", "lock", "--top", "0"])).len(),
        0
    );

    // Nothing changed, so nothing is committed.
    let commit = json(root, &["status"])["commit"].clone();
    std::thread::sleep(Duration::from_millis(2100));
    let again = json(root, &["index", "."]);
    assert_eq!(
        (&again["added"], &again["changed"], &again["unchanged"]),
        (&0.into(), &0.into(), &6.into())
    );
    json(root, &["index", "."]);
    let settled = json(root, &["status"])["commit"].clone();
    json(root, &["index", "."]);
    assert_eq!(json(root, &["status"])["commit"], settled);
    assert!(settled.as_u64() <= commit.as_u64().map(|commit| commit + 1));

    fs::remove_file(root.join("tools/lock.py")).unwrap();
    fs::remove_file(root.join("README.md")).unwrap();
    write(
        root,
        "README.md",
        "# Zebras\n\nNothing about anything else here.\n",
    );
    write(root, "src/new.rs", "fn zebra() {}\n");
    let changed = json(root, &["index", "."]);
    let counts =
        ["added", "changed", "removed", "unchanged"].map(|key| changed[key].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 4]);
    let all = json(root, &["search", "lock", "--top", "100"]);
    assert!(
        keys(&all)
            .iter()
            .all(|key| !key.starts_with("tools/") && !key.starts_with("README"))
    );
    let mut zebras = json(root, &["search", "zebras"]);
    let mut found: Vec<String> = keys(&zebras).into_iter().map(str::to_owned).collect();
    found.sort();
    assert_eq!(found, ["README.md:1-3", "src/new.rs:1-1"]);

    // A file that becomes unfit goes.
    write(root, "README.md", b"zebra \0");
    zebras = json(root, &[".", "zebras"]);
    assert_eq!(keys(&zebras), ["src/new.rs:1-1"]);
}

#[test]
fn results_for_people_have_places_names_and_no_escapes_in_a_pipe() {
    let tree = tree();
    let output = run(tree.path(), &[".", "open", "the", "lock", "--explain"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains('\u{1b}'), "{text}");
    assert!(
        text.starts_with(" 1. src/lock.rs:1-8  open_lock  rust  "),
        "{text}"
    );
    assert!(text.contains("pub fn open_lock(path: &str)"), "{text}");
    let row = text
        .lines()
        .find(|line| line.trim_start().starts_with("lock "))
        .unwrap();
    assert_eq!(row.split_whitespace().count(), 6, "{row}");
    assert!(row.ends_with("query text"), "{row}");
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(
        summary.contains("6 files added") && summary.contains("1 binary"),
        "{summary}"
    );
}

#[test]
fn help_lists_every_key_of_the_json_output() {
    let tree = tree();
    let root = tree.path();
    let help = String::from_utf8(run(root, &["--help"]).stdout).unwrap();
    let mut objects = vec![
        json(root, &["index", "."]),
        json(root, &["search", "lock", "--explain"]),
        json(root, &["status"]),
        json(root, &["verify"]),
        last_line(&run(
            root,
            &["search", "lock", "--json", "--index", "nowhere"],
        )),
    ];
    // Keys below these are data.
    let is_data = |key: &str| ["languages", "skipped"].contains(&key);
    let words: Vec<&str> = help
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .collect();
    let mut seen = 0;
    while let Some(object) = objects.pop() {
        match object {
            Value::Array(values) => objects.extend(values),
            Value::Object(map) => {
                for (key, value) in map {
                    assert!(
                        words.contains(&key.as_str()),
                        "--help does not name `{key}`"
                    );
                    seen += 1;
                    if !is_data(&key) {
                        objects.push(value);
                    }
                }
            }
            _ => {}
        }
    }
    assert!(seen > 50);
}

#[test]
fn wrong_use_exits_2_and_failure_exits_1_with_advice() {
    let tree = tree();
    let root = tree.path();
    failure(root, 2, &[]);
    failure(root, 2, &["search"]);
    failure(root, 2, &["search", "lock", "--nonsense"]);
    failure(root, 2, &["search", "lock", "--top", "many"]);
    assert!(failure(root, 2, &["serach", "lock"]).contains("the commands are"));
    assert!(failure(root, 1, &["index", "nowhere"]).contains("no such directory"));
    assert!(failure(root, 1, &["index", "README.md"]).contains("not a directory"));
    assert!(failure(root, 1, &["search", "lock"]).contains("code_search index PATH"));
    assert!(failure(root, 1, &["status"]).contains("no index at"));
    assert!(failure(root, 1, &["verify"]).contains("no index at"));
    assert!(failure(root, 2, &["index", ".", "--index", "src"]).contains("holds other files"));
    assert!(failure(root, 1, &["index", ".", "--encoder", "src"]).contains("--encoder: "));
    assert!(failure(root, 2, &["index", ".", "--encoder", "wizard"]).contains("neither"));
    assert!(
        !root.join(".sparsely").exists(),
        "a failure left an index behind"
    );
    json(root, &["index", "."]);
    assert!(failure(root, 2, &["search", "..."]).contains("no words"));
    let none = run(root, &["search", "xylophone"]);
    assert_eq!(none.status.code(), Some(0));
    let output = run(root, &["search", "lock", "--language", "cobol"]);
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(
        note.contains("`cobol`") && note.contains("python"),
        "{note}"
    );
}

#[test]
fn an_empty_tree_gives_an_empty_index_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(json(dir.path(), &["index", "."])["files"], 0);
    let answer = json(dir.path(), &["search", "lock"]);
    assert!(keys(&answer).is_empty());
    assert!(answer["notes"][0].as_str().unwrap().contains("is empty"));
}

#[test]
fn a_copied_index_serves_a_copied_tree_without_encoding() {
    let tree = tree();
    json(tree.path(), &["index", "."]);
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp")
        .arg("-r")
        .arg(tree.path().join("."))
        .arg(copy.path())
        .status();
    if !copied.is_ok_and(|status| status.success()) {
        println!("skipped: no `cp` here");
        return;
    }
    write(copy.path(), "src/new.rs", "fn zebra() {}\n");
    let counts = json(copy.path(), &["index", "."]);
    assert_eq!(
        (&counts["added"], &counts["changed"], &counts["unchanged"]),
        (&1.into(), &0.into(), &6.into())
    );
    assert_eq!(
        keys(&json(copy.path(), &["search", "zebra"])),
        ["src/new.rs:1-1"]
    );
    assert!(keys(&json(tree.path(), &["search", "zebra"])).is_empty());
}

#[test]
fn a_second_indexer_is_refused_while_searching_goes_on() {
    let tree = tree();
    let root = tree.path();
    json(root, &["index", "."]);
    let writer = Index::open(root.join(".sparsely"))
        .unwrap()
        .writer()
        .unwrap();
    let said = failure(root, 1, &["index", "."]);
    assert!(said.contains("another"), "{said}");
    assert!(!keys(&json(root, &["search", "lock"])).is_empty());
    drop(writer);
    json(root, &["index", "."]);
}

#[test]
fn damage_is_named_with_the_way_out() {
    let tree = tree();
    let root = tree.path();
    json(root, &["index", "."]);
    assert_eq!(json(root, &["verify"])["clean"], true);
    for entry in fs::read_dir(root.join(".sparsely")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("segment-")
        {
            let mut bytes = fs::read(&path).unwrap();
            let len = bytes.len();
            bytes[len - 20] ^= 0xff;
            fs::write(&path, bytes).unwrap();
        }
    }
    let said = failure(root, 1, &["search", "lock"]);
    assert!(
        said.contains("code_search verify") && said.contains("code_search index"),
        "{said}"
    );
    let output = run(root, &["verify", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let found = last_line(&output);
    assert_eq!(found["clean"], false);
    assert!(
        found["damage"][0]["file"]
            .as_str()
            .unwrap()
            .starts_with("segment-")
    );
    fs::remove_dir_all(root.join(".sparsely")).unwrap();
    assert!(!keys(&json(root, &[".", "lock"])).is_empty());
}

#[test]
fn indexes_of_others_are_left_alone() {
    let tree = tree();
    let root = tree.path();
    let table = TableEncoder::builder()
        .row("lock", [("lock", 1.0)])
        .build()
        .unwrap();
    Index::create(root.join("table"), Config::for_encoder(&table)).unwrap();
    for arguments in [
        ["index", ".", "--index", "table"],
        ["search", "lock", "--index", "table"],
    ] {
        let said = failure(root, 1, &arguments);
        assert!(
            said.contains("encoder") && said.contains("--index"),
            "{said}"
        );
    }
    let encoder = LexicalEncoder::auto();
    let index = Index::create(root.join("foreign"), Config::for_encoder(&encoder)).unwrap();
    let mut writer = index.writer().unwrap();
    writer
        .upsert(Document::new("a", SparseVector::default()))
        .unwrap();
    writer.commit().unwrap();
    drop(writer);
    let said = failure(root, 1, &["index", ".", "--index", "foreign"]);
    assert!(said.contains("not made by code_search"), "{said}");
}

#[test]
fn an_index_keeps_its_encoder_and_a_new_one_gets_the_default() {
    let tree = tree();
    let root = tree.path();
    let encoder = |index: &str| {
        let status = json(root, &["status", "--index", index]);
        status["encoder"].as_str().unwrap().to_owned()
    };
    json(root, &["index", ".", "--index", "new"]);
    assert!(encoder("new").starts_with("static:"), "{}", encoder("new"));
    json(
        root,
        &["index", ".", "--index", "old", "--encoder", "lexical"],
    );
    assert!(
        encoder("old").starts_with("lexical-auto:"),
        "{}",
        encoder("old")
    );
    // Without a name, the old one is searched and updated as what it is, and says so.
    assert!(!keys(&json(root, &["search", "lock", "--index", "old"])).is_empty());
    write(root, "src/more.rs", "fn unheard_of() {}\n");
    let output = run(root, &["index", ".", "--index", "old"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("lexical encoder"),
        "{said}"
    );
    assert!(encoder("old").starts_with("lexical-auto:"));
    let answer = json(root, &["search", "unheard of", "--index", "old"]);
    let found = keys(&answer);
    assert!(found[0].starts_with("src/more.rs"), "{found:?}");
    let said = failure(
        root,
        1,
        &["search", "lock", "--index", "old", "--encoder", "static"],
    );
    assert!(said.contains("remove old"), "{said}");
}

#[test]
fn killed_at_any_moment_it_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for i in 0..120 {
        let body: String = (0..40)
            .map(|line| format!("    step_{i}_{line}(lock, file);\n"))
            .collect();
        write(
            root,
            &format!("src/f{i}.rs"),
            format!("fn work_{i}() {{\n{body}}}\n"),
        );
    }
    let expected = {
        json(root, &["index", ".", "--index", "whole"]);
        let answer = json(
            root,
            &["search", "work 7 lock", "--top", "1000", "--index", "whole"],
        );
        answer["results"].clone()
    };
    assert_eq!(expected.as_array().unwrap().len(), 120);
    fs::rename(root.join("whole"), dir.path().with_extension("whole")).unwrap();
    for pause in [1, 5, 10, 20, 40, 80, 120, 160, 240, 320] {
        let mut child = Command::new(program())
            .args(["index", "."])
            .current_dir(root)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
        let output = run(root, &["status", "--json"]);
        let status = last_line(&output);
        let is_new = status["error"]["kind"] == "no_index";
        assert!(
            is_new || output.status.success(),
            "after {pause} ms: {status}"
        );
    }
    let answer = json(root, &[".", "work 7 lock", "--top", "1000"]);
    assert_eq!(answer["results"], expected);
    assert_eq!(json(root, &["status"])["complete"], true);
    assert_eq!(json(root, &["verify"])["clean"], true);
    fs::remove_dir_all(dir.path().with_extension("whole")).unwrap();
}
