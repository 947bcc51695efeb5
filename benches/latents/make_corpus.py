"""A corpus of any size and width out of the latents of real passages.

    python benches/latents/make_corpus.py PASSAGES OUT.csr N [--queries QUERIES OUT-QUERIES.csr] [--splits 8] [--top 400]

PASSAGES and QUERIES are files or several between commas: `.csr` as `examples/sae encode` writes it, or `.jsonl` as
`examples/inspect export` writes an index (its impacts are the weights then).

Weights of latents are maxima over tokens, so the element-wise maximum of two related passages behaves like the vector of
a longer one: a document is the maximum of a passage and one of its 16 nearest neighbors, each scaled and jittered, of
which the heaviest latents are kept. A wider autoencoder splits a latent by what it stands in; here passages are put into
as many clusters as `--splits` says, by the latents that tell them apart, and each cluster has latents of its own. A query
goes to the cluster of the passage that answers it best. So lists are as long, and as unequal, as those of real latents of
an autoencoder that many times wider would be if its latents were split evenly; that is an assumption, and the only one.
"""

import argparse
import array
import json
import tempfile

import numpy as np
import scipy.sparse as sp

CHUNK = 10_000


def read(paths):
    matrices = [read_lines(path) if path.endswith(".jsonl") else read_csr(path) for path in paths.split(",")]
    return sp.vstack(matrices).tocsr() if len(matrices) > 1 else matrices[0]


def read_lines(path):
    terms, weights, ends = array.array("i"), array.array("f"), [0]
    with open(path) as file:
        header = json.loads(next(file))
        for line in file:
            vector = json.loads(line).get("vector")
            if vector is None:  # The last line says how many there were.
                break
            terms.extend(vector["terms"])
            weights.extend(vector["impacts"])
            ends.append(len(terms))
    scale = np.float32(header["weight_limit"] / 255)
    return sp.csr_matrix((np.array(weights) * scale, np.array(terms), ends), shape=(len(ends) - 1, header["term_count"]))


def read_csr(path):
    with open(path, "rb") as file:
        rows, columns, count = np.fromfile(file, "<i8", 3)
        ends = np.fromfile(file, "<i8", rows + 1)
        terms, weights = np.fromfile(file, "<i4", count), np.fromfile(file, "<f4", count)
    return sp.csr_matrix((weights, terms, ends), shape=(rows, columns))


class Writer:
    """Where rows end has to stand first, so the two long arrays wait in temporary files."""

    def __init__(self, path, columns):
        self.path, self.columns, self.ends = path, columns, [np.zeros(1, "<i8")]
        self.parts = [tempfile.TemporaryFile(dir=path.rsplit("/", 1)[0] if "/" in path else "."), tempfile.TemporaryFile(dir=path.rsplit("/", 1)[0] if "/" in path else ".")]

    def add(self, matrix):
        matrix.sort_indices()
        self.ends.append(self.ends[-1][-1] + matrix.indptr[1:].astype("<i8"))
        matrix.indices.astype("<i4").tofile(self.parts[0])
        matrix.data.astype("<f4").tofile(self.parts[1])

    def finish(self):
        ends = np.concatenate(self.ends)
        with open(self.path, "wb") as file:
            np.array([len(ends) - 1, self.columns, ends[-1]], "<i8").tofile(file)
            ends.tofile(file)
            for part in self.parts:
                part.seek(0)
                while block := part.read(1 << 24):
                    file.write(block)
        return ends[-1] / (len(ends) - 1)


def heaviest(matrix, top):
    """Of each row the `top` heaviest."""
    matrix = matrix.tocsr()
    keep = np.ones(matrix.nnz, bool)
    for start, end in zip(matrix.indptr[:-1], matrix.indptr[1:]):
        if end - start > top:
            keep[start + np.argpartition(matrix.data[start:end], end - start - top)[: end - start - top]] = False
    ends = np.concatenate([[0], np.cumsum(keep)])[matrix.indptr]
    return sp.csr_matrix((matrix.data[keep], matrix.indices[keep], ends), shape=matrix.shape)


def telling(matrix):
    """Rows of length 1 in which frequent latents count less."""
    share = np.asarray((matrix > 0).sum(0)).ravel() / matrix.shape[0]
    matrix = (matrix @ sp.diags(np.log(1 / np.maximum(share, 1 / matrix.shape[0])).astype(np.float32))).tocsr()
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    return (sp.diags((1 / np.maximum(lengths, 1e-9)).astype(np.float32)) @ matrix).tocsr()


def clusters(matrix, count, random, rounds=6):
    """Spherical k-means."""
    centers = matrix[random.choice(matrix.shape[0], count, replace=False)].toarray()
    for _ in range(rounds):
        found = np.asarray(matrix @ centers.T).argmax(1)
        for at in range(count):
            if (found == at).any():
                centers[at] = np.asarray(matrix[found == at].mean(0)).ravel()
                centers[at] /= max(np.linalg.norm(centers[at]), 1e-9)
    return found


def shifted(matrix, cluster, splits):
    """The same rows among the latents of their clusters."""
    lengths = np.diff(matrix.indptr)
    columns = matrix.indices + np.repeat(cluster, lengths) * matrix.shape[1]
    return sp.csr_matrix((matrix.data, columns, matrix.indptr), shape=(matrix.shape[0], matrix.shape[1] * splits))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("passages")
    parser.add_argument("out")
    parser.add_argument("documents", type=int)
    parser.add_argument("--queries", nargs=2)
    parser.add_argument("--splits", type=int, default=8)
    parser.add_argument("--top", type=int, default=400)
    parser.add_argument("--query-top", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random = np.random.default_rng(arguments.seed)
    passages = read(arguments.passages)
    told = telling(passages)
    cluster = clusters(told, arguments.splits, random)
    base = shifted(passages, cluster, arguments.splits)
    print("passages", passages.shape, "of clusters", np.bincount(cluster, minlength=arguments.splits).tolist(), flush=True)
    near = np.zeros((passages.shape[0], 16), np.int64)
    for start in range(0, passages.shape[0], 500):
        scores = (told[start : start + 500] @ told.T).toarray()
        scores[cluster[start : start + 500, None] != cluster[None]] = -1
        scores[np.arange(scores.shape[0]), start + np.arange(scores.shape[0])] = -1
        near[start : start + 500] = np.argpartition(-scores, 16, axis=1)[:, :16]
    if arguments.queries:
        queries = read(arguments.queries[0])
        best = (queries @ passages.T).toarray().argmax(1)
        queries = heaviest(shifted(queries, cluster[best], arguments.splits), arguments.query_top)
        writer = Writer(arguments.queries[1], base.shape[1])
        writer.add(queries)
        print("queries", queries.shape, "latents", round(writer.finish(), 1), flush=True)
    writer = Writer(arguments.out, base.shape[1])
    for start in range(0, arguments.documents, CHUNK):
        count = min(CHUNK, arguments.documents - start)
        first = random.integers(0, passages.shape[0], count)
        document = None
        for rows in [first, near[first, random.integers(0, 16, count)]]:
            scale = 0.75 + 0.35 * random.random(count, dtype=np.float32)
            part = sp.diags(scale) @ base[rows]
            part.data *= 0.85 + 0.3 * random.random(part.nnz, dtype=np.float32)
            document = part if document is None else document.maximum(part)
        writer.add(heaviest(document, arguments.top))
    print("documents", (arguments.documents, base.shape[1]), "latents", round(writer.finish(), 1))


if __name__ == "__main__":
    main()
