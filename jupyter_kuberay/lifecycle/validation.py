"""The gate before publishing: a model that fails it is not published, and is told why."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from jupyter_kuberay.lifecycle._run import Json, LifecycleError, read_json, write_json
from jupyter_kuberay.lifecycle.gates import DEFAULTS, Gate, judged, read_gates
from jupyter_kuberay.lifecycle.measures import mean, rouge

__all__ = ["DEFAULTS", "ODD_INPUTS", "Gate", "NotGoodEnough", "markdown", "read_gates", "require", "try_inputs", "validate"]

_ODD: dict[str, dict[str, str]] = {
    "empty": {"nothing": "", "white space": " \n\t "},
    "short": {"one word": "Outage.", "one letter": "x", "punctuation": "... !!! ???"},
    "noisy": {
        "emoji": "🔥 checkout down 🔥 all orders lost 😱",
        "other scripts": "サービスが停止した。ディスクが一杯だった。 الخدمة متوقفة. Сервис не отвечал.",
        "control characters": "The service\x00 was\x07 down\u200b for an\u202e hour.",
        "markup": "<script>alert('down')</script> **checkout** {{failed}} </s> <pad>",
        "typing errors": "Teh serach srevice was slwo. A dsik was flul. Odl flies were delteed.",
    },
    "long": {
        "no spaces": "nobodycouldlogin" * 40,
        "long": "The search service was slow. A disk was full. Old files were deleted. " * 300,
    },
}
ODD_INPUTS = {name: text for texts in _ODD.values() for name, text in texts.items()}
_KINDS = {name: kind for kind, texts in _ODD.items() for name in texts}
_NOISY_REPORTS = 24  # on which it is measured what noise costs
_ONE_IN = 25  # characters is wrong in a noisy report


class NotGoodEnough(LifecycleError):
    """The model failed a gate; the message names each with what was found and what was wanted."""


def validate(
    run_dir: str,
    *,
    model: str = "",
    gates: str | Mapping[str, Any] | None = None,
    least_rouge_l: float | None = None,
    over_lead1: float | None = None,
    below_published: float | None = None,
    latency_p95_s: float | None = None,
    gpus: float = 0,
) -> Json:
    """Judge whether the model of ``run_dir`` may be published; needs evaluation.evaluate before it. See `require`.

    Parameters
    ----------
    model
        The model that was evaluated; "": ``run_dir/model``.
    gates
        The file with the gates, such as notebooks/gates.yaml, or what it holds (`read_gates`), where the nodes do not see it.
        Where there is none, `DEFAULTS` are taken.
    least_rouge_l, over_lead1, below_published
        In place of what the gates say of ROUGE-L: on held-out reports; more than the first sentence has; less than what is
        published now has.
    latency_p95_s
        Likewise: for one report alone, on one CPU (or a GPU), in seconds; at most.

    Returns
    -------
    What is also written to ``validation.json``: passed, gates, inputs, latency, size, signature, seconds.

    Raises
    ------
    LifecycleError
        There was no evaluation, or it was one of another model; or the gates cannot be (see `read_gates`).
    """
    import ray

    started = time.monotonic()
    run = Path(run_dir)
    wanted, source = read_gates(gates)
    wanted = _changed(wanted, {"at_least": least_rouge_l, "over_lead1": over_lead1, "below_published": below_published}, latency_p95_s)
    evaluated = read_json(run / "evaluation.json", made_by="evaluation.evaluate")
    place = model or str(run / "model")
    if evaluated["models"]["model"] != place:
        raise LifecycleError(f"What was evaluated is {evaluated['models']['model']} and not {place}.", "Evaluate this model first.")
    reports = [case["document"] for case in evaluated["worst"]] or ["The search service was slow."]
    right = _reports(run) if "lost_to_noise" in wanted.get("robustness", {}) else []
    # Of the resources that a replica will have, not of this function's, which has none of its own.
    seen = ray.get(ray.remote(try_inputs).options(num_cpus=1, num_gpus=gpus).remote(place, reports, right=right))
    checked = judged(wanted, evaluated, seen)
    record = {
        "passed": all(gate.passed for gate in checked),
        "model": place,
        "gates": [
            {**gate._asdict(), "passed": gate.passed, "missed_by": round(gate.missed_by, 4), "verdict": str(gate)} for gate in checked
        ],
        "gates_from": source,
        **{name: seen[name] for name in ("inputs", "latency", "size", "noise")},
        "signature": wanted.get("signature", {}),
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


def _changed(wanted: Json, rouge_l: Mapping[str, float | None], latency_p95_s: float | None) -> Json:
    """The gates, with what parameters say in place of the file's numbers."""
    given = {name: value for name, value in rouge_l.items() if value is not None}
    if given:
        metrics = wanted.get("metrics", {})
        wanted = wanted | {"metrics": metrics | {"rougeL": metrics.get("rougeL", {}) | given}}
    if latency_p95_s is not None:
        wanted = wanted | {"latency": wanted.get("latency", {}) | {"p95_s": latency_p95_s}}
    return wanted


