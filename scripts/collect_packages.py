#!/usr/bin/env python3
"""Collects the sources that the shipped table is trained on.

    collect_packages.py LIST OUT [--only ECOSYSTEM] [--locked MANIFEST]

LIST names packages, one a line: `ecosystem name [held-out]`, with `pypi`, `crates`, `npm`,
`debian` (source packages) or `debian-binary` (Go packages are sources there). Each is fetched by
its name through the ordinary client of its registry (pip, cargo, npm, apt-get), its licence field
is read, and packages without a permissive licence are left out, as are the files that a Debian
copyright file puts under another licence. What stays is copied to OUT/ECOSYSTEM/NAME, source files
only; OUT/manifest.tsv says version, licence, files and bytes of each. With --locked the packages
of that manifest are fetched, in its versions. Nothing is built and no package's code is run.
"""

import argparse
import concurrent.futures
import email.parser
import fnmatch
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile

EXTENSIONS = {
    ".py", ".pyx", ".rs", ".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".java", ".kt",
    ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".hxx", ".go", ".rb", ".cs", ".swift",
    ".scala", ".php",
}
FILE_BYTES_MAX = 1_500_000
PACKAGE_BYTES_MAX = 60_000_000
# Copies of other packages, generated files, and what a bundler wrote.
SKIPPED_PARTS = {
    "node_modules", "vendor", "vendored", "_vendor", "third_party", "thirdparty", "3rdparty",
    "external", "extern", "bower_components", "site-packages", "generated", "testdata", "locale",
    "locales", "umd", "cjs", "amd", "bundles", "coverage",
}
SKIPPED_NAME = re.compile(
    r"(\.min|\.bundle|\.umd|-min|\.prod|\.production|_pb2|_pb2_grpc|\.pb|\.generated)"
    r"\.[a-z]+$|\.d\.[mc]?ts$|^zz_generated|^bindings\.rs$"
)

PERMISSIVE = {
    "0bsd", "afl-2.1", "afl-3.0", "apache", "apache 2", "apache 2.0", "apache-2", "apache-2.0",
    "apache license 2.0", "apache license, version 2.0", "apache license version 2.0",
    "apache software license", "apache software license 2.0", "apache license", "apache2",
    "blueoak-1.0.0", "boost", "boost-1.0", "boost software license 1.0 (bsl-1.0)", "bsd",
    "bsd license", "bsd-2", "bsd-2-clause", "bsd 2-clause", "bsd-3", "bsd-3-clause",
    "bsd 3-clause", "bsd 3-clause license", "3-clause bsd", "new bsd", "bsd-4-clause-uc",
    "bsl-1.0", "cc0", "cc0-1.0", "cmu", "curl", "expat", "freebsd", "ftl",
    "historical permission notice and disclaimer (hpnd)", "hpnd", "icu", "isc",
    "isc license", "isc license (iscl)", "libpng", "libtiff", "mit", "mit license",
    "the mit license", "the mit license (mit)", "mit-0", "mit-cmu", "mit/x11", "mit-style",
    "mit no attribution license (mit-0)", "modified bsd", "new bsd license", "ncsa", "openldap",
    "permissive", "postgresql", "psf", "psf-2.0", "psf-2", "python-2.0",
    "public-domain", "public domain", "python software foundation license", "ruby", "bsd-like",
    "the unlicense (unlicense)", "unicode", "unicode-3.0", "unicode-dfs-2016", "unlicense",
    "wtfpl", "x11", "zlib", "zlib/libpng", "zlib/libpng license", "zpl", "zpl 2.1", "zpl-2.1",
    "zope public license", "tcl", "zlib-acknowledgement", "apache-2.0 with llvm-exception",
    "llvm-exception", "openssl",
}


