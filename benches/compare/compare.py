"""Compares sparsely with other engines on the same vectors, one thread, one run.

Reads documents and queries as .csr, computes the float ground truth, builds each engine's index (or
takes the one built before), times single queries, and prints one table: recall against the float
ground truth, mean, p50 and p99 latency, bytes a document, build seconds, peak memory of the build.

Each engine builds and searches in a process of its own, so that memory is its own; all of them run
before the table is printed, on the same vectors. A query is timed in several rounds over all
queries and its least time counts, for every engine alike, so that a busy machine disturbs less.
An engine that is not installed, or does not take the data, is named and left out.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

try:
    import numpy as np
    import scipy.sparse as sp
except ImportError:
    sys.exit("numpy and scipy are missing: run compare.sh, which installs them")

HERE = Path(__file__).parent


def main():
    arguments = parse_arguments()
    if arguments.child:
        return child(arguments)
    work = Path(arguments.work)
    work.mkdir(parents=True, exist_ok=True)
    truth = ground_truth(arguments, work)
    rows = []
    for name in arguments.engines.split(","):
        built = work / f"{name}-{stem(arguments)}-built.json"
        if arguments.rebuild or not built.exists():
            print(f"building {name}", file=sys.stderr, flush=True)
            run_child(arguments, "build", name, built)
        if built.exists() and not arguments.build_only:
            print(f"searching {name}", file=sys.stderr, flush=True)
            found = work / f"{name}-{stem(arguments)}-found.json"
            found.unlink(missing_ok=True)
            run_child(arguments, "search", name, found)
            if found.exists():
                rows += table_rows(name, json.loads(built.read_text()), json.loads(found.read_text()), truth)
    if rows:
        rows.sort(key=lambda row: (row["engine"], row["setting"].split(",")[0], row["mean_us"]))
        report(rows, arguments)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--documents", required=True, help="documents, .csr")
    parser.add_argument("--queries", required=True, help="queries, .csr")
    parser.add_argument("--work", default="target/compare", help="where indexes are kept")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--limit", type=int, default=500, help="how many queries")
    parser.add_argument("--rounds", type=int, default=3, help="times that each query is timed; the least counts")
    parser.add_argument("--engines", default="sparsely,seismic,kannolo,qdrant,pisa")
    parser.add_argument("--vectors", default="target/release/examples/vectors")
    parser.add_argument("--threads", type=int, default=2, help="threads of every build")
    parser.add_argument("--json", help="also write the rows here")
    parser.add_argument("--plot", help="also draw recall against latency here (.svg or .png)")
    parser.add_argument("--build-only", action="store_true")
    parser.add_argument("--rebuild", action="store_true", help="build again what was built before")
    parser.add_argument("--child", choices=["build", "search"], help=argparse.SUPPRESS)
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    return parser.parse_args()


# One engine in a process of its own


def run_child(arguments, action, name, out):
    command = [sys.executable, __file__, *sys.argv[1:], "--child", action, "--engine", name, "--out", str(out)]
    threads = str(arguments.threads if action == "build" else 1)
    environment = os.environ | {"RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    # What peers print must not get into the table.
    subprocess.run(command, env=environment, stdout=sys.stderr, check=False)


def child(arguments):
    from engines import ENGINES

    engine_class = ENGINES.get(arguments.engine)
    if engine_class is None:
        sys.exit(f"unknown engine {arguments.engine}; known: {', '.join(ENGINES)}")
    try:
        engine = engine_class(arguments, Path(arguments.work) / f"{arguments.engine}-{stem(arguments)}")
        answer = build(engine) if arguments.child == "build" else search(arguments, engine)
    except ImportError as error:
        sys.exit(f"{arguments.engine} is left out: {error}")
    except Exception as error:  # a peer may fail in ways of its own; the others still count
        sys.exit(f"{arguments.engine} is left out: {type(error).__name__}: {error}")
    Path(arguments.out).write_text(json.dumps(answer))


def build(engine):
    """Per build setting: seconds, bytes a document, peak memory."""
    documents = documents_count(engine.arguments)
    built = {}
    for setting in engine.builds():
        started = time.perf_counter()
        answer = engine.build(setting) or {}
        seconds = answer.get("seconds", time.perf_counter() - started)
        built[setting] = {
            "seconds": seconds,
            "bytes_per_document": size(engine.files(setting)) / documents,
            "peak_mib": answer.get("peak_mib", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }
    return built


def search(arguments, engine):
    """Per build and search setting: the ids that each query found, and its least time."""
    queries = read_csr(arguments.queries)[: arguments.limit]
    vectors = [
        (queries.indices[start:end].astype(np.int32), queries.data[start:end].astype(np.float32))
        for start, end in zip(queries.indptr, queries.indptr[1:])
    ]
    found = []
    for setting in engine.builds():
        for name, ask in engine.searches(setting):
            if isinstance(ask, dict):
                found.append({"build": setting, "search": name, **ask})
                continue
            for components, values in vectors[:50]:
                ask(components, values)
            times = np.full(len(vectors), np.inf)
            for _ in range(arguments.rounds):
                ids = []
                for at, (components, values) in enumerate(vectors):
                    started = time.perf_counter_ns()
                    answer = ask(components, values)
                    times[at] = min(times[at], (time.perf_counter_ns() - started) / 1000)
                    ids.append(engine.ids(answer))
            found.append({"build": setting, "search": name, "ids": ids, "times": times.tolist()})
    return found


def size(files):
    """Bytes that are really there: some engines make files far longer than what they hold."""
    return sum(min(file.stat().st_size, file.stat().st_blocks * 512) for file in files if file.is_file())


# Vectors and truth


def read_csr(path):
    """The Big-ANN layout: int64 rows, columns, non-zeros; int64 indptr; int32 indices; f32 data."""
    rows, columns, nonzeros = np.fromfile(path, dtype="<i8", count=3)
    at = 24
    indptr = np.fromfile(path, dtype="<i8", count=rows + 1, offset=at)
    at += 8 * (rows + 1)
    indices = np.fromfile(path, dtype="<i4", count=nonzeros, offset=at)
    at += 4 * nonzeros
    data = np.fromfile(path, dtype="<f4", count=nonzeros, offset=at)
    return sp.csr_matrix((data, indices, indptr), shape=(rows, columns))


def ground_truth(arguments, work):
    """Per query the ids of the best documents by float scores."""
    name = work / f"truth-{stem(arguments)}-{Path(arguments.queries).stem}-{arguments.limit}-{arguments.top}.npy"
    if name.exists():
        return np.load(name)
    queries = read_csr(arguments.queries)[: arguments.limit]
    documents = read_csr(arguments.documents)
    best_ids = np.zeros((queries.shape[0], 0), dtype=np.int64)
    best_scores = np.zeros((queries.shape[0], 0), dtype=np.float32)
    for start in range(0, documents.shape[0], 50_000):
        scores = (queries @ documents[start : start + 50_000].T).toarray()
        found = np.argpartition(-scores, min(arguments.top, scores.shape[1] - 1), axis=1)[:, : arguments.top + 1]
        best_scores = np.hstack([best_scores, np.take_along_axis(scores, found, axis=1)])
        best_ids = np.hstack([best_ids, found + start])
        order = np.argsort(-best_scores, axis=1)[:, : arguments.top]
        best_scores = np.take_along_axis(best_scores, order, axis=1)
        best_ids = np.take_along_axis(best_ids, order, axis=1)
    np.save(name, best_ids)
    return best_ids


def stem(arguments):
    return Path(arguments.documents).stem


def documents_count(arguments):
    return int(np.fromfile(arguments.documents, dtype="<i8", count=1)[0])


# The table and the plot


def table_rows(name, built, found, truth):
    rows = []
    for run in found:
        hits = sum(len(set(map(int, ids)) & set(map(int, true))) for ids, true in zip(run["ids"], truth))
        times = np.array(run["times"])
        note = built[run["build"]]
        setting = ", ".join(part for part in [run["build"], run["search"]] if part)
        rows.append(
            {
                "engine": name,
                "setting": setting,
                "recall": hits / truth.size,
                "mean_us": float(times.mean()),
                "p50_us": float(np.percentile(times, 50)),
                "p99_us": float(np.percentile(times, 99)),
                "bytes_per_document": note["bytes_per_document"],
                "build_seconds": note["seconds"],
                "peak_mib": note["peak_mib"],
            }
        )
    return rows


def report(rows, arguments):
    top = arguments.top
    print(f"{documents_count(arguments):,} documents, top {top}, one thread, {os.cpu_count()} cores\n")
    print(f"| engine | setting | recall@{top} | mean us | p50 us | p99 us | bytes/doc | build s | peak MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            "| {engine} | {setting} | {recall:.4f} | {mean_us:.0f} | {p50_us:.0f} | {p99_us:.0f} "
            "| {bytes_per_document:.0f} | {build_seconds:.0f} | {peak_mib:.0f} |".format(**row)
        )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1))
    if arguments.plot:
        plot(rows, arguments)


def plot(rows, arguments):
    try:
        import matplotlib
    except ImportError:
        print("no plot: matplotlib is missing", file=sys.stderr)
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for engine in dict.fromkeys(row["engine"] for row in rows):
        mine = sorted((row for row in rows if row["engine"] == engine), key=lambda row: row["recall"])
        axes.plot([row["recall"] for row in mine], [row["mean_us"] for row in mine], marker="o", label=engine)
    axes.set_yscale("log")
    axes.set_xlabel(f"recall@{arguments.top} against exact float scoring")
    axes.set_ylabel("mean latency of a query, microseconds")
    axes.set_title(f"{documents_count(arguments):,} documents, one thread")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(arguments.plot)


if __name__ == "__main__":
    main()