def _reports(run: Path) -> list[tuple[str, str]]:
    """Some evaluated reports with their right summaries, the same ones each time."""
    import pyarrow.parquet as pq

    rows = pq.read_table(run / "evaluation" / "summaries.parquet", columns=["document", "summary"]).slice(0, _NOISY_REPORTS)
    return list(zip(rows["document"].to_pylist(), rows["summary"].to_pylist(), strict=True))


# Trying the model


def try_inputs(place: str, reports: list[str], runs: int = 40, *, right: Sequence[tuple[str, str]] = ()) -> Json:
    """Ask the model at ``place`` for summaries of ordinary reports, timed, and of `ODD_INPUTS`.

    ``right``: reports with right summaries, of which it is measured how much ROUGE-L they lose to noise.
    """
    from jupyter_kuberay.lifecycle.evaluation import refuse_wrong_kind
    from jupyter_kuberay.serving.summarizer import Model, Unusable

    try:
        model = Model(place)
    except Unusable as error:
        raise LifecycleError(str(error)) from error
    refuse_wrong_kind(place, model.network.config.to_dict())
    inputs = [_try_one(model, name, text) for name, text in ODD_INPUTS.items()]
    model.summarize(reports[:1])
    took = sorted(_seconds(model, reports[run % len(reports)]) for run in range(runs))
    latency = {"median": round(took[len(took) // 2], 4), "p95": round(took[int(len(took) * 0.95) - 1], 4), "runs": runs}
    return {
        "inputs": inputs,
        "latency": latency,
        "size": _size(model.network),
        "noise": _noise(model, right),
        "signature": _answers(model, reports),
    }


def _try_one(model: Any, name: str, text: str) -> Json:
    started = time.monotonic()
    try:
        summary = model.summarize([text])[0]
        summary.encode()
        ok, answer = len(summary) <= max(1000, len(text)), summary
    except Exception as error:  # whatever it is, it would be a 500 in service
        ok, answer = False, f"{type(error).__name__}: {error}"
    return {"input": name, "kind": _KINDS[name], "ok": ok, "answer": answer[:200], "seconds": round(time.monotonic() - started, 3)}


def _seconds(model: Any, report: str) -> float:
    started = time.perf_counter()
    model.summarize([report])
    return time.perf_counter() - started


def _size(network: Any) -> Json:
    held = sum(weight.numel() * weight.element_size() for weight in network.parameters())
    return {"megabytes": round(held / 1e6, 2), "million_parameters": round(network.num_parameters() / 1e6, 3)}


def _noise(model: Any, right: Sequence[tuple[str, str]]) -> Json:
    """What ROUGE-L the reports have as they are, and with one in 25 characters wrong."""
    if not right:
        return {}
    clean = model.summarize([document for document, _ in right])
    noisy = model.summarize([noise(document) for document, _ in right])
    found = {
        name: mean(rouge(summary, text)["rougeL"] for (_, summary), text in zip(right, told, strict=True))
        for name, told in (("clean", clean), ("noisy", noisy))
    }
    return found | {"lost": round(found["clean"] - found["noisy"], 4), "reports": len(right)}


def noise(text: str, one_in: int = _ONE_IN, seed: int = 7) -> str:
    """The text as somebody in a hurry types it: letters left out, doubled, or in another order; the same ones each time."""
    import random

    chance = random.Random(seed)
    found: list[str] = []
    for letter in text:
        if letter.isalpha() and chance.random() < 1 / one_in:
            change = int(chance.random() * 3)
            if change == 1:
                found.append(letter * 2)
            elif change == 2:
                found.insert(max(0, len(found) - 1), letter)
        else:
            found.append(letter)
    return "".join(found)


def _answers(model: Any, reports: list[str]) -> Json:
    """How many of several texts at once do not come back as one text each, as the signature has it."""
    asked = [reports[at % len(reports)] for at in range(3)]
    told = model.summarize(asked)
    wrong = abs(len(told) - len(asked)) + sum(not isinstance(text, str) for text in told)
    return {"wrong": wrong, "asked": len(asked)}


# Telling


def markdown(record: Json) -> str:
    """The gates as a table to read: what failed first, with by how much."""
    rows = ["| | gate | found | wanted | |", "|---|---|---:|---:|---|"]
    for gate in sorted(record["gates"], key=lambda gate: gate["passed"]):
        sign, by = "≥" if gate["at_least"] else "≤", abs(gate["found"] - gate["wanted"])
        mark, verdict = ("✓", "passed") if gate["passed"] else ("✗", f"**failed by {by:.3g}**")
        rows.append(f"| {mark} | {escape(gate['name'])} | {gate['found']:.4g} | {sign} {gate['wanted']:.4g} | {verdict} |")
    failed = sum(not gate["passed"] for gate in record["gates"])
    said = f"**{failed} of {len(record['gates'])} gates failed.**" if failed else f"All {len(record['gates'])} gates passed."
    return "\n".join([said, "", *rows])