def is_permissive(expression):
    """Whether an SPDX-like expression leaves a permissive choice."""
    text = expression.strip().lower().replace("/", " or ") if "/x11" not in expression.lower() \
        and "zlib/libpng" not in expression.lower() else expression.strip().lower()
    text = text.strip("() ")
    if not text:
        return False
    if text in PERMISSIVE:
        return True
    for word, join in ((" or ", any), (" | ", any), (" and ", all), (" with ", all), (", ", all)):
        if word in text:
            return join(is_permissive(part) for part in text.split(word))
    return re.sub(r"~.*|[ -]style$|\+$", "", text) in PERMISSIVE or \
        re.fullmatch(r"bsd[- ][234][- ]clause.*|expat.*|mit[- ].*|apache[- ]2.*|isc[- ].*", text) is not None


def run(command, cwd, seconds=900):
    return subprocess.run(
        command, cwd=cwd, timeout=seconds, check=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ).stdout


def wanted(path):
    parts = path.parts
    return (
        path.suffix.lower() in EXTENSIONS
        and not SKIPPED_NAME.search(path.name)
        and not any(part.lower() in SKIPPED_PARTS for part in parts[:-1])
    )


def copy_sources(root, into, allowed=lambda path: True):
    """Copies the source files under `root`; returns their count and bytes."""
    files, total = 0, 0
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_symlink() or not path.is_file() or not wanted(relative) or not allowed(relative):
            continue
        size = path.stat().st_size
        if size > FILE_BYTES_MAX or total + size > PACKAGE_BYTES_MAX:
            continue
        target = into / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        files, total = files + 1, total + size
    return files, total


