"""The gate before publishing: a model that fails it is not published, and is told why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json, write_json

ODD_INPUTS = {
    "one word": "Outage.",
    "one letter": "x",
    "punctuation": "... !!! ???",
    "emoji": "🔥 checkout down 🔥 all orders lost 😱",
    "other scripts": "サービスが停止した。ディスクが一杯だった。 الخدمة متوقفة. Сервис не отвечал.",
    "control characters": "The service\x00 was\x07 down\u200b for an\u202e hour.",
    "no spaces": "nobodycouldlogin" * 40,
    "markup": "<script>alert('down')</script> **checkout** {{failed}} </s> <pad>",
    "long": "The search service was slow. A disk was full. Old files were deleted. " * 300,
}


class NotGoodEnough(LifecycleError):
    """The model failed a gate; the message names each with what was found and what was wanted."""


class Gate(NamedTuple):
    name: str
    found: float
    wanted: float
    at_least: bool  # or at most

    @property
    def passed(self) -> bool:
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted

    def __str__(self) -> str:
        word = "at least" if self.at_least else "at most"
        verdict = "passed" if self.passed else f"failed by {abs(self.found - self.wanted):.3g}"
        return f"{self.name}: {self.found:.4g}, {word} {self.wanted:.4g} ({verdict})"


def validate(
    run_dir: str,
    *,
    model: str = "",
    least_rouge_l: float = 0.85,
    over_lead1: float = 0.1,
    below_published: float = 0.01,
    latency_p95_s: float = 1.0,
    gpus: float = 0,
) -> Json:
    """Judge whether the model of ``run_dir`` may be published; needs evaluation.evaluate before it. See `require`.

    Parameters
    ----------
    model
        The model that was evaluated; "": ``run_dir/model``.
    least_rouge_l
        On held-out reports.
    over_lead1
        How much better than the first sentence it must be, in ROUGE-L.
    below_published
        How much worse than what is published now it may be, in ROUGE-L.
    latency_p95_s
        For one report alone, on one CPU (or a GPU), in seconds; at most.

    Returns
    -------
    What is also written to ``validation.json``: passed, gates, inputs, latency, seconds.

    Raises
    ------
    LifecycleError
        There was no evaluation, or it was one of another model.
    """
    import ray

    started = time.monotonic()
    run = Path(run_dir)
    evaluated = read_json(run / "evaluation.json", made_by="evaluation.evaluate")
    place = model or str(run / "model")
    if evaluated["models"]["model"] != place:
        raise LifecycleError(f"What was evaluated is {evaluated['models']['model']} and not {place}.", "Evaluate this model first.")
    reports = [case["document"] for case in evaluated["worst"]] or ["The search service was slow."]
    # Of the resources that a replica will have, not of this function's, which has none of its own.
    seen = ray.get(ray.remote(try_inputs).options(num_cpus=1, num_gpus=gpus).remote(place, reports))
    wanted = {"least": least_rouge_l, "over_lead1": over_lead1, "below_published": below_published, "latency": latency_p95_s}
    checked = gates(evaluated["scores"], seen, wanted)
    record = {
        "passed": all(gate.passed for gate in checked),
        "model": place,
        "gates": [{**gate._asdict(), "passed": gate.passed, "verdict": str(gate)} for gate in checked],
        "inputs": seen["inputs"],
        "latency": seen["latency"],
        "seconds": round(time.monotonic() - started, 1),
    }
    write_json(run / "validation.json", record)
    return record


def require(run_dir: str) -> Json:
    """Give what `validate` found of the model in ``run_dir``, or `NotGoodEnough` that says which gates failed by how much."""
    path = Path(run_dir) / "validation.json"
    record = read_json(path, made_by="validation.validate")
    failed = [gate["verdict"] for gate in record["gates"] if not gate["passed"]]
    if failed:
        raise NotGoodEnough(f"The model may not be published. {'; '.join(failed)}.", f"See {path}; train longer or on more data.")
    return record


def gates(scores: Json, seen: Json, wanted: dict[str, float]) -> list[Gate]:
    """Every gate with what was found: of the scores of an evaluation, and of `try_inputs`."""
    rouge_l = scores["model"]["rougeL"]
    found = [
        Gate("ROUGE-L", rouge_l, wanted["least"], True),
        Gate("ROUGE-L over Lead-1", round(rouge_l - scores["lead1"]["rougeL"], 4), wanted["over_lead1"], True),
    ]
    if "published" in scores:
        lost = round(scores["published"]["rougeL"] - rouge_l, 4)
        found.append(Gate("ROUGE-L below the published revision", lost, wanted["below_published"], False))
    broken = sum(not case["ok"] for case in seen["inputs"])
    return [
        *found,
        Gate("latency of one report, 95th percentile in seconds", seen["latency"]["p95"], wanted["latency"], False),
        Gate("odd inputs that break it", broken, 0, False),
    ]


def try_inputs(place: str, reports: list[str], runs: int = 40) -> Json:
    """Ask the model at ``place`` for summaries of ordinary reports, timed, and of `ODD_INPUTS`."""
    from jupyter_kuberay.serving.summarizer import Model, Unusable

    try:
        model = Model(place)
    except Unusable as error:
        raise LifecycleError(str(error)) from error
    inputs = [_try_one(model, name, text) for name, text in ODD_INPUTS.items()]
    model.summarize(reports[:1])
    took = sorted(_seconds(model, reports[run % len(reports)]) for run in range(runs))
    latency = {"median": round(took[len(took) // 2], 4), "p95": round(took[int(len(took) * 0.95) - 1], 4), "runs": runs}
    return {"inputs": inputs, "latency": latency}


def _try_one(model: Any, name: str, text: str) -> Json:
    started = time.monotonic()
    try:
        summary = model.summarize([text])[0]
        summary.encode()
        ok, answer = len(summary) <= max(1000, len(text)), summary
    except Exception as error:  # whatever it is, it would be a 500 in service
        ok, answer = False, f"{type(error).__name__}: {error}"
    return {"input": name, "ok": ok, "answer": answer[:200], "seconds": round(time.monotonic() - started, 3)}


def _seconds(model: Any, report: str) -> float:
    started = time.perf_counter()
    model.summarize([report])
    return time.perf_counter() - started
