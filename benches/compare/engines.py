"""The engines of the comparison. Each says how it builds, at which settings it searches, and where
its files are; `compare.py` does the timing.

`builds` names build settings. `searches` yields, for one of them, pairs of a name and a function of a
query's terms and weights; or, for an engine that is a program, what it measured by itself.
"""

import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
from compare import read_csr


class Engine:
    BUILDS = {"": {}}

    def __init__(self, arguments, base):
        self.arguments = arguments
        self.base = base

    def builds(self):
        return list(self.BUILDS)

    def path(self, setting):
        suffix = setting.replace(" ", "-")
        return self.base.with_name(f"{self.base.name}-{suffix}" if suffix else self.base.name)

    def files(self, setting):
        """What a search needs of what was built."""
        path = self.path(setting)
        return path.rglob("*") if path.is_dir() else [path]

    def ids(self, answer):
        return [int(document) for document in answer]


class Sparsely(Engine):
    """The `vectors` program of this repository, in its modes."""

    SEARCHES = {
        "exact": ["--mode", "exact"],
        "approximate 0.99": ["--mode", "approximate", "--recall", "0.99"],
        "approximate 0.95": ["--mode", "approximate", "--recall", "0.95"],
        "approximate 0.9": ["--mode", "approximate", "--recall", "0.9"],
        "10 terms, 100 rescored": ["--query-top", "10", "--rescore", "100"],
    }

    def __init__(self, arguments, base):
        super().__init__(arguments, base)
        self.program = Path(arguments.vectors).resolve()
        if not self.program.exists():
            raise ImportError(f"{self.program} is missing: cargo build --release --example vectors")

    def build(self, setting):
        shutil.rmtree(self.path(setting), ignore_errors=True)
        threads = str(self.arguments.threads)
        answer = self.run("build", self.arguments.documents, self.path(setting), "--threads", threads)
        return {"seconds": answer["seconds"], "peak_mib": answer["peak_rss_bytes"] / 2**20}

    def searches(self, setting):
        for name, options in self.SEARCHES.items():
            run = self.base.with_suffix(".gt")
            times = self.base.with_suffix(".times")
            self.run(
                "search", self.path(setting), self.arguments.queries, "--top", self.arguments.top,
                "--limit", self.arguments.limit, "--rounds", self.arguments.rounds,
                "--run", run, "--times", times, *options,
            )  # fmt: skip
            count, top = np.fromfile(run, dtype="<u4", count=2)
            ids = np.fromfile(run, dtype="<i4", count=count * top, offset=8).reshape(count, top)
            yield name, {"ids": ids.tolist(), "times": json.loads(times.read_text())}

    def run(self, *parts):
        done = subprocess.run([str(self.program), *map(str, parts), "--json"], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr.strip())
        return json.loads(done.stdout)


class Seismic(Engine):
    """Approximate only; pyseismic-lsr."""

    BUILDS = {
        "defaults": {},
        "4000 postings": {"n_postings": 4000, "centroid_fraction": 0.2, "summary_energy": 0.5},
    }
    SEARCHES = [(4, 0.9), (6, 0.9), (8, 0.8), (10, 0.7), (12, 0.7), (16, 0.6), (20, 0.5), (30, 0.5)]

    def __init__(self, arguments, base):
        super().__init__(arguments, base)
        from seismic import SeismicIndexRaw

        self.index_class = SeismicIndexRaw

    def build(self, setting):
        documents = self.base.with_suffix(".bin")
        write_bin(self.arguments.documents, documents)
        index = self.index_class.build(str(documents), **self.BUILDS[setting])
        index.save(str(self.path(setting)))
        documents.unlink()

    def searches(self, setting):
        index = self.index_class.load(str(self.path(setting)))
        top = self.arguments.top
        for cut, factor in self.SEARCHES:
            yield f"cut {cut}, factor {factor}", lambda components, values, cut=cut, factor=factor: index.search(
                components, values, top, cut, factor, 0, False
            )

    def ids(self, answer):
        return [int(document) for _, document in answer]


class Kannolo(Engine):
    """A graph, approximate only."""

    BUILDS = {"HNSW 16": {"m": 16, "ef_construction": 150}}
    SEARCHES = [20, 50, 100, 200, 400]

    def __init__(self, arguments, base):
        super().__init__(arguments, base)
        from kannolo import SparsePlainHNSW

        self.index_class = SparsePlainHNSW

    def build(self, setting):
        documents = read_csr(self.arguments.documents)
        index = self.index_class.build_from_arrays(
            documents.indices.astype(np.int32),
            documents.data.astype(np.float32),
            documents.indptr.astype(np.int64),
            **self.BUILDS[setting],
        )
        index.save(str(self.path(setting)))

    def searches(self, setting):
        index = self.index_class.load(str(self.path(setting)))
        for ef in self.SEARCHES:
            yield f"ef {ef}", lambda components, values, ef=ef: index.search(
                components, values, self.arguments.top, ef
            )

    def ids(self, answer):
        return super().ids(answer[1])


