"""``jupyter kuberay demo``: the whole way once, on a cluster of its own, and clean up whatever happens."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_kuberay.batch import Place, RunRequest
from jupyter_kuberay.batch.many import Runs
from jupyter_kuberay.batch.opening import Opened, open_pipeline
from jupyter_kuberay.batch.piping import PipelineRun
from jupyter_kuberay.errors import Failed, InvalidSpec, KubeRayError, NotFound, Refused
from jupyter_kuberay.faces.batches import pipeline_on
from jupyter_kuberay.faces.commands import wanted
from jupyter_kuberay.faces.face import Face, Interrupted
from jupyter_kuberay.faces.runs import borrowed, cluster_facts, end, kernel_environment, short_name
from jupyter_kuberay.loop import run_sync
from jupyter_kuberay.observation import Kind
from jupyter_kuberay.service import Service

AT_ONCE = 2  # notebooks
UP_SECONDS = 300.0
ANSWER_SECONDS = 60.0
MINUTE = 60.0

# The document that this product grew from asked for a summary of this.
FOUNDING_TEXT = (
    "A large language model (LLM) is a computational model notable for its ability to achieve general-purpose language generation and "
    "other natural language processing tasks such as classification. Based on language models, LLMs acquire these abilities by learning "
    "statistical relationships from text documents during a computationally intensive self-supervised and semi-supervised training "
    "process. LLMs can be used for text generation, a form of generative AI, by taking an input text and repeatedly predicting the next "
    "token or word."
)


@dataclass(frozen=True)
class Answer:
    """What a service answered, and how long that took."""

    text: str
    seconds: float


class Demo:
    """One run of the demo.

    Parameters
    ----------
    model
        A seq2seq model by name or path, further trained on the reports; "": a small one from scratch.
    run_dir
        Where notebooks, data and model go; "": a new folder below ``runs/``.
    pipeline
        What is run: a pipeline's file, or the folder of one; "": the lifecycle's.
    """

    def __init__(
        self,
        face: Face,
        *,
        model: str = "",
        run_dir: str = "",
        profile: str = "",
        keep: bool = False,
        pipeline: str = "",
    ) -> None:
        self._face = face
        self._model = model
        self._profile = profile
        self._keep = keep
        self._pipeline = pipeline or str(notebooks_folder())
        self.service = short_name("demo")
        self.run_dir = Path(run_dir or Path("runs") / f"{time.strftime('%Y-%m-%d')}-{self.service}").resolve()

    def show(self) -> None:
        """Run it all, and say what came of it.

        Raises
        ------
        Failed, Refused, TimedOut
            Something on the way did not work. Cluster and service are gone unless they are to be kept.
        """
        began = time.monotonic()
        opened = self._opened()
        where = "on this machine" if self._face.client.backend.name == "local" else "on Kubernetes"
        self._face.say(f"From nothing to a served model {where}. Everything of this run: {_short(self.run_dir)}\n")
        started = time.monotonic()
        with borrowed(self._face, "demo", self._keep, lambda name: wanted(self._face.client, name, self._profile), UP_SECONDS) as cluster:
            self._face.say(f"✓ cluster {cluster} is ready ({time.monotonic() - started:.1f} s)")
            with self._unpublished():
                done = self._run(opened, cluster)
                self._tell()
        self._last_words(cluster, done, time.monotonic() - began)

    def _opened(self) -> Opened:
        """The pipeline, and everything that can be wrong with it before anything is started."""
        # A registry of its own: nobody's champion changes because a demo was run.
        registry = f"sqlite:///{self.run_dir}/registry.db"
        offered = {
            "run_dir": str(self.run_dir),
            "service": self.service,
            "profile": self._profile,
            "base": self._model,
            "registry": registry,
        }
        known = open_pipeline(self._pipeline).pipeline.parameters
        given = {name: value for name, value in offered.items() if name in known and value}
        opened = open_pipeline(self._pipeline, given, str(self.run_dir / "notebooks"))
        try:
            (self.run_dir / "notebooks").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"{self.run_dir} cannot be written: {error.strerror}.", "Name another folder: --run-dir PATH.") from error
        return opened

    # --- what runs -------------------------------------------------------

    def _run(self, opened: Opened, cluster: str) -> PipelineRun:
        where = Place.of(opened.folder)
        one = RunRequest(
            where,
            Place.of(opened.output),
            {},
            cluster,
            kernel_environment(self._face),
            folder=where.path,
            attach=False,
            **cluster_facts(self._face, cluster),
        )
        done = pipeline_on(self._face, opened, one, AT_ONCE, False, Runs(), None, impatient=True)
        for step in done.steps:
            if not step.state.good:
                raise Failed(step.error, step.hint)
        return done

    def _tell(self) -> None:
        face, evaluation = self._face, _read(self.run_dir / "evaluation.json")
        summaries = self.run_dir / "evaluation" / "summaries.parquet"
        report = _a_report(summaries) if summaries.is_file() else {}
        with Service(self.service, face.client).reach() as url:
            if report:
                face.line("\nA held-out report, which the model has not seen:")
                self._ask(url, str(report["document"]), wanted=str(report["summary"]))
            label = f"by {self._model}" if self._model else "outside the small model's training data: it knows incident reports only"
            face.line(f"\nThe founding document's text ({label}):")
            self._ask(url, FOUNDING_TEXT)
        scores = evaluation.get("scores") or {}
        if scores:
            said = f"\nROUGE-L on {evaluation.get('reports', '?')} held-out reports: {scores['model']['rougeL']:.3f}"
            face.line(said + (f" (Lead-1 has {scores['lead1']['rougeL']:.3f})" if "lead1" in scores else ""))

    def _ask(self, url: str, text: str, wanted: str = "") -> None:
        answer = ask(url, text)
        rows = [("document", text), ("summary", answer.text), ("reference", wanted)]
        for label, value in rows:
            if value:
                self._face.line(_paragraph(label, value))
        self._face.line(f"  {'latency':<10} {answer.seconds * 1000:.0f} ms over HTTP, GET {url}/summarize?text=…")

    # --- what is left ----------------------------------------------------

    @contextmanager
    def _unpublished(self) -> Iterator[None]:
        """Take the service down in the end, unless it is to be kept."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            said = interrupt.message if isinstance(interrupt, Interrupted) else "Interrupted."
            raise Interrupted(f"{said} {self._end(keep=False)}".rstrip()) from None
        except BaseException:
            if said := self._end(keep=self._keep):
                self._face.say(said)
            raise
        else:
            if not self._keep:
                self._end(keep=False)

    def _end(self, *, keep: bool) -> str:
        """Take the service down, if it is there and not to be kept; tells what became of it."""
        try:
            run_sync(self._face.client.backend.get(Kind.SERVICE, self.service))
        except NotFound:
            return ""
        except (KubeRayError, KeyboardInterrupt):
            pass  # it is tried nevertheless
        return end(self._face, self.service, Kind.SERVICE, keep)

    def _last_words(self, cluster: str, done: PipelineRun, seconds: float) -> None:
        face, run_dir = self._face, _short(self.run_dir)
        face.line(f"\nNotebooks with their outputs: {run_dir}/notebooks; as one page: {run_dir}/notebooks/report.html")
        if (self.run_dir / "model").is_dir():
            face.line(f"Model:                        {run_dir}/model")
        if self._keep:
            face.line(
                f"\nCluster {cluster} and service {self.service} go on. To continue:\n"
                f"    jupyter kuberay attach {cluster}\n"
                f"    jupyter kuberay services {self.service}\n"
                f"To end them:\n"
                f"    jupyter kuberay unpublish --yes {self.service}\n"
                f"    jupyter kuberay down --yes {cluster}"
            )
        else:
            face.line("Service and cluster were taken down again. With --keep they go on.")
        minutes, rest = divmod(round(seconds), int(MINUTE))
        face.line(f"All of it took {minutes} min {rest} s.")


