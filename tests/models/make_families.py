"""Makes one tiny masked language model per family that is run without a graph, and their vectors.

Each directory is what `save_pretrained` writes: `config.json`, `model.safetensors` and the tokenizer;
`families.json` holds the vectors that transformers computes for the texts of `make.py`.

    python -m venv venv
    venv/bin/pip install torch sentence-transformers onnx onnxruntime
    venv/bin/python tests/models/make_families.py

Made with torch 2.15.0, transformers 5.24.0.
"""

import json
import shutil

import numpy as np
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    CamembertConfig,
    CamembertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from make import HERE, LENGTH, TEXTS, pool, row, save_tokenizer

SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24)


def families(terms):
    usual = dict(vocab_size=terms, max_position_embeddings=LENGTH, **SIZES)
    # Id 1 is the unknown token of this tokenizer, so texts hold the family's padding token.
    shifted = dict(usual, max_position_embeddings=LENGTH + 2, pad_token_id=1, type_vocab_size=1, layer_norm_eps=1e-5)
    yield "bert", BertForMaskedLM(BertConfig(**usual)), torch.float32
    # A matrix of its own for the logits, and halves.
    yield "bert_untied", BertForMaskedLM(BertConfig(**usual, tie_word_embeddings=False)), torch.float16
    yield "distilbert", DistilBertForMaskedLM(DistilBertConfig(
        vocab_size=terms, max_position_embeddings=LENGTH, dim=16, n_layers=2, n_heads=2, hidden_dim=24,
        activation="relu", sinusoidal_pos_embds=False)), torch.float32
    yield "roberta", RobertaForMaskedLM(RobertaConfig(**shifted, hidden_act="gelu_new")), torch.float32
    yield "xlm_roberta", XLMRobertaForMaskedLM(XLMRobertaConfig(**shifted)), torch.bfloat16
    yield "camembert", CamembertForMaskedLM(CamembertConfig(**shifted)), torch.float32


def main():
    scratch = HERE / "scratch"
    tokenizer = save_tokenizer(scratch)
    terms = len(tokenizer) + 9
    golden = {"texts": TEXTS, "terms": terms, "vectors": {}, "hidden": {}}
    for name, model, precision in families(terms):
        torch.manual_seed(sum(map(ord, name)))
        model.eval()
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                scale = 0.1 if "norm" in key.lower() else 0.4
                parameter.add_(torch.randn_like(parameter) * scale)
                if key.endswith(("predictions.bias", "lm_head.bias", "vocab_projector.bias")):
                    parameter.sub_(0.5)
        model.to(precision).save_pretrained(HERE / name)
        model.float()
        shutil.copy(scratch / "tokenizer.json", HERE / name)
        vectors, hidden = [], []
        for text in TEXTS:
            encoded = tokenizer([text], truncation=True, max_length=LENGTH, return_tensors="pt")
            inputs = {key: encoded[key] for key in ["input_ids", "attention_mask"]}
            with torch.no_grad():
                given = model(**inputs, output_hidden_states=True)
            vectors.append(row(pool(given.logits[0].numpy())))
            hidden.append([[round(float(x), 6) for x in token[:4]] for token in given.hidden_states[1][0].numpy()])
        golden["vectors"][name] = vectors
        # The first numbers of each token after the first layer, of some texts.
        golden["hidden"][name] = hidden[:4]
        print(name, np.mean([len(vector) for vector in vectors]))
    shutil.rmtree(scratch)
    (HERE / "families.json").write_text(json.dumps(golden, ensure_ascii=False))


if __name__ == "__main__":
    main()
