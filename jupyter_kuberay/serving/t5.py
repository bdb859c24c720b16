"""Greedy decoding of a small T5 without what transformers does around each token.

For such a model most of `generate` is not the model: masks that are made anew for every token, caches that are copied,
attention that is made for long queries. Here keys and values have their place from the beginning, weights that have the same
input are one matrix, and whoever has ended is computed no further. The tokens are the same. Where anything about a model
or its generation settings is not known here, `fits` says no, and `generate` does it.
"""

from __future__ import annotations

from typing import Any

LARGEST = 300_000_000  # parameters: beyond, the model itself is what takes time, and a copy of its weights is large
# What a GenerationConfig may hold without changing more of greedy search than is done here.
_KNOWN = {
    *("_from_model_config", "transformers_version", "use_cache"),
    *("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id"),
    *("max_length", "max_new_tokens", "min_length", "min_new_tokens"),
    *("do_sample", "num_beams", "early_stopping", "length_penalty", "temperature", "top_k", "top_p"),  # no use without beams and samples
}
_PLACES = 64  # for tokens, at first


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
    return plain and len({each.dtype for each in network.parameters()}) == 1


class Greedy:
    """Writes as ``network`` (see `fits`) would. It copies the decoder's weights. One thread at a time."""

    def __init__(self, network: Any) -> None:
        import torch

        config, generation = network.config, network.generation_config
        self.heads, self.size = config.num_heads, config.d_kv
        self._encoder = network.get_encoder()
        ends = generation.eos_token_id
        self._ends = torch.tensor(ends if isinstance(ends, list) else [ends])
        self._start = _first(generation.decoder_start_token_id, config.decoder_start_token_id)
        self._pad = _first(generation.pad_token_id, config.pad_token_id, 0)
        self._most = int(generation.max_new_tokens or (generation.max_length or 20) - 1)
        self._least = max(generation.min_new_tokens or 0, (generation.min_length or 0) - 1)
        with torch.inference_mode():
            self.layers = [_Layer(block) for block in network.decoder.block]
            self.embedding = network.get_decoder().get_input_embeddings().weight
            last = network.decoder.final_layer_norm
            scale = config.d_model**-0.5 if getattr(config, "scale_decoder_outputs", config.tie_word_embeddings) else 1.0
            self.eps, self.head = last.variance_epsilon, (network.lm_head.weight * (last.weight * scale)).t().contiguous()
            # What a score gets for how far back a token is. Of the last token, this is that of all others, too.
            attention = network.decoder.block[0].layer[0].SelfAttention
            self.bias = attention.compute_bias(1, self._most, past_seen_tokens=self._most - 1)[0]

    def __call__(self, ids: Any, mask: Any) -> Any:
        """What is written for each row of ``ids`` (batch by length; ``mask`` is 0 where padding is), padded to the longest."""
        import torch

        texts = _Texts(self, self._encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
        rows = torch.arange(len(ids))  # where in the answer those are that go on
        ended = torch.zeros(len(ids), dtype=torch.bool)
        written = ids.new_full((len(ids), self._most), self._pad)
        token = ids.new_full((len(ids),), self._start)
        for place in range(self._most):
            scores = texts.step(token, place)
            if place < self._least:
                scores[:, self._ends] = -torch.inf
            token = scores.argmax(-1).masked_fill_(ended, self._pad)
            written[rows, place] = token
            ended |= torch.isin(token, self._ends)
            left = len(rows) - int(ended.sum())
            if not left:
                return written[:, : place + 1]
            if left <= 0.75 * len(rows):  # taking rows out copies what is kept of the others
                going = (~ended).nonzero()[:, 0]
                rows, token, ended = rows[going], token[going], ended[going]
                texts.keep(going)
        return written


def _first(*found: int | None) -> int:
    return next(each for each in found if each is not None)


class _Layer:
    """The weights of one block: norms are multiplied into what comes after them, and what has one input is one matrix."""

    def __init__(self, block: Any) -> None:
        import torch

        own, cross, dense = block.layer[0], block.layer[1], block.layer[2]
        attention, other, inner = own.SelfAttention, cross.EncDecAttention, dense.DenseReluDense
        self.eps = own.layer_norm.variance_epsilon
        joined = torch.cat([attention.q.weight, attention.k.weight, attention.v.weight])
        self.qkv, self.out = (joined * own.layer_norm.weight).t().contiguous(), attention.o.weight.t().contiguous()
        self.query, self.query_out = (other.q.weight * cross.layer_norm.weight).t().contiguous(), other.o.weight.t().contiguous()
        self.key_value = torch.cat([other.k.weight, other.v.weight]).t().contiguous()
        self.act, self.gated = inner.act, hasattr(inner, "wi_1")
        first = torch.cat([inner.wi_0.weight, inner.wi_1.weight]) if self.gated else inner.wi.weight
        self.first, self.second = (first * dense.layer_norm.weight).t().contiguous(), inner.wo.weight.t().contiguous()


class _Texts:
    """What is kept of texts while they are written: of each layer, keys and values of what was read and of what was written."""

    def __init__(self, model: Greedy, read: Any, mask: Any) -> None:
        import torch

        self._model, self._torch = model, torch
        batch, length, _ = read.shape
        heads, size = model.heads, model.size
        hidden = read.new_zeros(mask.shape).masked_fill_(mask == 0, torch.finfo(read.dtype).min)
        self._hidden = hidden[:, None, None, :].expand(batch, heads, 1, length).flatten(0, 1)
        self._read = []
        for layer in model.layers:
            both = torch.mm(read.flatten(0, 1), layer.key_value).view(batch, length, 2, heads, size)
            self._read.append([both[:, :, each].transpose(1, 2).flatten(0, 1) for each in (0, 1)])
        self._written = [[read.new_empty(batch, heads, _PLACES, size) for _ in (0, 1)] for _ in model.layers]

    def keep(self, rows: Any) -> None:
        """Forget all other rows."""
        heads = self._model.heads
        self._hidden = self._hidden.unflatten(0, (-1, heads))[rows].flatten(0, 1)
        self._read = [[each.unflatten(0, (-1, heads))[rows].flatten(0, 1) for each in layer] for layer in self._read]
        self._written = [[each[rows] for each in layer] for layer in self._written]

    def step(self, token: Any, place: int) -> Any:
        """The scores of what may come behind ``token``, which is written at ``place``."""
        model, mm = self._model, self._torch.mm
        batch = len(token)
        if place == self._written[0][0].shape[2]:
            self._written = [[self._torch.cat([each, self._torch.empty_like(each)], 2) for each in layer] for layer in self._written]
        flat = (batch * model.heads, 1, model.size)
        bias = model.bias[:, :, model.bias.shape[2] - 1 - place :].repeat(batch, 1, 1)
        state = model.embedding[token]
        for layer, written, read in zip(model.layers, self._written, self._read, strict=True):
            parts = mm(self._scaled(state, layer.eps), layer.qkv).view(batch, 3, model.heads, model.size)
            written[0][:, :, place], written[1][:, :, place] = parts[:, 1], parts[:, 2]
            keys, values = (each.flatten(0, 1)[:, : place + 1] for each in written)
            state = state + mm(self._attended(parts[:, 0].reshape(flat), keys, values, bias, batch), layer.out)
            query = mm(self._scaled(state, layer.eps), layer.query).view(flat)
            state = state + mm(self._attended(query, read[0], read[1], self._hidden, batch), layer.query_out)
            inner = mm(self._scaled(state, layer.eps), layer.first)
            if layer.gated:
                gate, linear = inner.chunk(2, -1)
                state = state + mm(layer.act(gate) * linear, layer.second)
            else:
                state = state + mm(layer.act(inner), layer.second)
        return mm(self._scaled(state, model.eps), model.head)

    def _scaled(self, state: Any, eps: float) -> Any:
        return state * self._torch.rsqrt(state.float().square().mean(-1, keepdim=True) + eps).to(state.dtype)

    def _attended(self, query: Any, keys: Any, values: Any, bias: Any, batch: int) -> Any:
        weights = self._torch.baddbmm(bias, query, keys.transpose(1, 2)).softmax(-1)
        return self._torch.bmm(weights, values).view(batch, -1)
