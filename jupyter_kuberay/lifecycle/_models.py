"""The model that is trained: where it comes from, what of it learns (all, or LoRA's small matrices), and how it is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_kuberay.lifecycle._run import Json, LifecycleError
from jupyter_kuberay.lifecycle._small_t5 import SMALL_T5, from_scratch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_ADAPTER = "adapter_config.json"


def started(settings: Json) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer to begin with."""
    if settings["base"] == SMALL_T5:
        return from_scratch(settings["data"])
    model, tokenizer = load(settings["base"], settings["allow_pickle"])
    return (_with_lora(model, settings["lora_rank"]) if settings["lora_rank"] else model), tokenizer


def resumed(settings: Json, folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer that a checkpoint in ``folder`` holds, ready to learn on."""
    from transformers import AutoTokenizer

    if not (folder / _ADAPTER).exists():
        return load(str(folder))
    from peft import PeftModel

    model, _ = load(settings["base"], settings["allow_pickle"])
    return PeftModel.from_pretrained(model, str(folder), is_trainable=True), AutoTokenizer.from_pretrained(folder)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Keep what learns: the whole model, or LoRA's matrices alone. As safetensors, never as a pickle."""
    _without_bars()
    # peft would ask a hub whether the base model's vocabulary is as it was.
    model.save_pretrained(folder, **({"save_embedding_layers": False} if hasattr(model, "peft_config") else {}))
    tokenizer.save_pretrained(folder)


def merged(settings: Json, folder: Path, target: Path) -> None:
    """Write the model of the checkpoint in ``folder`` as plain weights into ``target``, so that serving it needs no peft."""
    model, tokenizer = resumed(settings, folder)
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def load(place: str, allow_pickle: bool = False) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A sequence-to-sequence model by path or name, or `LifecycleError`. Weights come as 32 bits, whatever they are kept as."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    _without_bars()
    # It would ask a service on the network to make safetensors of a pickle.
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    try:
        # Without `use_safetensors` a pickle is taken where there is nothing else; torch then loads tensors only.
        model = AutoModelForSeq2SeqLM.from_pretrained(place, use_safetensors=None if allow_pickle else True, dtype=torch.float32)
        return model, AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        why = str(error).strip().splitlines()[0]
        if not allow_pickle and "safetensors" in str(error):
            raise LifecycleError(
                f"The base model {place} has no weights as safetensors; a pickle can run any code when it is loaded.",
                "Save it again with save_pretrained, or, if you trust where it comes from, give allow_pickle=True.",
            ) from error
        hint = "Give a path, or the name of a sequence-to-sequence model on a hub that the cluster can reach."
        raise LifecycleError(f"The base model {place} cannot be loaded: {why}", hint) from error


def _with_lora(model: PreTrainedModel, rank: int) -> PreTrainedModel:
    from peft import LoraConfig, get_peft_model

    # All linear layers: it learns nearly as well as all weights do, whatever a model calls its layers.
    config = LoraConfig(task_type="SEQ_2_SEQ_LM", r=rank, lora_alpha=2 * rank, lora_dropout=0.05, target_modules="all-linear")
    return get_peft_model(model, config)


def _without_bars() -> None:
    """Of files that are loaded and written: one for each checkpoint, among what training tells."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
