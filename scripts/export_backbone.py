"""Exports a transformer up to a layer, as the backbone of an autoencoder.

    python scripts/export_backbone.py MODEL OUT --layer 16

MODEL is a name or directory of transformers; OUT gets `model.onnx` (with its weights beside it where
they are large) and `tokenizer.json`. `--layer n` keeps `n` blocks and gives what the last of them
gives, `hidden_states[n]` of transformers: a suite's `hook_resid_post` of block `b`, counted from 0,
is `--layer b+1`. Blocks after it, the final norm and the head are not exported; of the last block
transformers gives what the final norm makes of it. The script compares the graph with the whole model
before it ends.

`--bidirectional` lets each token see all others, as SPLARE's backbones do: it is right for models
that were trained or adapted so, and wrong for others. Needs torch, transformers, onnx, onnxruntime.
"""

import argparse
import pathlib

import numpy as np
import onnxruntime
import torch
from transformers import AutoModel, AutoTokenizer


class Truncated(torch.nn.Module):
    def __init__(self, model, layer):
        super().__init__()
        self.model, self.layer = model, layer

    def forward(self, input_ids, attention_mask):
        outputs = self.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        return outputs.hidden_states[self.layer]


def blocks(model):
    """The list of the model's blocks, and who holds it under which name."""
    lists = [
        (len(module), holder, name)
        for holder in model.modules()
        for name, module in holder.named_children()
        if isinstance(module, torch.nn.ModuleList)
    ]
    return max(lists, key=lambda found: found[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--layer", type=int, required=True)
    parser.add_argument("--bidirectional", action="store_true")
    arguments = parser.parse_args()

    more = {"is_causal": False} if arguments.bidirectional else {}
    model = AutoModel.from_pretrained(arguments.model, attn_implementation="eager", dtype=torch.float32, **more).eval()
    if hasattr(model.config, "use_cache"):
        model.config.use_cache = False
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    encoded = tokenizer("fn main() { println!(\"hello\"); }", return_tensors="pt")
    ids, mask = encoded["input_ids"], encoded["attention_mask"]
    with torch.no_grad():
        whole = Truncated(model, arguments.layer)(ids, mask)
        if arguments.bidirectional:
            other = ids.clone()
            other[0, -1] = ids[0, 0]
            changed = Truncated(model, arguments.layer)(other, mask)
            assert (whole[0, 0] - changed[0, 0]).abs().max() > 0, "the first token does not see the last: not bidirectional"

    count, holder, name = blocks(model)
    assert 0 < arguments.layer <= count, f"the model has {count} blocks"
    # One more than is wanted: the state after the last block of a model goes through its final norm.
    setattr(holder, name, getattr(holder, name)[: arguments.layer + 1])
    model.config.num_hidden_layers = min(count, arguments.layer + 1)

    arguments.out.mkdir(parents=True, exist_ok=True)
    axes = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        Truncated(model, arguments.layer), (ids, mask), str(arguments.out / "model.onnx"),
        input_names=["input_ids", "attention_mask"], output_names=["last_hidden_state"],
        dynamic_axes={key: axes for key in ["input_ids", "attention_mask", "last_hidden_state"]},
        opset_version=17, dynamo=False,
    )
    tokenizer.save_pretrained(arguments.out)
    session = onnxruntime.InferenceSession(str(arguments.out / "model.onnx"))
    found, = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    off = float(np.abs(found - whole.numpy()).max())
    print(f"{found.shape[-1]} values a token, off by {off:.1e} from the whole model")
    assert off < 1e-3 * max(1.0, float(np.abs(found).max()))


if __name__ == "__main__":
    main()
