"""Serving on this machine's cores, all in one run, measured in turn with clients in a process of their own.

- A summarizer of ours against one as people write it who follow Ray's example: transformers' `generate`, one request at a time.
  16 clients. Goal: 3 times the requests a second, no worse p99. Beside it stands ours without batches.
- The same rate against the lower of what the model does in a process without Serve, at its best batch size, and what Serve does with
  a model that costs nothing. Goal: 0.9. Of the demo's model, for which Serve takes longer than the model does, and, with as many
  clients as a batch has at its best, of one as large as t5-small.
- 160 clients that each ask again as soon as they are answered. Goal: 0.8 of the peak of good answers a second.

The replica has one CPU, and so has the model without Serve; the clients share the machine.
"""

from __future__ import annotations

import os
import random
import re
import resource
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from _load import Told, load
from _pairs import report
from _summarizer import SMALL, make_model, texts

CLIENTS, SECONDS, TURNS = 16, 4.0, 3
CROWDS = (8, 16, 32, 64, 160)
SIZES = (1, 4, 8, 16, 32, 64)
LARGE_BATCH, LARGE_S = 32, 15.0


def in_process(model: str, sizes: Sequence[int] = SIZES, seconds: float = 1.5) -> dict[int, float]:
    """Texts a second by the size of the batch, on one thread."""
    import torch

    from jupyter_kuberay.serving.summarizer import Model

    torch.set_num_threads(1)
    loaded, corpus = Model(model, threads=1), texts()
    found = {}
    for size in sizes:
        batches = [corpus[at : at + size] for at in range(0, len(corpus), size)]
        loaded.generate(batches[0])
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            count += len(loaded.generate(batches[count // size % len(batches)]))
        found[size] = count / (time.perf_counter() - began)
    return found


def in_order_of_arrival(model: str) -> float:
    """The share of padding of full batches that hold texts as they come."""
    from transformers import AutoTokenizer

    from jupyter_kuberay.serving.batching import padding

    lengths = [len(ids) for ids in AutoTokenizer.from_pretrained(model)(texts())["input_ids"]] * 50
    random.Random(3).shuffle(lengths)
    return statistics.mean(padding(lengths[at : at + 16]) for at in range(0, len(lengths), 16))


def padded(metrics: int, application: str) -> float:
    """The share of padding in the batches of an application, by Ray's own exporter."""
    told = urllib.request.urlopen(f"http://127.0.0.1:{metrics}/metrics", timeout=10).read().decode()
    found = {}
    for part in ("sum", "count"):
        lines = re.findall(
            rf'^ray_jupyter_kuberay_padding_share_{part}{{[^}}]*application="{application}"[^}}]*}} (\S+)$', told, re.MULTILINE
        )
        found[part] = sum(map(float, lines))
    return found["sum"] / found["count"] if found["count"] else float("nan")


def used() -> tuple[float, float]:
    """Seconds of CPU that this machine has spent, and those of them that this benchmark has."""
    of_all = psutil.cpu_times()
    tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
    ours, ended = 0.0, resource.getrusage(resource.RUSAGE_CHILDREN)
    for each in tree:
        with suppress(psutil.Error):
            ours += sum(each.cpu_times()[:2])
    return sum(of_all[:3]), ours + ended.ru_utime + ended.ru_stime


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(model: str, large: str, metrics: int) -> str:
    """Serve with five applications; host and port."""
    import ray
    from ray import serve

    from jupyter_kuberay.serving.summarizer import Summarizer

    @serve.deployment(max_ongoing_requests=1024, ray_actor_options={"num_cpus": 1})
    class Plain:
        def __init__(self) -> None:
            import torch
            from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

            torch.set_num_threads(1)
            self.tokenizer, self.model = AutoTokenizer.from_pretrained(model), AutoModelForSeq2SeqLM.from_pretrained(model).eval()

        async def __call__(self, request: Any) -> str:
            read = self.tokenizer(request.query_params["text"], return_tensors="pt")
            written = self.model.generate(input_ids=read["input_ids"], attention_mask=read["attention_mask"])
            return str(self.tokenizer.decode(written[0], skip_special_tokens=True))

    @serve.deployment(max_ongoing_requests=1024, ray_actor_options={"num_cpus": 1})
    class Free:
        async def __call__(self, request: object) -> str:
            return "free"

    port, folder = free_port(), tempfile.mkdtemp(prefix="jk-", dir="/tmp")
    quiet = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
    ray.init(address="local", num_cpus=6, _temp_dir=folder, _metrics_export_port=metrics, **quiet)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    for name, weights, size in (("one", model, 1), ("batched", model, 16), ("large", large, LARGE_BATCH)):
        settings = {"model": weights, "max_batch_size": size, "revision": 1}
        serve.run(Summarizer.options(user_config=settings).bind(), name=name, route_prefix=f"/{name}")
    serve.run(Plain.bind(), name="plain", route_prefix="/plain")
    serve.run(Free.bind(), name="free", route_prefix="/free")
    return f"127.0.0.1:{port}"


def main() -> int:
    import ray

    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    with tempfile.TemporaryDirectory(prefix="jk-bench-") as home:
        model = make_model(Path(home) / "model")
        large = make_model(Path(home) / "large", size=SMALL)
        bare = [in_process(model)]
        metrics = free_port()
        address = start(model, large, metrics)
        ways: dict[str, list[Told]] = {"plain": [], "one": [], "batched": [], "free": []}
        crowds: dict[int, Told] = {}

        def ask(way: str, clients: int = CLIENTS, seconds: float = SECONDS) -> Told:
            return load(address, [f"/{way}/summarize?text={quote(text)}" for text in texts()], clients, seconds)

        try:
            for way in ways:
                ask(way, seconds=2)  # warm
            before, began = used(), time.perf_counter()
            for turn in range(TURNS):
                for way in sorted(ways, reverse=bool(turn % 2)):
                    ways[way].append(ask(way))
            of_large: list[tuple[float, float]] = []
            for _ in range(TURNS):
                of_large.append((in_process(large, (LARGE_BATCH,), LARGE_S)[LARGE_BATCH], ask("large", LARGE_BATCH, LARGE_S).rate))
            of_large.append((in_process(large, (LARGE_BATCH,), LARGE_S)[LARGE_BATCH], 0.0))
            for clients in CROWDS:
                crowds[clients] = ask("batched", clients)
            after, seconds = used(), time.perf_counter() - began
            others = ((after[0] - before[0]) - (after[1] - before[1])) / seconds
            shares = padded(metrics, "batched"), in_order_of_arrival(model)
        finally:
            ray.shutdown()
        bare.append(in_process(model))
    print(f"      others on this machine used {others:.2f} of its {os.cpu_count()} cores meanwhile")
    print(f"      padding: {shares[0]:.1%} of the tokens; {shares[1]:.1%} in full batches in the order of arrival")
    small_met = told(bare, ways, crowds)
    return not (told_of_large(of_large) and small_met)


def told_of_large(found: list[tuple[float, float]]) -> bool:
    """Of a model that takes longer than Serve does: its rates without and with Serve in turn, which are set beside their neighbours."""
    shares = [served / statistics.mean((before, after)) for (before, served), (after, _) in pairwise(found)]
    share = statistics.median(shares)
    told = ", ".join(f"{served:.1f}/s beside {before:.1f}/s without Serve" for before, served in found[:-1])
    return report(
        "a model as large as t5-small: its rate",
        f"{share:.2f} of what there is",
        goal="at least 0.9",
        met=share >= 0.9,
        detail=f"{told}; batches of {LARGE_BATCH}",
    )


def told(bare: list[dict[int, float]], ways: dict[str, list[Told]], crowds: dict[int, Told]) -> bool:
    rate = {way: statistics.median(each.rate for each in found) for way, found in ways.items()}
    p99 = {way: statistics.median(each.p99 for each in found) for way, found in ways.items()}
    alone = {size: statistics.median(each[size] for each in bare) for size in SIZES}
    best = max(alone, key=alone.__getitem__)
    times = statistics.median(many.rate / one.rate for one, many in zip(ways["plain"], ways["batched"], strict=True))
    tail = statistics.median(many.p99 / one.p99 for one, many in zip(ways["plain"], ways["batched"], strict=True))
    ceiling = min(alone[best], rate["free"])
    goodput = {clients: each.rate for clients, each in crowds.items()}
    kept = goodput[CROWDS[-1]] / max(goodput.values())
    failed = sum(each.failed for found in (*ways.values(), list(crowds.values())) for each in found)
    print("      without Serve, by batch size: " + ", ".join(f"{size}: {found:.0f}/s" for size, found in alone.items()))
    print(
        "      by clients: "
        + ", ".join(f"{clients}: {found.rate:.0f}/s, p99 {found.p99 * 1000:.0f} ms" for clients, found in crowds.items())
    )
    return all(
        [
            report(
                "ours against generate, one at a time",
                f"{times:.1f} times the requests a second",
                goal="at least 3",
                met=times >= 3,
                detail=f"{rate['plain']:.0f}/s, ours {rate['batched']:.0f}/s ({rate['one']:.0f}/s without batches), {CLIENTS} clients",
            ),
            report(
                "its p99",
                f"{tail:.2f} of one at a time",
                goal="at most 1",
                met=tail <= 1,
                detail=f"{p99['plain'] * 1000:.0f} ms, ours {p99['batched'] * 1000:.0f} ms ({p99['one'] * 1000:.0f} ms without batches)",
            ),
            report(
                "its rate",
                f"{rate['batched'] / ceiling:.2f} of what there is",
                goal="at least 0.9",
                met=rate["batched"] >= 0.9 * ceiling,
                detail=f"the model without Serve {alone[best]:.0f}/s in batches of {best}, Serve without a model {rate['free']:.0f}/s",
            ),
            report(f"good answers with {CROWDS[-1]} clients", f"{kept:.2f} of the peak", goal="at least 0.8", met=kept >= 0.8),
            report("requests that failed", str(failed), goal="0", met=not failed),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
