"""A small T5 that writes greedily without what transformers does around each token.

For such a model most of `generate` is not the model: masks that are made anew for every token, caches that are copied,
attention that is made for long queries, Python between small operations. Here all of a batch is one program, and whoever
has ended is computed no further. The tokens are the same. Where anything about a model or its generation settings is not
known here, `fits` says no, and `generate` does it.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

LARGEST = 300_000_000  # parameters: beyond, the model itself is what takes time, and a copy of its weights is large
# What a GenerationConfig may hold without changing more of greedy search than is done here.
_KNOWN = {
    *("_from_model_config", "transformers_version", "use_cache"),
    *("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id"),
    *("max_length", "max_new_tokens", "min_length", "min_new_tokens"),
    *("do_sample", "num_beams", "early_stopping", "length_penalty", "temperature", "top_k", "top_p"),  # no use without beams and samples
}
_ACTIVATIONS = {"ReLU": "relu", "SiLU": "silu", "SiLUActivation": "silu", "NewGELUActivation": "gelu"}


def fits(network: Any) -> bool:
    """Whether `Greedy` writes what ``network.generate`` would: a plain T5 in one precision on a CPU, greedy search as usual."""
    import torch

    if type(network).__name__ != "T5ForConditionalGeneration" or network.device.type != "cpu" or network.num_parameters() > LARGEST:
        return False
    config = network.generation_config
    if set(config.to_diff_dict()) - _KNOWN or (config.num_beams or 1) > 1 or config.do_sample or config.eos_token_id is None:
        return False
    known = (torch.nn.Linear, torch.nn.Embedding, torch.nn.Dropout)
    strange = [each for each in network.modules() if not isinstance(each, torch.nn.ModuleList) and not list(each.children())]
    plain = all(
        type(each) in known or type(each).__module__.startswith(("transformers.", "torch.nn.modules.activation")) for each in strange
    )
    blocks = [*network.get_encoder().block, *network.get_decoder().block]
    active = {_ACTIVATIONS.get(type(block.layer[-1].DenseReluDense.act).__name__) for block in blocks}
    return plain and None not in active and len(active) == 1 and len({each.dtype for each in network.parameters()}) == 1


class Greedy:
    """Writes as ``network`` (see `fits`) would. It copies the weights. One thread at a time.

    Python's lock is free while a batch is computed, so that others of this process, such as the loop that takes
    requests, are not slowed down.
    """

    def __init__(self, network: Any) -> None:
        import torch

        from jupyter_kuberay.serving.t5_program import Program

        with torch.inference_mode():
            program = Program(**weights_of(network)).eval()
        self._program = _compiled(program)

    @property
    def compiled(self) -> bool:
        """Whether no Python is between its operations."""
        import torch

        return isinstance(self._program, torch.jit.ScriptModule)

    def __call__(self, ids: Any, mask: Any) -> Any:
        """What is written for each row of ``ids`` (batch by length; ``mask`` is 0 where padding is), padded to the longest."""
        import torch

        # Optimizing means to run each shape of a batch slowly first, and there is a new one with almost every batch.
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            return self._program(ids, mask)


def _compiled(program: Any) -> Any:
    """By TorchScript, whose end is announced; without it, Python goes from operation to operation."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.script(program)
    except Exception as error:  # whatever a torch says that has it no more
        logging.getLogger("ray.serve").warning("This torch does not compile the model (%s); it is slower.", type(error).__name__)
        return program


def weights_of(network: Any) -> dict[str, Any]:
    """What a `Program` is made of."""
    import torch

    config, generation = network.config, network.generation_config
    encoder, decoder = network.get_encoder(), network.get_decoder()
    ends = generation.eos_token_id
    most = int(generation.max_new_tokens or (generation.max_length or 20) - 1)
    scale = config.d_model**-0.5 if getattr(config, "scale_decoder_outputs", config.tie_word_embeddings) else 1.0
    reading = encoder.block[0].layer[0].SelfAttention
    distance = reading.relative_attention_max_distance
    read_last, last = encoder.final_layer_norm, decoder.final_layer_norm
    read, write = [block.layer for block in encoder.block], [block.layer for block in decoder.block]
    return {
        "tensors": {
            "embedding": decoder.get_input_embeddings().weight.detach(),
            "head": _transposed(network.lm_head.weight * (last.weight * scale)),
            "near": reading.compute_bias(1, 2 * distance + 1, past_seen_tokens=distance)[0, :, 0].contiguous(),
            # Of the last token, this is that of all others, too.
            "back": decoder.block[0].layer[0].SelfAttention.compute_bias(1, most, past_seen_tokens=most - 1)[0].contiguous(),
            "ends": torch.tensor(ends if isinstance(ends, list) else [ends]),
        },
        "lists": {
            "read_qkv": [_qkv(layer[0].SelfAttention, layer[0].layer_norm) for layer in read],
            "read_out": [_transposed(layer[0].SelfAttention.o.weight) for layer in read],
            "read_first": [_first(layer[1]) for layer in read],
            "read_second": [_transposed(layer[1].DenseReluDense.wo.weight) for layer in read],
            "key_value": [_joined(layer[1].EncDecAttention, "kv", read_last) for layer in write],
            "qkv": [_qkv(layer[0].SelfAttention, layer[0].layer_norm) for layer in write],
            "out": [_transposed(layer[0].SelfAttention.o.weight) for layer in write],
            "query": [_joined(layer[1].EncDecAttention, "q", layer[1].layer_norm) for layer in write],
            "query_out": [_transposed(layer[1].EncDecAttention.o.weight) for layer in write],
            "first": [_first(layer[2]) for layer in write],
            "second": [_transposed(layer[2].DenseReluDense.wo.weight) for layer in write],
        },
        "numbers": {
            "heads": config.num_heads,
            "size": config.d_kv,
            "distance": distance,
            "start": _given(generation.decoder_start_token_id, config.decoder_start_token_id),
            "pad": _given(generation.pad_token_id, config.pad_token_id, 0),
            "most": most,
            "least": max(generation.min_new_tokens or 0, (generation.min_length or 0) - 1),
            "gated": int(hasattr(write[0][2].DenseReluDense, "wi_1")),
        },
        "eps": last.variance_epsilon,
        "act": _ACTIVATIONS[type(write[0][2].DenseReluDense.act).__name__],
    }


def _given(*found: int | None) -> int:
    return next(each for each in found if each is not None)


def _transposed(weight: Any) -> Any:
    return weight.detach().t().contiguous()


def _joined(attention: Any, names: str, norm: Any) -> Any:
    import torch

    return _transposed(torch.cat([getattr(attention, name).weight for name in names]) * norm.weight)


def _qkv(attention: Any, norm: Any) -> Any:
    return _joined(attention, "qkv", norm)


def _first(layer: Any) -> Any:
    import torch

    inner = layer.DenseReluDense
    joined = torch.cat([inner.wi_0.weight, inner.wi_1.weight]) if hasattr(inner, "wi_1") else inner.wi.weight
    return _transposed(joined * layer.layer_norm.weight)
