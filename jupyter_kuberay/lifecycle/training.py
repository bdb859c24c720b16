"""Training a summarizer with Ray Train: a small T5 from scratch, or any sequence-to-sequence model further."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json, write_json

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Example = tuple[list[int], list[int]]  # a document and its summary, as tokens

SMALL_T5 = "t5-small-from-scratch"
# How Ray Train is set; it hands these on from the process that calls it.
_RAY_TRAIN = {
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # importing torch can take minutes where a disk or the processors are busy
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",  # it says everything twice
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # every epoch leaves a checkpoint anyway
}
_LONGEST_DOCUMENT = 512  # tokens; of a base model, what it can read
_LONGEST_SUMMARY = 128
_ALIKE = 25  # batches among which documents are put together by length
_DONT_COUNT = -100  # torch's label for what the loss leaves out


def train(
    run_dir: str,
    *,
    base: str = SMALL_T5,
    epochs: int = 0,
    batch_size: int = 16,
    learning_rate: float = 0.0,
    workers: int = 1,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    threads: int = 0,
    seed: int = 7,
    limit: int | None = None,
) -> Json:
    """Train on ``run_dir/data`` and leave the model in ``run_dir/model``.

    Parameters
    ----------
    base
        ``SMALL_T5`` trains a model of 0.85 million parameters and its
        tokenizer on the data alone. Anything else is the path or the name of
        a model to train further, such as facebook/bart-large-cnn.
    epochs
        How often each document is seen; 0: 3 times from scratch, once with a base model.
    batch_size
        Documents a step and worker.
    learning_rate
        At its highest; 0: 1.5e-3 from scratch, 3e-5 for a base model.
    workers, cpus_per_worker, gpus_per_worker
        The worker group; its workers train data-parallel.
    threads
        Of torch in each worker; 0: all cores, shared among the workers of this node.
    limit
        Train on no more documents than this.

    Returns
    -------
    What is also written to ``training.json``: model (path), parameters, losses by epoch, seconds.

    Raises
    ------
    LifecycleError
        There are no data, or the base model cannot be loaded.
    """
    started = time.monotonic()
    run = Path(run_dir)
    manifest = read_json(run / "data" / "manifest.json", made_by="data.prepare")
    shutil.rmtree(run / "training", ignore_errors=True)
    for judgement in ("evaluation.json", "validation.json"):  # of the model that is replaced now
        (run / judgement).unlink(missing_ok=True)
    usual_epochs, usual_rate = (3, 1.5e-3) if base == SMALL_T5 else (1, 3e-5)
    settings = {"data": manifest["path"], "base": base, "epochs": epochs or usual_epochs, "batch_size": batch_size}
    settings |= {"learning_rate": learning_rate or usual_rate}
    settings |= {"threads": threads, "seed": seed, "limit": limit}
    result = _fit(run / "training", settings, workers, {"CPU": cpus_per_worker, "GPU": gpus_per_worker})
    with result.checkpoint.as_directory() as checkpoint:
        _replace(run / "model", Path(checkpoint))
    record = {
        "model": str(run / "model"),
        "base": base,
        "parameters": result.metrics["parameters"],
        "losses": result.metrics["losses"],
        "settings": {name: value for name, value in settings.items() if name != "data"},
        "workers": workers,
        "seconds_in_epochs": result.metrics["seconds"],
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(run / "training.json", record)
    return record


def _fit(folder: Path, settings: Json, workers: int, resources: dict[str, float]) -> Any:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    for name, value in _RAY_TRAIN.items():
        os.environ.setdefault(name, value)
    # Not use_gpu=True: it takes NCCL, which simulated GPUs do not have. Each worker sees for itself whether CUDA is there.
    trainer = TorchTrainer(
        _train_on_worker,
        train_loop_config=settings,
        scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={name: n for name, n in resources.items() if n}),
        torch_config=TorchConfig(backend="gloo"),
        run_config=RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(max_failures=1),
            # Threads that have nothing to do sleep. Else they spin, and on a busy machine take the time of those that have.
            worker_runtime_env={"env_vars": {"OMP_WAIT_POLICY": "PASSIVE"}},
        ),
    )
    result = trainer.fit()
    if result.metrics and "problem" in result.metrics:
        raise LifecycleError(*result.metrics["problem"])
    return result


def _replace(target: Path, source: Path) -> None:
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copytree(source, draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)


# On each worker


def _train_on_worker(settings: Json) -> None:
    import logging

    import ray.train
    import torch
    from ray.train.torch import prepare_model
    from transformers.utils.logging import disable_progress_bar

    # Ray Train has set this process's loggers to tell everything; its account of every report would drown ours.
    for name in (None, "ray.train"):
        logging.getLogger(name).setLevel(logging.WARNING)
    disable_progress_bar()  # of files
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(settings["threads"] or max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    torch.manual_seed(settings["seed"])
    try:
        model, tokenizer, first_epoch = _model(settings)
    except LifecycleError as error:
        # Raised here, it would be tried again, and wrapped in a traceback of Ray's.
        ray.train.report({"problem": [error.message, error.hint]})
        return
    examples = _examples(settings, tokenizer, "train")
    held_out = _examples(settings, tokenizer, "validation")
    wrapped = prepare_model(model)
    device = next(model.parameters()).device
    plan = _Plan([len(document) for document, _ in examples], settings["batch_size"], world, settings["epochs"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["learning_rate"], betas=(0.9, 0.98), fused=True)
    losses: list[Json] = []
    started = time.monotonic()
    for epoch in range(first_epoch, settings["epochs"]):
        model.train()
        total = 0.0
        for step, rows in enumerate(plan.batches(epoch, rank, settings["seed"])):
            for group in optimizer.param_groups:
                group["lr"] = settings["learning_rate"] * plan.warmth(epoch * plan.steps + step)
            loss = wrapped(**_batch([examples[row] for row in rows], tokenizer, device)).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
        seconds = round(time.monotonic() - started, 1)
        unseen = _loss(model, held_out, tokenizer, device)
        losses.append({"epoch": epoch + 1, "train": round(total / plan.steps, 4), "validation": unseen})
        metrics = {"parameters": model.num_parameters(), "losses": losses, "seconds": seconds, "epoch": epoch + 1}
        if rank == 0:
            told = f"loss {losses[-1]['train']}, on held-out reports {losses[-1]['validation']}, {seconds} s"
            sys.stdout.write(f"epoch {epoch + 1} of {settings['epochs']}: {told}\n")
            sys.stdout.flush()
        _report(metrics, model, tokenizer, rank)


class _Plan:
    """Which rows each step of each worker takes, and how fast it learns from them."""

    def __init__(self, lengths: Sequence[int], batch_size: int, world: int, epochs: int) -> None:
        self.lengths = lengths  # of the documents, in tokens
        self.together = batch_size * world
        self.world = world
        self.steps = max(1, len(lengths) // self.together)  # an epoch
        self.total = self.steps * epochs

    def batches(self, epoch: int, rank: int, seed: int) -> list[list[int]]:
        """Another order in each epoch, the same on all workers, of which each takes its part.

        Documents of like length come together, because a batch is padded to its longest; which these are is a matter of
        chance, among `_ALIKE` batches at a time.
        """
        import torch

        chance = torch.Generator().manual_seed(1000 * seed + epoch)
        order = torch.randperm(len(self.lengths), generator=chance).tolist()[: self.steps * self.together]
        stretch = _ALIKE * self.together
        alike = [sorted(order[at : at + stretch], key=self.lengths.__getitem__) for at in range(0, len(order), stretch)]
        batches = [part[at : at + self.together] for part in alike for at in range(0, len(part), self.together)]
        return [batches[at][rank :: self.world] for at in torch.randperm(len(batches), generator=chance).tolist()]

    def warmth(self, step: int) -> float:
        """The learning rate's share: rising for a twentieth of the time, then falling to almost nothing."""
        rising = max(1, self.total // 20)
        return min((step + 1) / rising, max(0.02, (self.total - step) / max(1, self.total - rising)))


def _model(settings: Json) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, int]:
    """The model, its tokenizer, and the epoch to begin with: after a failure, that of the last checkpoint."""
    import ray.train

    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as place:
            return *_load(place), int(read_json(Path(place) / "progress.json")["epoch"])
    if settings["base"] != SMALL_T5:
        return *_load(settings["base"]), 0
    return *_from_scratch(settings["data"]), 0