class Qdrant(Engine):
    """Exact over f32 weights; qdrant-edge-py, in memory."""

    def __init__(self, arguments, base):
        super().__init__(arguments, base)
        import qdrant_edge

        self.edge = qdrant_edge

    def config(self):
        return self.edge.EdgeConfig(
            sparse_vectors={"v": self.edge.EdgeSparseVectorParams(memory=self.edge.Memory.Pinned)},
            # One segment that is not appendable, so with an immutable index.
            optimizers=self.edge.EdgeOptimizersConfig(
                default_segment_number=1, indexing_threshold=1, max_segment_size=100_000_000
            ),
            max_search_threads=1,
            wal_enabled=False,
        )

    def vector(self, components, values):
        return self.edge.SparseVector(components.tolist(), values.tolist())

    def build(self, setting):
        shutil.rmtree(self.path(setting), ignore_errors=True)
        documents = read_csr(self.arguments.documents)
        shard = self.edge.EdgeShard.create(str(self.path(setting)), self.config())
        for first in range(0, documents.shape[0], 1000):
            points = []
            for row in range(first, min(first + 1000, documents.shape[0])):
                start, end = documents.indptr[row], documents.indptr[row + 1]
                vector = self.vector(documents.indices[start:end], documents.data[start:end])
                points.append(self.edge.Point(row, {"v": vector}))
            shard.update(self.edge.UpdateOperation.upsert_points(points))
        shard.optimize()
        shard.flush()
        shard.close()

    def searches(self, setting):
        shard = self.edge.EdgeShard.load(str(self.path(setting)), self.config())

        def ask(components, values):
            query = self.edge.Query.Nearest(self.vector(components, values), using="v")
            return shard.search(self.edge.SearchRequest(query=query, limit=self.arguments.top))

        yield "exact", ask

    def ids(self, answer):
        return [point.id for point in answer]


class Pisa(Engine):
    """Exact over weights rounded to integers; pyterrier-pisa."""

    ALGORITHMS = ["maxscore", "block_max_maxscore", "block_max_wand"]
    SCALE = 100.0

    def __init__(self, arguments, base):
        super().__init__(arguments, base)
        import pyterrier_pisa

        self.pisa = pyterrier_pisa

    def index(self, setting):
        return self.pisa.PisaIndex(str(self.path(setting)), stemmer="none", stops="none", threads=1)

    def build(self, setting):
        shutil.rmtree(self.path(setting), ignore_errors=True)
        documents = read_csr(self.arguments.documents)

        def rows():
            for row in range(documents.shape[0]):
                start, end = documents.indptr[row], documents.indptr[row + 1]
                terms = (f"t{term}" for term in documents.indices[start:end])
                yield {"docno": str(row), "toks": dict(zip(terms, documents.data[start:end].tolist()))}

        self.index(setting).toks_indexer(scale=self.SCALE).index(rows())
        # The index that is searched is made of the inverted file at the first retrieval.
        next(iter(self.searches(setting)))[1](documents.indices[:1], documents.data[:1])

    def files(self, setting):
        return [file for file in self.path(setting).iterdir() if not file.name.startswith("inv.")]

    def searches(self, setting):
        top = self.arguments.top
        retrieve = self.index(setting).quantized(num_results=top, toks_scale=100.0)
        outputs = dict(
            result_qidxs=np.empty(top, dtype=np.int32),
            result_docnos=np.empty(top, dtype=object),
            result_ranks=np.empty(top, dtype=np.int32),
            result_scores=np.empty(top, dtype=np.float32),
        )
        for algorithm in self.ALGORITHMS:

            def ask(components, values, algorithm=algorithm):
                terms = {f"t{term}": float(value) * 100.0 for term, value in zip(components, values)}
                count = self.pisa._pisathon.retrieve(
                    retrieve._ctxt, algorithm, [(0, terms)], k=top, threads=1,
                    query_weighted=1, pretokenised=True, **outputs,
                )  # fmt: skip
                return outputs["result_docnos"][:count].copy()

            yield algorithm, ask


ENGINES = {"sparsely": Sparsely, "seismic": Seismic, "kannolo": Kannolo, "qdrant": Qdrant, "pisa": Pisa}


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
