"""Exports a decoder with a SPLADE head, as SPLADE-Code is one, in two graphs: `model.onnx` from
tokens to hidden states and `head.onnx` from hidden states to logits, so that no run ever makes the
logits of a whole text (622 MB for 1,024 tokens of 151,936 terms).

    python tests/models/export_decoder.py MODEL OUT      # a directory or name with a Qwen3 checkpoint
    python tests/models/export_decoder.py --random OUT   # its shape with random weights, for tests

Attention goes both ways, as the model was trained. A LoRA (splade-code-8B) is merged first:
`PeftModel.from_pretrained(base, lora).merge_and_unload().save_pretrained(MODEL)`. Tokenizer files
are copied; with --random a word tokenizer of 151,669 made-up tokens is written.
"""

import json
import pathlib
import sys
import warnings

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

warnings.filterwarnings("ignore")


class Body(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, position_ids):
        # Every token sees every token that is not filling; a mask of four dimensions is taken as is.
        blocked = (attention_mask == 0)[:, None, None, :].float() * -1e9
        blocked = blocked.expand(-1, 1, input_ids.shape[1], -1)
        return self.model(input_ids=input_ids, attention_mask=blocked, position_ids=position_ids,
                          use_cache=False).last_hidden_state


def main():
    name, out = sys.argv[1], pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    if name == "--random":
        torch.manual_seed(1)
        model = Qwen3ForCausalLM(Qwen3Config(
            vocab_size=151_936, hidden_size=128, num_hidden_layers=3, num_attention_heads=4,
            num_key_value_heads=2, head_dim=32, intermediate_size=256, max_position_embeddings=1024,
            tie_word_embeddings=True, attn_implementation="eager"))
        words = {f"w{at}": at for at in range(151_669)}
        (out / "tokenizer.json").write_text(json.dumps({
            "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
            "model": {"type": "WordLevel", "vocab": words, "unk_token": "w0"}}))
        (out / "tokenizer_config.json").write_text(json.dumps(
            {"padding_side": "left", "model_max_length": 1024}))
    else:
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, attn_implementation="eager")
        AutoTokenizer.from_pretrained(name, padding_side="left", model_max_length=1024).save_pretrained(out)
    model.eval()
    names = ["input_ids", "attention_mask", "position_ids"]
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1] * 7])
    example = (torch.ones_like(mask), mask, (mask.cumsum(-1) - 1).clamp(min=0))
    axes = {name: {0: "batch", 1: "sequence"} for name in names + ["last_hidden_state"]}
    torch.onnx.export(Body(model.model).eval(), example, str(out / "model.onnx"), input_names=names,
                      output_names=["last_hidden_state"], dynamic_axes=axes, opset_version=17, dynamo=False)
    hidden = torch.randn(5, model.config.hidden_size)
    torch.onnx.export(model.lm_head.eval(), (hidden,), str(out / "head.onnx"), input_names=["hidden"],
                      output_names=["logits"], dynamic_axes={"hidden": {0: "tokens"}, "logits": {0: "tokens"}},
                      opset_version=17, dynamo=False)

    # A few texts alone, for comparison: w5 w17 ... of several lengths.
    if name == "--random":
        golden = {"texts": [], "vectors": []}
        for length in [1, 9, 200]:
            ids = [(at * 7919 + length) % 151_669 for at in range(length)]
            tokens = torch.tensor([ids])
            with torch.no_grad():
                hidden = Body(model.model)(tokens, torch.ones_like(tokens), torch.arange(length)[None])
                vector = torch.log1p(torch.relu(model.lm_head(hidden))).max(dim=1).values[0]
            golden["texts"].append(" ".join(f"w{at}" for at in ids))
            golden["vectors"].append([[int(at), float(vector[at])] for at in torch.nonzero(vector)[:, 0]])
        (out / "golden.json").write_text(json.dumps(golden))
        long = [" ".join(f"w{(at * 31 + one) % 151_669}" for at in range(1100)) for one in range(12)]
        (out / "texts.jsonl").write_text("\n".join(json.dumps({"_id": str(at), "text": text}) for at, text in enumerate(long)))


if __name__ == "__main__":
    main()
