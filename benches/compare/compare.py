"""Compares sparsely with other engines on the same vectors, one thread, one run.

Reads documents and queries as .csr, computes the float ground truth, builds each engine's index (or
takes the one built before), times single queries, and prints one table: recall@k against the float
ground truth, mean, p50 and p99 latency, bytes a document, build seconds, peak memory.

Each peer runs at several settings, so that latency is compared at equal recall. An engine that is
not installed is named and left out.
"""

import argparse
import json
import os
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

try:
    import numpy as np
    import scipy.sparse as sp
except ImportError:
    sys.exit("numpy and scipy are missing: run compare.sh, which installs them")


def main():
    arguments = parse_arguments()
    work = Path(arguments.work)
    work.mkdir(parents=True, exist_ok=True)
    queries = read_csr(arguments.queries)[: arguments.limit]
    truth = ground_truth(arguments, queries, work)
    rows = []
    for name in arguments.engines.split(","):
        engine = ENGINES.get(name)
        if engine is None:
            sys.exit(f"unknown engine {name}; known: {', '.join(ENGINES)}")
        try:
            rows += engine(arguments, queries, truth, work)
        except ImportError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
    rows.sort(key=lambda row: (row["engine"], row["mean_us"]))
    report(rows, arguments)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--documents", required=True, help="documents, .csr")
    parser.add_argument("--queries", required=True, help="queries, .csr")
    parser.add_argument("--work", default="target/compare", help="where indexes are kept")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--limit", type=int, default=500, help="how many queries")
    parser.add_argument("--engines", default="sparsely,seismic,kannolo")
    parser.add_argument("--vectors", default="target/release/examples/vectors")
    parser.add_argument("--json", help="also write the rows here")
    parser.add_argument("--plot", help="also draw recall against latency here (.svg or .png)")
    parser.add_argument("--build-only", action="store_true")
    return parser.parse_args()


# Vectors


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


def ground_truth(arguments, queries, work):
    """Per query the score of the k-th document and the set of all that reach it, so that ties at
    the cut count for whoever finds any of them."""
    name = f"truth-{stem(arguments)}-{queries.shape[0]}-{arguments.top}.npz"
    if (work / name).exists():
        stored = np.load(work / name)
        return stored["ids"], stored["cuts"]
    documents = read_csr(arguments.documents)
    best_ids = np.zeros((queries.shape[0], 0), dtype=np.int64)
    best_scores = np.zeros((queries.shape[0], 0), dtype=np.float32)
    for start in range(0, documents.shape[0], 50_000):
        scores = (queries @ documents[start : start + 50_000].T).toarray()
        found = np.argpartition(-scores, min(arguments.top, scores.shape[1] - 1), axis=1)
        found = found[:, : arguments.top + 1]
        best_scores = np.hstack([best_scores, np.take_along_axis(scores, found, axis=1)])
        best_ids = np.hstack([best_ids, found + start])
        order = np.argsort(-best_scores, axis=1)[:, : arguments.top]
        best_scores = np.take_along_axis(best_scores, order, axis=1)
        best_ids = np.take_along_axis(best_ids, order, axis=1)
    np.savez(work / name, ids=best_ids, cuts=best_scores[:, -1])
    return best_ids, best_scores[:, -1]


def recall(found, truth):
    ids, _ = truth
    hits = sum(len(set(map(int, a)) & set(map(int, b))) for a, b in zip(found, ids))
    return hits / ids.size


def stem(arguments):
    return Path(arguments.documents).stem


# Engines: each returns rows of the table


def sparsely(arguments, queries, truth, work):
    """The `vectors` program of this repository, in its modes."""
    program = Path(arguments.vectors)
    if not program.exists():
        raise ImportError(f"{program} is missing: cargo build --release --example vectors")
    index = work / f"sparsely-{stem(arguments)}"
    note = work / f"sparsely-{stem(arguments)}.json"
    if not note.exists():
        command = [program, "build", arguments.documents, index, "--threads", "2", "--json"]
        note.write_text(run_json(command)[1])
    if arguments.build_only:
        return []
    built = json.loads(note.read_text())
    rows = []
    for mode in ["exact", "approximate"]:
        run = work / f"sparsely-{stem(arguments)}-{mode}.gt"
        command = [program, "search", index, arguments.queries, "--top", str(arguments.top)]
        command += ["--mode", mode, "--limit", str(queries.shape[0]), "--run", run, "--json"]
        answer = run_json(command)[0]
        rows.append(
            {
                "engine": "sparsely",
                "setting": mode,
                "recall": recall(read_ground_truth(run), truth),
                "mean_us": answer["mean_us"],
                "p50_us": answer["p50_us"],
                "p99_us": answer["p99_us"],
                "bytes_per_document": built["bytes_per_document"],
                "build_seconds": built["seconds"],
                "peak_mib": built["peak_rss_bytes"] / 2**20,
            }
        )
    return rows


SEISMIC_BUILDS = {
    "defaults": {},
    "4000 postings": {"n_postings": 4000, "centroid_fraction": 0.2, "summary_energy": 0.5},
}
SEISMIC_SEARCHES = [(4, 0.9), (6, 0.9), (8, 0.8), (10, 0.7), (12, 0.7), (16, 0.6), (20, 0.5), (30, 0.5)]