def notebooks_folder() -> Path:
    """Where the lifecycle's notebooks are: in the package that was installed, or beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "notebooks"
    return inside if inside.is_dir() else package.parent / "notebooks"


def ask(url: str, text: str, timeout: float = ANSWER_SECONDS) -> Answer:
    """Send ``text`` to a published summarizer and time it.

    Raises
    ------
    Failed
        It answered something else than a summary, or not within ``timeout`` seconds.
    """
    address = f"{url.rstrip('/')}/summarize?{urllib.parse.urlencode({'text': text})}"
    began = time.monotonic()
    try:
        with urllib.request.urlopen(address, timeout=timeout) as response:
            body = response.read()
    except urllib.error.HTTPError as error:
        said = error.read(300).decode(errors="replace")
        raise Failed(f"The service answered with {error.code}: {said}", "See its log: jupyter kuberay logs.") from error
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"The service does not answer: {error}", "See its status: jupyter kuberay services.") from error
    seconds = time.monotonic() - began
    try:
        summary = json.loads(body)
    except ValueError:
        summary = None
    if not isinstance(summary, str):
        raise Failed(f"The service answered no JSON string: {body[:200]!r}", "See its log: jupyter kuberay logs.")
    return Answer(summary, seconds)


def _a_report(summaries: Path) -> dict[str, Any]:
    """A report of middling length from the held-out ones."""
    import pyarrow.parquet as parquet

    rows = sorted(parquet.read_table(summaries, columns=["document", "summary"]).to_pylist(), key=lambda row: len(row["document"]))
    return dict(rows[len(rows) // 2]) if rows else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InvalidSpec(f"{path} is not JSON: {error}", "Take another run folder.") from error


def _paragraph(label: str, text: str, width: int = 100) -> str:
    import textwrap

    first, *rest = textwrap.wrap(" ".join(text.split()), width) or [""]
    return "\n".join([f"  {label:<10} {first}", *(" " * 13 + line for line in rest)])


def _short(path: Path) -> str:
    """Relative to where the person is, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