def _load(place: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    try:
        return AutoModelForSeq2SeqLM.from_pretrained(place, use_safetensors=True), AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        hint = "Give a path, or the name of a model on a hub that the cluster can reach."
        raise LifecycleError(f"The base model {place} cannot be loaded: {why}", hint) from error


def _from_scratch(data: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    from transformers import T5Config, T5ForConditionalGeneration

    tokenizer = make_tokenizer(data)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=128,
        d_ff=256,
        d_kv=32,
        num_heads=4,
        num_layers=2,
        num_decoder_layers=2,
        dropout_rate=0.0,  # some epochs over thousands of reports do not overfit
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )
    model = T5ForConditionalGeneration(config)
    model.generation_config.max_new_tokens = 64
    return model, tokenizer


def make_tokenizer(data: str, vocabulary: int = 1500) -> PreTrainedTokenizerBase:
    """A byte-level BPE tokenizer learned from the train split: it can spell any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from jupyter_kuberay.lifecycle.data import load_split

    rows = load_split(data, "train")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((text for column in ("document", "summary") for text in rows[column].to_pylist()), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", model_max_length=_LONGEST_DOCUMENT)


def _examples(settings: Json, tokenizer: PreTrainedTokenizerBase, split: str) -> list[Example]:
    """Documents and summaries as tokens. A worker holds all of them: a million reports are 1 GB."""
    from jupyter_kuberay.lifecycle.data import load_split

    rows = load_split(settings["data"], split)
    if settings["limit"] is not None:
        rows = rows.slice(0, settings["limit"])
    longest = min(_LONGEST_DOCUMENT, tokenizer.model_max_length)
    documents = tokenizer(rows["document"].to_pylist(), truncation=True, max_length=longest)["input_ids"]
    summaries = tokenizer(text_target=rows["summary"].to_pylist(), truncation=True, max_length=_LONGEST_SUMMARY)["input_ids"]
    return list(zip(documents, summaries, strict=True))


def _batch(rows: list[Example], tokenizer: PreTrainedTokenizerBase, device: torch.device) -> dict[str, torch.Tensor]:
    import torch
    from torch.nn.utils.rnn import pad_sequence

    documents = [torch.tensor(document) for document, _ in rows]
    ids = pad_sequence(documents, batch_first=True, padding_value=int(tokenizer.pad_token_id or 0))
    mask = pad_sequence([torch.ones_like(document) for document in documents], batch_first=True)
    labels = pad_sequence([torch.tensor(summary) for _, summary in rows], batch_first=True, padding_value=_DONT_COUNT)
    return {name: value.to(device) for name, value in (("input_ids", ids), ("attention_mask", mask), ("labels", labels))}


def _loss(model: PreTrainedModel, rows: list[Example], tokenizer: PreTrainedTokenizerBase, device: torch.device) -> float:
    import torch

    model.eval()
    some = rows[:128]  # enough to see where it goes; evaluation takes them all
    with torch.inference_mode():
        return round(float(model(**_batch(some, tokenizer, device)).loss), 4)


def _report(metrics: Json, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, rank: int) -> None:
    import ray.train
    from ray.train import Checkpoint

    if rank:
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        write_json(Path(folder) / "progress.json", {"epoch": metrics["epoch"]})
        ray.train.report(metrics, checkpoint=Checkpoint.from_directory(folder))
