"""What a small T5 does to write: one program without Python between its operations, once TorchScript has compiled it.

Imports torch, so whoever imports this does so inside a function.
"""

import torch
from torch import Tensor
from torch.nn import functional


class Program(torch.nn.Module):
    """Encoder and greedy decoder with the weights of `t5.weights_of`. As a `torch.nn.Module` it computes the same uncompiled."""

    # Of each layer. Norms are multiplied into what comes after them, and what has one input is one matrix; all are transposed.
    read_qkv: list[Tensor]
    read_out: list[Tensor]
    read_first: list[Tensor]
    read_second: list[Tensor]
    key_value: list[Tensor]
    qkv: list[Tensor]
    out: list[Tensor]
    query: list[Tensor]
    query_out: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]

    def __init__(self, tensors: dict[str, Tensor], lists: dict[str, list[Tensor]], numbers: dict[str, int], eps: float, act: str) -> None:
        super().__init__()
        self.read_qkv, self.read_out = lists["read_qkv"], lists["read_out"]
        self.read_first, self.read_second = lists["read_first"], lists["read_second"]
        self.key_value, self.qkv, self.out = lists["key_value"], lists["qkv"], lists["out"]
        self.query, self.query_out = lists["query"], lists["query_out"]
        self.first, self.second = lists["first"], lists["second"]
        self.embedding, self.head = tensors["embedding"], tensors["head"]
        self.near = tensors["near"]  # what a score gets for how far away a token is that is read: from -distance to distance
        self.back = tensors["back"]  # likewise of what is written: the last of a row is the token itself
        self.ends = tensors["ends"]
        self.heads, self.size, self.distance = numbers["heads"], numbers["size"], numbers["distance"]
        self.start, self.pad, self.least, self.most = numbers["start"], numbers["pad"], numbers["least"], numbers["most"]
        self.gated = bool(numbers["gated"])
        self.eps, self.act = eps, act
        self.places = 64  # for tokens, at first
        self.lowest = torch.finfo(self.embedding.dtype).min

    def scaled(self, state: Tensor) -> Tensor:
        """Divided by its root mean square."""
        return state * torch.rsqrt(state.float().square().mean(-1, keepdim=True) + self.eps).to(state.dtype)

    def activated(self, state: Tensor) -> Tensor:
        """The model's activation."""
        if self.act == "relu":
            return functional.relu(state)
        if self.act == "silu":
            return functional.silu(state)
        return functional.gelu(state, approximate="tanh")

    def dense(self, state: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Of rows."""
        inner = torch.mm(self.scaled(state), first)
        if self.gated:
            gate, linear = inner.chunk(2, -1)
            inner = self.activated(gate) * linear
        else:
            inner = self.activated(inner)
        return torch.addmm(state, inner, second)

    def attended(self, query: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """What each query finds in the values, of the heads of each text."""
        return torch.bmm(torch.baddbmm(bias, query, keys.transpose(1, 2)).softmax(-1), values)

    def read(self, ids: Tensor, hidden: Tensor) -> Tensor:
        """The encoder's states of all tokens, a row each."""
        batch, length = ids.shape
        heads, size = self.heads, self.size
        places = torch.arange(length)
        apart = (places[None, :] - places[:, None]).clamp(-self.distance, self.distance) + self.distance
        bias = self.near[:, apart.flatten()].view(1, heads, length, length)
        bias = (bias + hidden[:, None, None, :]).view(batch * heads, length, length)
        state = self.embedding[ids].view(batch * length, -1)
        for at in range(len(self.read_qkv)):
            parts = torch.mm(self.scaled(state), self.read_qkv[at]).view(batch, length, 3, heads, size)
            parts = parts.permute(2, 0, 3, 1, 4).reshape(3, batch * heads, length, size)
            found = self.attended(parts[0], parts[1], parts[2], bias).view(batch, heads, length, size)
            state = torch.addmm(state, found.transpose(1, 2).reshape(batch * length, heads * size), self.read_out[at])
            state = self.dense(state, self.read_first[at], self.read_second[at])
        return self.scaled(state)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What is written for each row of ``ids`` (batch by length; ``mask`` is 0 where padding is), padded to the longest."""
        batch, length = ids.shape
        heads, size = self.heads, self.size
        hidden = torch.zeros(mask.shape, dtype=self.embedding.dtype).masked_fill_(mask == 0, self.lowest)
        read = self.read(ids, hidden)
        hidden = hidden[:, None, None, :].expand(batch, heads, 1, length).reshape(batch * heads, 1, length)
        # Of each layer, keys and values of what was read and of what was written.
        reads: list[Tensor] = []
        writes: list[Tensor] = []
        for at in range(len(self.qkv)):
            both = torch.mm(read, self.key_value[at]).view(batch, length, 2, heads, size)
            reads.append(both.permute(2, 0, 3, 1, 4).reshape(2, batch * heads, length, size))
            writes.append(read.new_empty([2, batch, heads, self.places, size]))

        rows = torch.arange(batch)  # where in the answer those are that go on
        ended = torch.zeros([batch], dtype=torch.bool)
        written = torch.full([batch, self.most], self.pad, dtype=torch.long)
        token = torch.full([batch], self.start, dtype=torch.long)
        for place in range(self.most):
            scores = self.step(token, place, hidden, reads, writes)
            if place < self.least:
                scores[:, self.ends] = -float("inf")
            token = scores.argmax(-1).masked_fill_(ended, self.pad)
            written[rows, place] = token
            ended = ended | (token[:, None] == self.ends).any(-1)
            left = len(rows) - int(ended.sum())
            if left == 0:
                return written[:, : place + 1]
            if left <= 0.75 * len(rows):  # taking rows out copies what is kept of the others
                going = (~ended).nonzero()[:, 0]
                rows, token, ended = rows[going], token[going], ended[going]
                hidden = hidden.unflatten(0, [-1, heads])[going].flatten(0, 1)
                for at in range(len(reads)):
                    reads[at] = reads[at].unflatten(1, [-1, heads])[:, going].flatten(1, 2)
                    writes[at] = writes[at][:, going]
        return written

    def step(self, token: Tensor, place: int, hidden: Tensor, reads: list[Tensor], writes: list[Tensor]) -> Tensor:
        """The scores of what may come behind ``token``, which is written at ``place``."""
        batch, heads, size = len(token), self.heads, self.size
        if place == writes[0].shape[3]:
            for at in range(len(writes)):
                writes[at] = torch.cat([writes[at], torch.empty_like(writes[at])], 3)
        bias = self.back[:, :, self.back.shape[2] - 1 - place :].repeat(batch, 1, 1)
        state = self.embedding[token]
        for at in range(len(self.qkv)):
            parts = torch.mm(self.scaled(state), self.qkv[at]).view(batch, 3, heads, size)
            writes[at][:, :, :, place] = parts[:, 1:].transpose(0, 1)
            known = writes[at].flatten(1, 2)[:, :, : place + 1]
            found = self.attended(parts[:, 0].reshape(batch * heads, 1, size), known[0], known[1], bias)
            state = torch.addmm(state, found.view(batch, -1), self.out[at])
            query = torch.mm(self.scaled(state), self.query[at]).view(batch * heads, 1, size)
            found = self.attended(query, reads[at][0], reads[at][1], hidden)
            state = torch.addmm(state, found.view(batch, -1), self.query_out[at])
            state = self.dense(state, self.first[at], self.second[at])
        return torch.mm(self.scaled(state), self.head)
