"""The training loop: steps over batches, epochs judged on held-out documents, checkpoints from which it goes on as if nothing had been."""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jupyter_kuberay.lifecycle import _examples, _models, _precision
from jupyter_kuberay.lifecycle._checkpoints import Checkpoints
from jupyter_kuberay.lifecycle._plan import Plan
from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json, write_json
from jupyter_kuberay.lifecycle._worker import Worker

OUTCOME = "outcome.json"  # beside the checkpoints: how a training ended
_PROGRESS = "progress.json"
_OPTIMIZER = "optimizer.safetensors"
_HELD_OUT = 256  # documents: enough to see where it goes; evaluation takes them all
_TOGETHER = 64  # of them


class Stopped(LifecycleError):
    """All workers alike stop for it, and would again."""


@dataclass
class Progress:
    """How far a training is. With the settings, all that a resumed one needs beside weights and optimizer."""

    step: int = 0  # steps done, of all epochs
    loss: float = 0.0  # of the steps of this epoch, added up
    losses: list[Json] = field(default_factory=list)  # by epoch
    best_epoch: int = 0  # 0: none yet
    best: float | None = None  # its loss on held-out documents
    scale: float = 0.0  # of fp16's gradients
    seconds: float = 0.0  # in steps and judging
    data: str = ""  # digest of the documents
    resumed: list[Json] = field(default_factory=list)  # where a run went on, each time that it had been ended


def run(settings: Json, worker: Worker, checkpoints: Checkpoints) -> Json:
    """Train until the last epoch, or until patience ends; the same outcome in all workers, and as `OUTCOME` beside the checkpoints.

    An outcome that is a problem (what a person can put right) has it as "problem": message and hint.
    """
    try:
        training = Training(settings, worker, checkpoints)
        outcome = training.run()
    except Stopped as error:
        # Raised here, it would be tried again by Ray. What only one of them meets (a storage that does not answer) is, and should.
        outcome = {"problem": [error.message, error.hint]}
    if worker.first:
        checkpoints.write(OUTCOME, outcome)
    return outcome


