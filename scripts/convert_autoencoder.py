"""Turns an autoencoder inside a PyTorch pickle into a directory with `sae.json`.

Pickles are programs, so the library does not read them; this script does, with PyTorch's restricted
loader, which runs none. It needs torch alone.

    python scripts/convert_autoencoder.py layer14.sae.pt OUT --backbone ../qwen --k 100

Known are state dicts with `W_enc` or `encoder.weight`, in either layout, and what goes with them.
What the file does not say (k, thresholds, whether the decoder's bias is subtracted) is said here:
look at the code that came with the file. Afterwards `OUT` opens like any other (docs/sae.md).
"""

import argparse
import json
import pathlib
import struct

import torch

WEIGHTS = ["W_enc", "encoder.weight", "encoder.W"]
BIASES = ["b_enc", "encoder.bias", "latent_bias", "encoder.b"]
DECODERS = ["W_dec", "decoder.weight"]
DECODER_BIASES = ["b_dec", "decoder.bias", "pre_bias", "bias"]
THRESHOLDS = ["threshold", "log_threshold", "log_jumprelu_threshold"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--backbone", default=".", help="directory of the backbone, seen from OUT")
    parser.add_argument("--layer", type=int, help="as hidden_states counts: what block n gives, from 1")
    parser.add_argument("--hidden", type=int, help="size of a hidden state, where the matrix is square")
    parser.add_argument("--k", type=int, help="of TopK")
    parser.add_argument("--threshold", type=float, help="of JumpReLU, one for all latents")
    parser.add_argument("--subtract-decoder-bias", action="store_true", help="from the input, first")
    parser.add_argument("--decoder-norm", choices=["ignored", "selects", "scales"], default="ignored")
    parser.add_argument("--input-norm", choices=["none", "length", "layer"], default="none")
    parser.add_argument("--input-scale", type=float, default=1.0)
    arguments = parser.parse_args()

    state = torch.load(arguments.file, map_location="cpu", weights_only=True)
    for key in ["state_dict", "model", "model_state_dict"]:
        state = state.get(key, state)
    state = {name: value.float() for name, value in state.items() if isinstance(value, torch.Tensor)}

    def first(names, what=None):
        found = next((state[name] for name in names if name in state), None)
        if found is None and what:
            parser.error(f"there is no {what}: {arguments.file} has {', '.join(state)}")
        return found

    encoder, bias = first(WEIGHTS, "encoder"), first(BIASES)
    decoder, decoder_bias = first(DECODERS), first(DECODER_BIASES)
    # The bias says which size is the latents'; without one there are more of them.
    latents = len(bias) if bias is not None else max(encoder.shape)
    hidden = arguments.hidden or next((size for size in encoder.shape if size != latents), latents)
    if tuple(encoder.shape) == (hidden, latents) and hidden != latents:
        encoder = encoder.T
    if tuple(encoder.shape) != (latents, hidden):
        parser.error(f"the encoder has the shape {tuple(encoder.shape)}, not {latents} x {hidden}")
    tensors = {"encoder.weight": encoder, "encoder.bias": torch.zeros(latents) if bias is None else bias}

    head = {"format": "sparsely", "weights": "sae.safetensors", "input_norm": arguments.input_norm,
            "input_scale": arguments.input_scale}
    threshold = next((name for name in THRESHOLDS if name in state), None)
    if arguments.k:
        head.update(activation="topk", k=arguments.k)
    elif arguments.threshold is not None:
        head.update(activation="jumprelu", threshold=arguments.threshold)
    elif threshold:
        values = state[threshold].exp() if threshold.startswith("log") else state[threshold]
        tensors["threshold"] = values.expand(latents)
        head.update(activation="jumprelu")
    else:
        head.update(activation="relu")
    if arguments.subtract_decoder_bias:
        if decoder_bias is None:
            parser.error(f"there is no bias of the decoder: {arguments.file} has {', '.join(state)}")
        tensors["input.bias"] = decoder_bias
    if arguments.decoder_norm != "ignored":
        if decoder is None:
            parser.error(f"there is no decoder: {arguments.file} has {', '.join(state)}")
        rows = decoder if decoder.shape[0] == latents else decoder.T
        tensors["decoder.norm"] = rows.norm(dim=1)
        head["decoder_norm"] = arguments.decoder_norm

    header, end = {}, 0
    for name, values in tensors.items():
        size = 4 * values.numel()
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with open(arguments.out / "sae.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            file.write(values.contiguous().numpy().tobytes())
    description = {"version": 1, "backbone": arguments.backbone, "hidden": hidden, "latents": latents, "head": head}
    if arguments.layer is not None:
        description["layer"] = arguments.layer
    (arguments.out / "sae.json").write_text(json.dumps(description, indent=2) + "\n")
    print(f"{latents} latents over {hidden} values, {head['activation']}, in {arguments.out}")


if __name__ == "__main__":
    main()
