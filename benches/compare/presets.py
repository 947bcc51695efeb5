"""Vectors of a vocabulary beside vectors of an autoencoder's latents, in one run.

Generates both presets (30,522 terms, about 130 a document; 131,072 terms, 400 a document), builds an
index of each, times exact queries on one thread, and compares the answers to a sample of them with
exhaustive scoring. Other vectors can take part: --also NAME DOCUMENTS.csr QUERIES.csr. Needs nothing
but Python and the `vectors` program:

    cargo build --release --example vectors --features json
    python benches/compare/presets.py --documents 1000000
"""

import argparse
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path


def main():
    arguments = parse_arguments()
    program = Path(arguments.vectors).resolve()
    if not program.exists():
        sys.exit(f"{program} is missing: cargo build --release --example vectors --features json")
    work = Path(arguments.work)
    work.mkdir(parents=True, exist_ok=True)
    print(
        "| vectors | documents | terms/doc | build s | peak MiB | bytes/doc | bytes/posting "
        "| mean us | p50 us | p99 us | exhaustive us | compared |"
    )
    print("| --- " * 12 + "|")
    for preset in arguments.presets.split(",") if arguments.presets else []:
        documents = work / f"{preset}-{arguments.documents}.csr"
        queries = work / f"{preset}-{arguments.documents}-queries.csr"
        if not queries.exists():
            run(program, "generate", documents, "--preset", preset, "--documents", arguments.documents,
                "--queries", arguments.queries)  # fmt: skip
        measure(arguments, program, work, preset, documents, queries)
        if not arguments.keep:
            documents.unlink()
            queries.unlink()
    for name, documents, queries in arguments.also:
        measure(arguments, program, work, name, documents, queries)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--compared", type=int, default=20, help="queries that are answered exhaustively, too: slow")
    parser.add_argument("--presets", default="splade,sae")
    parser.add_argument("--also", nargs=3, action="append", default=[], metavar=("NAME", "DOCUMENTS", "QUERIES"))
    parser.add_argument("--threads", type=int, default=2, help="threads of building")
    parser.add_argument("--memory", type=int, default=256, help="memory for building, in MiB")
    parser.add_argument("--rounds", type=int, default=3, help="times that each query is timed; the least counts")
    parser.add_argument("--work", default="target/presets", help="where vectors and indexes are kept")
    parser.add_argument("--keep", action="store_true", help="keep the generated vectors")
    parser.add_argument("--vectors", default="target/release/examples/vectors")
    return parser.parse_args()


def measure(arguments, program, work, name, documents, queries):
    index = work / f"{name}-index"
    shutil.rmtree(index, ignore_errors=True)
    built = report(program, "build", documents, index, "--threads", arguments.threads, "--memory", arguments.memory)
    print(f"{name}: {json.dumps(built)}", file=sys.stderr)
    search = ["search", index, queries, "--top", 10]
    found = report(program, *search, "--rounds", arguments.rounds)
    some = [*search, "--limit", arguments.compared]
    runs = [work / f"{name}-{mode}.gt" for mode in ["exact", "exhaustive"]]
    report(program, *some, "--mode", "exact", "--run", runs[0])
    all_scored = report(program, *some, "--mode", "exhaustive", "--run", runs[1])
    if runs[0].read_bytes() != runs[1].read_bytes():
        sys.exit(f"{name}: exact answers differ from exhaustive ones, see {runs[0]} and {runs[1]}")
    with open(documents, "rb") as file:
        rows, _, postings = struct.unpack("<3q", file.read(24))
    print(
        f"| {name} | {rows:,} | {postings / rows:.0f} | {built['seconds']:.1f} "
        f"| {built['peak_allocated_bytes'] / 2**20:.0f} | {built['bytes'] / rows:.0f} | {built['bytes'] / postings:.2f} "
        f"| {found['mean_us']:.0f} | {found['p50_us']:.0f} | {found['p99_us']:.0f} "
        f"| {all_scored['mean_us']:.0f} | {arguments.compared} |",
        flush=True,
    )
    shutil.rmtree(index)
    for path in runs:
        path.unlink()


def report(program, *parts):
    return json.loads(run(program, *parts, "--json"))


def run(program, *parts):
    done = subprocess.run([str(program), *map(str, parts)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, parts))}: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()
