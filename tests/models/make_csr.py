"""Makes the end of two small models of sentence-transformers, each a SparseAutoEncoder over the pooled states of `bert`,
and the vectors that sentence-transformers itself computes with them.

    pip install sentence-transformers
    python tests/models/make_csr.py

Writes `csr/NAME` without the transformer, whose files lie in `bert`, and `csr/golden.json`. Weights are from a seed.
Made with torch 2.15.0, sentence-transformers 6.2.0.
"""

import json
import pathlib
import shutil
import tempfile

import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder

HERE = pathlib.Path(__file__).parent
OUT = HERE / "csr"
TEXTS = ["fn main() {}", "a lock that is taken once", "", "def sort(items): return sorted(items)", "lock"]
WIDTH, LATENTS = 16, 40


def model(pooling, k, layer_norm, unit):
    autoencoder = SparseAutoEncoder(input_dim=WIDTH, hidden_dim=LATENTS, k=k, k_aux=8, normalize=layer_norm)
    generator = torch.Generator().manual_seed(11 + k)
    with torch.no_grad():
        for tensor in [autoencoder.encoder.weight, autoencoder.pre_bias, autoencoder.latent_bias]:
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)
    modules = [Transformer(str(HERE / "bert")), Pooling(WIDTH, pooling)]
    modules += [Normalize()] if unit else []
    return SparseEncoder(modules=[*modules, autoencoder], device="cpu")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    golden = {"texts": TEXTS, "vectors": {}}
    for name, arguments in {"mean": ("mean", 5, False, True), "cls": ("cls", 7, True, False)}.items():
        encoder = model(*arguments)
        found = encoder.encode(TEXTS, convert_to_sparse_tensor=False)
        golden["vectors"][name] = [
            [[int(at), float(row[at])] for at in torch.nonzero(row).flatten()] for row in found
        ]
        with tempfile.TemporaryDirectory() as folder:
            encoder.save(folder)
            for file in ["modules.json", *(path for path in pathlib.Path(folder).glob("[1-9]_*/*"))]:
                file = pathlib.Path(folder) / file
                target = OUT / name / file.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
    (OUT / "golden.json").write_text(json.dumps(golden) + "\n")


main()