class Training:
    """One worker's part of a training: begun, or gone on with where the last whole checkpoint is."""

    def __init__(self, settings: Json, worker: Worker, checkpoints: Checkpoints) -> None:
        import torch

        self.settings = settings
        self.worker = worker
        self.checkpoints = checkpoints
        torch.set_num_threads(settings["threads"] or max(1, (os.cpu_count() or 1) // worker.beside))
        torch.manual_seed(settings["seed"])
        found = problem = None
        try:
            found = _last(checkpoints) if worker.first else None
        except LifecycleError as error:
            problem = (error.message, error.hint)
        if found := worker.agreed(found):
            try:
                self._prepare(*found)
            except LifecycleError as error:
                problem = (error.message, error.hint)
        # What stops one of them stops all: the others would wait for it.
        if problem := worker.any_of(problem):
            raise Stopped(*problem)
        self.began = time.monotonic() - self.progress.seconds

    def _prepare(self, step: int, half_written: list[int]) -> None:
        settings = self.settings
        self.progress = Progress()
        if step:
            with self.checkpoints.fetched(step) as folder:
                self.model, self.tokenizer = _models.resumed(settings, folder)
                self._optimize()
                self._restore(folder)
        else:
            self.model, self.tokenizer = _models.started(settings)
            self._optimize()
        train = _examples.load(settings["data"], "train", self.tokenizer, settings["limit"])
        self.held_out = _examples.load(settings["data"], "validation", self.tokenizer, settings["limit"]).rows[:_HELD_OUT]
        self.examples = train.rows
        if len(self.examples) < self.worker.world or not self.held_out:
            raise LifecycleError(f"There are {len(self.examples)} documents to train on, {len(self.held_out)} held out.", "Give more data.")
        if step and self.progress.data != train.digest:
            raise LifecycleError("The data are others than those that the checkpoints have seen.", "Train anew, with resume=False.")
        self.progress.data = train.digest
        lengths = [len(document) for document, _ in self.examples]
        self.plan = Plan(lengths, settings["batch_size"], self.worker.world, settings["epochs"])
        self.wrapped = self.worker.wrap(self.model) if self.worker.wrap else self.model
        self.padding = int(self.tokenizer.pad_token_id or 0)
        self.scaler = _precision.scaler(self.precision, self.device)
        if self.progress.scale:
            self.scaler.load_state_dict({**self.scaler.state_dict(), "scale": self.progress.scale})
        if step or half_written:
            self._say_where(step, half_written)

    def _optimize(self) -> None:
        import torch

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model.to(self.device)
        self.precision = _precision.chosen(self.settings["precision"], self.device)
        self.learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.learning, lr=self.settings["learning_rate"], betas=(0.9, 0.98), fused=True)

    def run(self) -> Json:
        """All that is left of it."""
        while not self._over():
            self._epoch()
        learning = sum(parameter.numel() for parameter in self.learning)
        return {
            "parameters": self.model.num_parameters() - (learning if self.settings["lora_rank"] else 0),  # LoRA's go into the others
            "trained_parameters": learning,
            "precision": self.precision,
            "device": self.device.type,
            "steps": self.progress.step,
            "losses": self.progress.losses,
            "best_epoch": self.progress.best_epoch,
            "best_step": self.progress.best_epoch * self.plan.steps,
            "stopped_early": len(self.progress.losses) < self.settings["epochs"],
            "resumed": self.progress.resumed,
            "seconds": round(self.progress.seconds, 1),
        }

    def step(self, rows: list[int]) -> float:
        """Learn from one batch; its loss."""
        import torch

        # Dropout and the like: the same again when a run is resumed, and another in each worker.
        torch.manual_seed((self.settings["seed"] * 1_000_003 + self.progress.step) * 1_009 + self.worker.rank)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings["learning_rate"] * self.plan.warmth(self.progress.step)
        with _precision.autocast(self.precision, self.device):
            loss = self.wrapped(**_examples.batch([self.examples[row] for row in rows], self.padding, self.device)).loss
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.learning, 1.0)
        value = float(loss.item())
        if not self._is_sound(float(norm)):
            raise Stopped(*self._unsound(value))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value

    def _is_sound(self, norm: float) -> bool:
        """Of the gradient's length, because that is the same in all workers, and a loss is not. fp16 passes over some steps and tries a
        smaller scale; only when there is none left something is wrong."""
        return math.isfinite(norm) or (self.scaler.is_enabled() and self.scaler.get_scale() >= 1)

    def _unsound(self, loss: float) -> tuple[str, str]:
        epoch, step = divmod(self.progress.step, self.plan.steps)
        what = f"The loss is {loss}" if not math.isfinite(loss) else f"The loss is {loss:.4g}, but its gradient is no number,"
        rate = self.settings["learning_rate"]
        hint = f"Give a lower learning_rate (it was {rate:g}); if that does not help, look for a document or a base model that is broken."
        return f"{what} at step {step + 1} of epoch {epoch + 1}, so training was stopped.", hint

    def _epoch(self) -> None:
        epoch, done = divmod(self.progress.step, self.plan.steps)
        every = self.settings["checkpoint_every"]
        self.model.train()
        for rows in self.plan.batches(epoch, self.worker.rank, self.settings["seed"])[done:]:
            self.progress.loss += self.step(rows)
            self.progress.step += 1
            if every and self.progress.step % every == 0 and self.progress.step % self.plan.steps:
                self._save()
        self._judge(epoch + 1)
        self.worker.report(self._report())
        self._save()

    def _judge(self, epoch: int) -> None:
        """Note the losses of an epoch, and whether it is the best."""
        progress = self.progress
        train, steps = self.worker.sums([progress.loss, self.plan.steps], self.device)
        unseen = self._held_out_loss()
        if not math.isfinite(unseen):
            raise Stopped(f"After epoch {epoch} the loss on held-out documents is {unseen}.", "Give a lower learning_rate.")
        progress.loss = 0.0
        progress.seconds = time.monotonic() - self.began
        progress.losses.append({"epoch": epoch, "train": round(train / steps, 4), "validation": round(unseen, 4)})
        if progress.best is None or unseen < progress.best:
            progress.best, progress.best_epoch = unseen, epoch
        told = f"loss {train / steps:.4f}, on held-out documents {unseen:.4f}, {progress.seconds:.1f} s"
        self.worker.tell(f"epoch {epoch} of {self.settings['epochs']}: {told}")

    def _held_out_loss(self) -> float:
        """Over all tokens of the summaries. Each worker takes its part of the documents."""
        import torch

        self.model.eval()
        mine = self.held_out[self.worker.rank :: self.worker.world]
        total, tokens = 0.0, 0
        for at in range(0, len(mine), _TOGETHER):
            batch = _examples.batch(mine[at : at + _TOGETHER], self.padding, self.device)
            count = int((batch["labels"] >= 0).sum())
            with torch.inference_mode(), _precision.autocast(self.precision, self.device):
                total += float(self.model(**batch).loss) * count
            tokens += count
        everyones, counted = self.worker.sums([total, tokens], self.device)
        return everyones / max(1, counted)

    def _report(self) -> Json:
        progress = self.progress
        told = {"losses": progress.losses, "step": progress.step, "resumed": progress.resumed, "seconds": round(progress.seconds, 1)}
        return {**progress.losses[-1], **told}

    def _over(self) -> bool:
        done, patience = len(self.progress.losses), self.settings["patience"]
        return done >= self.settings["epochs"] or bool(patience and done - self.progress.best_epoch >= patience)

    # Checkpoints

    def _save(self) -> None:
        if not self.worker.first:
            return
        self.progress.seconds = time.monotonic() - self.began
        self.progress.scale = float(self.scaler.get_scale()) if self.scaler.is_enabled() else 0.0
        best = self.progress.best_epoch * self.plan.steps
        self.checkpoints.save(self.progress.step, self._write, keep=[best] if best else [])

    def _write(self, folder: Path) -> None:
        from safetensors.torch import save_file

        _models.save(self.model, self.tokenizer, folder)
        state = self.optimizer.state_dict()["state"]
        tensors = {f"{number}.{name}": tensor.contiguous() for number, values in state.items() for name, tensor in values.items()}
        save_file(tensors, folder / _OPTIMIZER)
        write_json(folder / _PROGRESS, asdict(self.progress))

    def _restore(self, folder: Path) -> None:
        from safetensors.torch import load_file

        state: dict[int, dict[str, Any]] = {}
        for key, tensor in load_file(folder / _OPTIMIZER).items():
            number, _, name = key.partition(".")
            state.setdefault(int(number), {})[name] = tensor
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.progress = Progress(**read_json(folder / _PROGRESS))

    def _say_where(self, step: int, half_written: list[int]) -> None:
        passed_over = [number for number in half_written if number > step]
        self.progress.resumed.append({"step": step, "passed_over": passed_over})
        names = ", ".join(map(str, passed_over))
        over = f"; the checkpoint of step {names} is half written and was passed over" if passed_over else ""
        self.worker.tell(f"going on after step {step}{over}" if step else f"beginning anew{over}")


def _last(checkpoints: Checkpoints) -> tuple[int, list[int]]:
    """The step of the last whole checkpoint, 0 where there is none, and the steps of those that are not whole."""
    return max(checkpoints.steps(), default=0), checkpoints.half_written()
