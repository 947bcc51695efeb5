"""Makes the tiny models beside this file, and what they should give.

Random weights, a seed, real exporters: each directory is one layout or one kind of output that
people's models have. `golden.json` holds, per model, texts and the vectors that PyTorch and
sentence-transformers compute for them; the Rust tests compare with those.

    python -m venv venv
    venv/bin/pip install torch sentence-transformers onnx onnxruntime
    venv/bin/python tests/models/make.py

Made with torch 2.15.0, sentence-transformers 6.2.0, onnx 1.23.2, onnxruntime 1.31.1.
"""

import json
import pathlib
import shutil
import warnings

import numpy as np
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Router
from sentence_transformers.sparse_encoder.modules import (
    MLMTransformer,
    SparseStaticEmbedding,
    SpladePooling,
)
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
LENGTH = 48

TEXTS = [
    "open the lock file",
    "fn main() { println!(\"hello\"); }",
    "a",
    "Die Größe der Datei überprüfen",
    "открыть файл блокировки",
    "打开锁文件",
    "the quick brown fox jumps over the lazy dog and then the dog opens the file again",
    "",
    " \t\n",
    "\u0001\u0002\u0003",
    "def f(x): return x + 1  # [SEP] and [MASK] in a text",
]


def save_tokenizer(folder):
    """A WordPiece tokenizer with BERT's special tokens, trained on the texts."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=230, special_tokens=special)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    folder.mkdir(parents=True, exist_ok=True)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=LENGTH,
    )
    fast.save_pretrained(folder)
    return fast


def save_bert(folder, terms):
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=terms, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=LENGTH, initializer_range=0.4,
        attn_implementation="eager",
    )
    model = BertForMaskedLM(config).eval()
    with torch.no_grad():
        model.cls.predictions.bias.normal_(-0.5, 0.5)
    model.save_pretrained(folder)
    return model


class Logits(torch.nn.Module):
    def __init__(self, bert):
        super().__init__()
        self.bert = bert

    def forward(self, input_ids, attention_mask, token_type_ids):
        return self.bert(input_ids, attention_mask, token_type_ids).logits


class Narrow(Logits):
    """32-bit inputs and no token types."""

    def forward(self, input_ids, attention_mask):
        return self.bert(input_ids.long(), attention_mask.long()).logits


class Pooled(Logits):
    def forward(self, input_ids, attention_mask):
        logits = self.bert(input_ids, attention_mask).logits
        weights = torch.log1p(torch.relu(logits)) * attention_mask.unsqueeze(-1)
        return weights.max(dim=1).values


class Pairs(Pooled):
    def forward(self, input_ids, attention_mask):
        values, indices = super().forward(input_ids, attention_mask).topk(8, dim=-1)
        return indices, values


class TokenPairs(Logits):
    def forward(self, input_ids, attention_mask):
        values, indices = self.bert(input_ids, attention_mask).logits.topk(6, dim=-1)
        return values, indices


class Hidden(Logits):
    def forward(self, input_ids, attention_mask):
        return self.bert.bert(input_ids, attention_mask).last_hidden_state


class Head(Logits):
    def forward(self, hidden):
        return self.bert.cls(hidden)


class TokenWeights(Logits):
    """The sparse head of BGE-M3: one weight per token of the input, and a dense vector."""

    def __init__(self, bert):
        super().__init__(bert)
        torch.manual_seed(11)
        self.linear = torch.nn.Linear(16, 1)
        torch.nn.init.constant_(self.linear.bias, 0.8)

    def forward(self, input_ids, attention_mask):
        hidden = self.bert.bert(input_ids, attention_mask).last_hidden_state
        return hidden[:, 0], torch.relu(self.linear(hidden))


class Decoder(torch.nn.Module):
    """Asks for positions, as decoders do, and is padded on the left."""

    def __init__(self, terms):
        super().__init__()
        torch.manual_seed(13)
        self.tokens = torch.nn.Embedding(terms, 16)
        self.positions = torch.nn.Embedding(LENGTH, 16)
        self.queries = torch.nn.Linear(16, 16)
        self.out = torch.nn.Linear(16, terms)

    def forward(self, input_ids, attention_mask, position_ids):
        hidden = self.tokens(input_ids) + self.positions(position_ids)
        scores = self.queries(hidden) @ hidden.transpose(1, 2) / 4
        scores = scores.masked_fill(attention_mask.unsqueeze(1) == 0, -1e9)
        return self.out(hidden + torch.softmax(scores, dim=-1) @ hidden)


def export(module, path, inputs, outputs, fixed=False, dtype=torch.int64):
    path.parent.mkdir(parents=True, exist_ok=True)
    if inputs == ["hidden"]:
        example, axes = (torch.randn(9, 16),), {"hidden": {0: "tokens"}, "logits": {0: "tokens"}}
    else:
        example = tuple(torch.ones(2, 7, dtype=dtype) for _ in inputs)
        axes = {name: {0: "batch", 1: "sequence"} for name in inputs + outputs}
        if fixed:
            example, axes = tuple(torch.ones(3, 16, dtype=dtype) for _ in inputs), None
    torch.onnx.export(
        module.eval(), example, str(path), input_names=inputs, output_names=outputs,
        dynamic_axes=axes, opset_version=17, dynamo=False,
    )


def row(vector):
    """A dense vector as term and weight."""
    return [[int(at), round(float(vector[at]), 6)] for at in np.nonzero(vector > 0)[0]]


def alone(module, tokenizer, text, arguments):
    """A text by itself, without filling: what every batch must reproduce."""
    encoded = tokenizer([text], truncation=True, max_length=LENGTH, return_tensors="pt")
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids),
             "position_ids": mask.cumsum(-1) - 1}
    with torch.no_grad():
        return ids[0].numpy(), module(*[known[name] for name in arguments])


def pool(logits, how="max", activation="relu"):
    values = np.log1p(np.maximum(logits, 0))
    if activation == "log1p_relu":
        values = np.log1p(values)
    return values.max(axis=0) if how == "max" else values.sum(axis=0)


def main():
    golden = {"texts": TEXTS}
    for old in HERE.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
    scratch = HERE / "scratch"
    tokenizer = save_tokenizer(scratch)
    terms = len(tokenizer) + 9
    bert = save_bert(scratch, terms)
    golden["terms"], golden["tokens"] = terms, len(tokenizer)

    def give(name, vectors):
        golden[name] = [row(np.asarray(vector)) for vector in vectors]

    def tokens_of(name):
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        shutil.copy(scratch / "tokenizer.json", folder)
        return folder

    # What sentence-transformers itself saves and computes.
    transformer = MLMTransformer(str(scratch))
    transformer.max_seq_length = LENGTH
    model = SparseEncoder(
        modules=[transformer, SpladePooling("max")], device="cpu",
        prompts={"query": "find: ", "document": ""},
    )
    model.save_pretrained(str(HERE / "splade"))
    export(Logits(bert), HERE / "splade/onnx/model.onnx",
           ["input_ids", "attention_mask", "token_type_ids"], ["logits"])
    # Each by itself: sentence-transformers fills up with zeros in a batch.
    dense = lambda vectors: [vector.to_dense().numpy() for vector in vectors]
    give("splade", dense([model.encode_document(text) for text in TEXTS]))
    give("splade queries", dense([model.encode_query(text) for text in TEXTS]))
    give("splade sum", [pool(alone(bert, tokenizer, text, ["input_ids", "attention_mask"])[1].logits[0].numpy(), "sum") for text in TEXTS])

    weights = torch.rand(len(tokenizer), generator=torch.Generator().manual_seed(5)) * 8
    weights[:5] = 0
    router = Router.for_query_document(
        query_modules=[SparseStaticEmbedding(tokenizer=tokenizer, weight=weights, frozen=True)],
        document_modules=[MLMTransformer(str(scratch)), SpladePooling("max", activation_function="log1p_relu")],
    )
    model = SparseEncoder(modules=[router], device="cpu")
    model.save_pretrained(str(HERE / "router"))
    give("router", dense([model.encode_document(text) for text in TEXTS]))
    give("router queries", dense([model.encode_query(text) if text.strip() and text[0] > "\x04" else torch.zeros(1).to_sparse() for text in TEXTS]))
    words = {word: round(float(weights[at]), 6) for word, at in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])}

    # A graph with its tokenizer, one kind of output each.
    mask = ["input_ids", "attention_mask"]
    export(Narrow(bert), tokens_of("narrow") / "model.onnx", mask, ["logits"], dtype=torch.int32)
    (HERE / "narrow/idf.json").write_text(json.dumps(words, ensure_ascii=False))
    export(Pooled(bert), tokens_of("pooled") / "model.onnx", mask, ["sparse_vector"])
    export(Pairs(bert), tokens_of("pairs") / "model.onnx", mask, ["indices", "values"])
    give("pairs", [np.bincount(i[0], v[0], terms) for i, v in
                   (alone(Pairs(bert), tokenizer, text, mask)[1] for text in TEXTS)])
    export(TokenPairs(bert), tokens_of("token_pairs") / "model.onnx", mask, ["values", "indices"])
    vectors = []
    for text in TEXTS:
        values, indices = (part[0].numpy() for part in alone(TokenPairs(bert), tokenizer, text, mask)[1])
        logits = np.zeros((len(values), terms), np.float32)
        np.put_along_axis(logits, indices, values, axis=1)
        vectors.append(pool(logits))
    give("token_pairs", vectors)
    export(Hidden(bert), tokens_of("hidden") / "model.onnx", mask, ["last_hidden_state"])
    export(Head(bert), HERE / "hidden/head.onnx", ["hidden"], ["logits"])
    export(TokenWeights(bert), tokens_of("token_weights") / "model.onnx", mask, ["dense", "sparse"])
    vectors = []
    for text in TEXTS:
        ids, (_, weight) = alone(TokenWeights(bert), tokenizer, text, mask)
        vector = np.zeros(terms, np.float32)
        np.maximum.at(vector, ids[1:-1], weight[0, 1:-1, 0].numpy())
        vectors.append(vector)
    give("token_weights", vectors)
    export(Logits(bert), tokens_of("fixed") / "model.onnx",
           ["input_ids", "attention_mask", "token_type_ids"], ["logits"], fixed=True)

    # The decoder: filled up on the left, no special tokens.
    decoder = Decoder(terms)
    folder = tokens_of("decoder")
    export(decoder, folder / "model.onnx", ["input_ids", "attention_mask", "position_ids"], ["logits"])
    described = json.loads((folder / "tokenizer.json").read_text())
    described["post_processor"] = None
    (folder / "tokenizer.json").write_text(json.dumps(described, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps({"padding_side": "left", "model_max_length": LENGTH}))
    plain = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), pad_token="[PAD]")
    vectors = []
    for text in TEXTS:
        if plain.encode(text):
            _, logits = alone(decoder, plain, text, ["input_ids", "attention_mask", "position_ids"])
            vectors.append(pool(logits[0].numpy()))
        else:
            vectors.append(np.zeros(terms))
    give("decoder", vectors)

    # Activations quantized by their range in the batch.
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(HERE / "narrow/model.onnx", tokens_of("int8") / "model.onnx",
                     weight_type=QuantType.QInt8, per_channel=True)

    # PyTorch's own weights are not read; the graphs have them.
    shutil.rmtree(scratch)
    for folder in ["splade", "router/document_0_MLMTransformer", "router/document_0_Transformer"]:
        (HERE / folder / "model.safetensors").unlink(missing_ok=True)
    for readme in HERE.glob("*/README.md"):
        readme.unlink()
    (HERE / "golden.json").write_text(json.dumps(golden, ensure_ascii=False))


if __name__ == "__main__":
    main()