def pypi(name, version, work):
    spec = f"{name}=={version}" if version else name
    run(["pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", ".", spec], work)
    wheel = next(work.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        metadata = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        message = email.parser.Parser().parsestr(archive.read(metadata).decode("utf-8", "replace"))
        licence = message.get("License-Expression")
        classified = [
            c.split(" :: ")[-1] for c in message.get_all("Classifier", [])
            if c.startswith("License ::") and c != "License :: OSI Approved"
        ]
        if not licence and classified:
            licence = " AND ".join(classified)
        licence = licence or (message.get("License") or "").strip().split("\n")[0]
        for member in archive.namelist():
            if wanted(pathlib.PurePosixPath(member)):
                archive.extract(member, work / "x")
    return message["Version"], licence, work / "x", None


def npm(name, version, work):
    run(["npm", "pack", "--silent", "--ignore-scripts", f"{name}@{version}" if version else name], work)
    with tarfile.open(next(work.glob("*.tgz"))) as archive:
        archive.extractall(work / "x", filter="data")
    root = next(path for path in (work / "x").iterdir() if path.is_dir())
    package = json.loads((root / "package.json").read_text(encoding="utf-8", errors="replace"))
    licence = package.get("license") or " OR ".join(
        entry.get("type", "") for entry in package.get("licenses", []) if isinstance(entry, dict))
    if isinstance(licence, dict):
        licence = licence.get("type", "")
    return package["version"], licence, root, None


def debian_state(base):
    """A package list of our own that has sources, made from the system's."""
    state = base / ".apt"
    if not (state / "ready").exists():
        for folder in ("lists/partial", "cache/archives/partial"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        system = pathlib.Path("/etc/apt/sources.list.d/debian.sources").read_text()
        (state / "debian.sources").write_text(re.sub(r"(?m)^Types:.*", "Types: deb deb-src", system))
        run(["apt-get", *apt_options(state), "update"], base)
        (state / "ready").touch()
    return state


def apt_options(state):
    pairs = {
        "Dir::Etc::SourceList": state / "debian.sources", "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": state / "lists", "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",
    }
    return [item for key, value in pairs.items() for item in ("-o", f"{key}={value}")]


def copyright_of(text):
    """A test for the files that a machine-readable Debian copyright puts under a permissive
    licence, and the licences in words; None where the file is not machine-readable."""
    stanzas, texts = [], []
    for stanza in re.split(r"\n\s*\n", text):
        fields = dict(re.findall(r"(?ms)^([A-Za-z-]+):[ \t]*(.*?)(?=^\S|\Z)", stanza + "\n"))
        if "Files" in fields and "License" in fields:
            licence = fields["License"].strip().split("\n")[0]
            patterns = fields["Files"].split()
            if not all(pattern.startswith("debian/") for pattern in patterns):
                stanzas.append((patterns, licence))
    if not stanzas:
        return None

    def allowed(path):
        last = ""
        for patterns, licence in stanzas:
            if any(fnmatch.fnmatchcase(str(path), pattern) for pattern in patterns):
                last = licence
        return is_permissive(last)

    names = sorted({licence for _, licence in stanzas if is_permissive(licence)})
    return allowed, " ; ".join(names[:6])


def debian(name, version, work, base):
    spec = f"{name}={version}" if version else name
    run(["apt-get", *apt_options(base / ".apt"), "source", "-q", "--download-only", spec], work)
    dsc = next(work.glob("*.dsc"))
    found = re.search(r"(?m)^Version: (\S+)", dsc.read_text(errors="replace")).group(1)
    run(["dpkg-source", "--no-check", "-x", dsc.name, "x"], work)
    rule = copyright_of((work / "x/debian/copyright").read_text(errors="replace"))
    allowed, licence = rule if rule else (None, "")
    return found, licence, work / "x", allowed


def debian_binary(name, version, work, base):
    spec = f"{name}={version}" if version else name
    run(["apt-get", *apt_options(base / ".apt"), "download", "-q", spec], work)
    deb = next(work.glob("*.deb"))
    found = run(["dpkg-deb", "-f", deb.name, "Version"], work).strip()
    run(["dpkg-deb", "-x", deb.name, "x"], work)
    notice = next((work / "x/usr/share/doc").rglob("copyright"))
    rule = copyright_of(notice.read_text(errors="replace"))
    if not rule:
        return found, "", work / "x", None
    # Paths of the copyright file are those of the source; below `src` the import path stands
    # before them, so only packages that are permissive as a whole are taken.
    every = all(is_permissive(l.strip().split("\n")[0]) for l in re.findall(
        r"(?ms)^Files:(?!\s*debian/).*?^License:(.*?)(?=^\S|\n\s*\n|\Z)", notice.read_text(errors="replace")))
    return found, rule[1] if every else "", work / "x", None


def fetch(entry, base, versions):
    ecosystem, name = entry
    into = base / ecosystem / name.replace("/", "__")
    with tempfile.TemporaryDirectory(dir=base) as work:
        work = pathlib.Path(work)
        version = versions.get(entry)
        try:
            if ecosystem == "pypi":
                result = pypi(name, version, work)
            elif ecosystem == "npm":
                result = npm(name, version, work)
            elif ecosystem == "debian":
                result = debian(name, version, work, base)
            else:
                result = debian_binary(name, version, work, base)
        except (subprocess.SubprocessError, OSError, StopIteration, AttributeError, KeyError,
                ValueError, tarfile.TarError, zipfile.BadZipFile) as error:
            why = getattr(error, "stderr", None) or str(error)
            return entry, "failed: " + " ".join(str(why).split())[-160:]
        found, licence, root, allowed = result
        if not licence or not is_permissive(licence) and allowed is None:
            return entry, f"left out: licence {licence!r}"
        shutil.rmtree(into, ignore_errors=True)
        files, total = copy_sources(root, into, allowed or (lambda path: True))
        if not files:
            return entry, "left out: no source files"
        return entry, (found, licence, files, total)


def crates(names, base, versions):
    """One manifest that depends on all of them, fetched by `cargo vendor`, which also brings what
    they depend on; those are named in the manifest of this collection like the others, by their
    folders: an older version beside a newer one is NAME-VERSION."""
    results = []
    # A folder's name is the crate's, or the crate's with the version; cargo chooses by what else it
    # brings, so the folders of a manifest are taken from there.
    folders = {(name.removesuffix("-" + version), version): name
               for (ecosystem, name), version in versions.items() if ecosystem == "crates"}
    pins = sorted(folders)
    with tempfile.TemporaryDirectory(dir=base) as work:
        work = pathlib.Path(work)
        (work / "src").mkdir()
        (work / "src/lib.rs").touch()
        # Each a dependency of its own, so that none is left to cargo's choice.
        pinned = [f'p{number} = {{ package = "{name}", version = "={version}" }}'
                  for number, (name, version) in enumerate(pins)]
        lines = pinned or [f'"{name}" = "*"' for name in names]
        (work / "Cargo.toml").write_text(
            '[package]\nname = "collection"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n'
            + "\n".join(lines) + "\n[workspace]\n")
        run(["cargo", "vendor", "-q", "vendor-out"], work, 1800)
        for root in sorted((work / "vendor-out").iterdir()):
            manifest = (root / "Cargo.toml").read_text(errors="replace")
            field = lambda key: (re.search(rf'(?m)^{key} = "(.*)"', manifest) or ["", ""])[1]
            name, licence = field("name"), field("license")
            folder = folders.get((name, field("version")), None if folders else root.name)
            if not folder:
                results.append((("crates", root.name), f"left out: {field('version')} is not in the manifest"))
                continue
            if name.startswith(("windows", "winapi", "web-sys", "js-sys")) or not is_permissive(licence):
                results.append((("crates", folder), f"left out: licence {licence!r} or generated"))
                continue
            into = base / "crates" / folder
            shutil.rmtree(into, ignore_errors=True)
            files, total = copy_sources(root, into)
            if files:
                results.append((("crates", folder), (field("version"), licence, files, total)))
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("list", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--only", help="one ecosystem")
    parser.add_argument("--locked", type=pathlib.Path, help="manifest whose versions to fetch")
    arguments = parser.parse_args()
    base = arguments.out.resolve()
    base.mkdir(parents=True, exist_ok=True)
    entries, held_out = [], set()
    for line in arguments.list.read_text().splitlines():
        fields = line.split("#")[0].split()
        if fields:
            entries.append((fields[0], fields[1]))
            held_out |= {entries[-1]} if fields[2:] == ["held-out"] else set()
    versions = {}
    if arguments.locked:
        for line in arguments.locked.read_text().splitlines()[1:]:
            ecosystem, name, version = line.split("\t")[:3]
            versions[(ecosystem, name)] = version
        entries = [entry for entry in entries if entry in versions]
    if arguments.only:
        entries = [entry for entry in entries if entry[0] == arguments.only]
    if any(entry[0].startswith("debian") for entry in entries):
        debian_state(base)
    others = [entry for entry in entries if entry[0] != "crates"]
    rows = {}
    manifest = base / "manifest.tsv"
    if manifest.exists():
        for line in manifest.read_text().splitlines()[1:]:
            fields = line.split("\t")
            rows[tuple(fields[:2])] = line

    def note(entry, outcome):
        if isinstance(outcome, str):
            print(f"{entry[0]} {entry[1]}: {outcome}", flush=True)
            return
        version, licence, files, total = outcome
        newest = (entry[0], entry[1].removesuffix("-" + version))
        use = "held-out" if newest in held_out else "train"
        rows[entry] = "\t".join(map(str, (*entry, version, licence.replace("\t", " "), files, total, use)))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for entry, outcome in pool.map(lambda entry: fetch(entry, base, versions), others):
            note(entry, outcome)
    names = [entry[1] for entry in entries if entry[0] == "crates"]
    if names:
        for entry, outcome in crates(names, base, versions):
            note(entry, outcome)
    header = "ecosystem\tname\tversion\tlicence\tfiles\tbytes\tuse"
    manifest.write_text("\n".join([header, *(rows[key] for key in sorted(rows))]) + "\n")
    print(f"{len(rows)} packages in {manifest}")


if __name__ == "__main__":
    sys.exit(main())