def seismic(arguments, queries, truth, work):
    from seismic import SeismicIndexRaw

    rows = []
    for setting, options in SEISMIC_BUILDS.items():
        path = work / f"seismic-{stem(arguments)}-{setting.replace(' ', '-')}"
        note = path.with_suffix(".json")
        if not note.exists():
            documents = work / f"{stem(arguments)}.bin"
            write_bin(arguments.documents, documents)
            started = time.perf_counter()
            index = SeismicIndexRaw.build(str(documents), **options)
            seconds = time.perf_counter() - started
            index.save(str(path))
            note.write_text(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}))
        if arguments.build_only:
            continue
        index = SeismicIndexRaw.load(str(path))
        built = json.loads(note.read_text())
        for cut, factor in SEISMIC_SEARCHES:

            def search(components, values):
                return index.search(components, values, arguments.top, cut, factor, 0, False)

            row = timed(search, queries, truth)
            row |= {
                "engine": "seismic",
                "setting": f"{setting}, cut {cut}, factor {factor}",
                "bytes_per_document": path.stat().st_size / documents_count(arguments),
                "build_seconds": built["seconds"],
                "peak_mib": built["peak_mib"],
            }
            rows.append(row)
    return rows


def kannolo(arguments, queries, truth, work):
    from kannolo import SparsePlainHNSW

    path = work / f"kannolo-{stem(arguments)}"
    note = path.with_suffix(".json")
    if not note.exists():
        documents = read_csr(arguments.documents)
        started = time.perf_counter()
        index = SparsePlainHNSW.build_from_arrays(
            documents.indices.astype(np.int32),
            documents.data.astype(np.float32),
            documents.indptr.astype(np.int32),
            m=16,
            ef_construction=100,
        )
        seconds = time.perf_counter() - started
        index.save(str(path))
        note.write_text(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}))
    if arguments.build_only:
        return []
    index = SparsePlainHNSW.load(str(path))
    built = json.loads(note.read_text())
    rows = []
    for ef in [20, 50, 100, 200, 400]:

        def search(components, values):
            scores, ids = index.search(components, values, arguments.top, ef)
            return list(zip(scores, ids))

        row = timed(search, queries, truth)
        row |= {
            "engine": "kannolo",
            "setting": f"HNSW 16, ef {ef}",
            "bytes_per_document": path.stat().st_size / documents_count(arguments),
            "build_seconds": built["seconds"],
            "peak_mib": built["peak_mib"],
        }
        rows.append(row)
    return rows


ENGINES = {"sparsely": sparsely, "seismic": seismic, "kannolo": kannolo}


def timed(search, queries, truth):
    """One pass to warm up, one that is timed. The times hold the call from Python, some
    microseconds, which is in the peers' disfavor and small beside what they take."""
    vectors = [(queries[row].indices.astype(np.int32), queries[row].data) for row in range(queries.shape[0])]
    for components, values in vectors[:50]:
        search(components, values)
    found, times = [], []
    for components, values in vectors:
        started = time.perf_counter_ns()
        answer = search(components, values)
        times.append((time.perf_counter_ns() - started) / 1000)
        found.append([document for _, document in answer])
    return {
        "recall": recall(found, truth),
        "mean_us": float(np.mean(times)),
        "p50_us": float(np.percentile(times, 50)),
        "p99_us": float(np.percentile(times, 99)),
    }


# Files


def write_bin(source, target):
    """u32 vectors, then per vector u32 count, the ids, the f32 values."""
    matrix = read_csr(source)
    with open(target, "wb") as out:
        out.write(struct.pack("<I", matrix.shape[0]))
        for row in range(matrix.shape[0]):
            start, end = matrix.indptr[row], matrix.indptr[row + 1]
            out.write(struct.pack("<I", end - start))
            out.write(matrix.indices[start:end].astype("<u4").tobytes())
            out.write(matrix.data[start:end].astype("<f4").tobytes())


def read_ground_truth(path):
    count, top = np.fromfile(path, dtype="<u4", count=2)
    return np.fromfile(path, dtype="<i4", count=count * top, offset=8).reshape(count, top)


def documents_count(arguments):
    return int(np.fromfile(arguments.documents, dtype="<i8", count=1)[0])


def run_json(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stderr}")
    return json.loads(done.stdout), done.stdout


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# The table and the plot


def report(rows, arguments):
    print(f"{documents_count(arguments):,} documents, top {arguments.top}, one thread, {os.cpu_count()} cores\n")
    print("| engine | setting | recall | mean us | p50 us | p99 us | bytes/doc | build s | peak MiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            "| {engine} | {setting} | {recall:.4f} | {mean_us:.0f} | {p50_us:.0f} | {p99_us:.0f} "
            "| {bytes_per_document:.0f} | {build_seconds:.0f} | {peak_mib:.0f} |".format(**row)
        )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=1))
    if arguments.plot:
        plot(rows, arguments.plot)


def plot(rows, path):
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
    axes.set_xlabel("recall against exact float scoring")
    axes.set_ylabel("mean latency of a query, microseconds")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
