"""How answers look: as a table, as HTML, and as the JSON that docs/json.md promises."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter
from rich.console import Console

from jupyter_kuberay.batch.records import RunRecord
from jupyter_kuberay.difference import Change, Difference, FileChange, MetricChange, difference
from jupyter_kuberay.doctor import Finding
from jupyter_kuberay.exposure import Exposure
from jupyter_kuberay.faces.answers import Attaching, Listing, Manifest, NotebookRun, Removed
from jupyter_kuberay.faces.render import as_json, as_yaml, data, html, plain, show
from jupyter_kuberay.faces.view import age, brief, view
from jupyter_kuberay.manifest import cluster_bundle
from jupyter_kuberay.observation import Node
from jupyter_kuberay.profiles import DEFAULTS, Limits, Profile, read_profiles
from jupyter_kuberay.publishing import Published, Step
from jupyter_kuberay.revision import Again, Revision, inline, zipped
from jupyter_kuberay.scaling import Scaling
from jupyter_kuberay.spec import ClusterSpec, SecretKey
from jupyter_kuberay.status import ApplicationStatus, Cause, ClusterStatus, JobPhase, JobStatus, Phase, ServiceStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
READY = ClusterStatus(
    name="alice-1",
    user="Alice",
    profile="gpu",
    created="2026-11-23T11:50:00Z",
    phase=Phase.READY,
    ready={"gpu": 2},
    wanted={"gpu": 2},
    gpus=2,
    simulated_gpus=True,
    ray_version="2.58.0",
)
DEGRADED = READY.model_copy(
    update={
        "name": "bob-2",
        "phase": Phase.DEGRADED,
        "ready": {"gpu": 1},
        "cause": Cause(what="1 of 2 gpu workers cannot be placed: <no room>", remedy="Ask for less."),
        "nodes": (Node(name="bob-2-gpu-1", group="gpu", reason="Unschedulable", restarts=3),),
    }
)
SERVICE = ServiceStatus(
    name="summarizer",
    phase=Phase.FAILED,
    revision=3,
    model="file:///runs/1/model",
    applications=(ApplicationStatus(name="default", state="DEPLOY_FAILED", message="no module named x"),),
    cause=Cause(what="Application 'default' is DEPLOY_FAILED: no module named x", remedy="Mend it."),
)
REVISION = Revision(number=2, app="m:app", code="UEsDB" * 1000, sha256="ab", model="s3://x", metrics={"rougeL": 0.94}, current=True)
PUBLISHED = Published(
    "summarizer", "http://127.0.0.1:24006", REVISION, "curl http://127.0.0.1:24006/", (Step("ready", "It answers.", 3.2),)
)


# --- for people ----------------------------------------------------------


def test_a_list_of_clusters_is_a_table_with_a_line_each() -> None:
    head, first, second, *_ = plain(Listing("cluster", [READY, DEGRADED])).splitlines()
    assert head.split() == ["NAME", "PHASE", "WORKERS", "GPUS", "PROFILE", "AGE"]
    assert first.split()[:4] == ["alice-1", "Ready", "2/2", "2"]
    assert second.split()[:3] == ["bob-2", "Degraded", "1/2"]


@pytest.mark.parametrize("show_it", [plain, html])
@pytest.mark.parametrize("answer", [READY, Listing("cluster", [READY])], ids=["one", "list"])
def test_simulated_gpus_are_called_simulated_wherever_gpus_are_shown(show_it: Any, answer: Any) -> None:
    assert "2 simulated" in show_it(answer)


def test_what_is_wrong_is_said_with_what_helps_below_a_list_and_below_one() -> None:
    for answer in (Listing("cluster", [READY, DEGRADED]), DEGRADED, Listing("service", [SERVICE]), SERVICE):
        text = plain(answer)
        assert "cannot be placed" in text or "no module named x" in text
        assert "Ask for less." in text or "Mend it." in text


def test_a_cause_that_ends_with_a_log_takes_one_line_in_a_list_and_all_lines_alone() -> None:
    log = DEGRADED.model_copy(update={"cause": Cause(what="The head ended:\nfirst\nOut of memory", remedy="Give it more.")})
    assert "bob-2: The head ended: … Out of memory" in plain(Listing("cluster", [log]))
    assert "first" in plain(log)


def test_a_node_that_was_restarted_says_how_often() -> None:
    assert "bob-2-gpu-1 (gpu), restarted 3 times: Unschedulable" in plain(DEGRADED)


def test_for_a_program_lines_are_not_wrapped_and_end_where_their_words_do() -> None:
    long = READY.model_copy(update={"profile": "p" * 300})
    text = io.StringIO()
    show(Listing("cluster", [long]), "table", Console(file=text))
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert "p" * 300 in lines[1]
    assert all(line == line.rstrip() for line in lines)


def test_on_a_narrow_terminal_a_name_is_never_cut() -> None:
    long = READY.model_copy(update={"name": "a" * 53})
    text = io.StringIO()
    show(Listing("cluster", [long]), "table", Console(file=text, force_terminal=True, width=60, color_system=None))
    assert "a" * 53 in text.getvalue()


def test_html_shows_text_as_text_whatever_is_in_it() -> None:
    shown = html(DEGRADED)
    assert "&lt;no room&gt;" in shown and "<no room>" not in shown
    assert "<td" in shown


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d"), (-5, "0s")]
)
def test_an_age_has_one_unit(seconds: int, said: str) -> None:
    assert age(datetime.fromtimestamp(NOW.timestamp() - seconds, UTC).isoformat(), NOW) == said


def test_an_age_that_is_not_known_is_a_dash() -> None:
    assert age("", NOW) == "-"


def test_a_log_in_brief_is_its_first_and_last_line() -> None:
    assert brief("one\n\n two \nthree\n") == "one … three"
    assert brief("one") == "one"


def test_a_published_model_shows_how_to_call_it_and_not_its_code() -> None:
    text = plain(PUBLISHED)
    assert "http://127.0.0.1:24006" in text and "    curl http://127.0.0.1:24006/" in text
    assert REVISION.code not in text


def test_each_application_of_a_service_tells_its_revision_its_replicas_and_where_it_answers() -> None:
    one = ApplicationStatus(name="polite", state="RUNNING", revision=2, replicas="0 to 4 replicas", route_prefix="/polite")
    assert "polite: RUNNING, revision 2, 0 to 4 replicas, at /polite" in plain(SERVICE.model_copy(update={"applications": (one,)}))
    other = PUBLISHED.revision.model_copy(update={"application": "polite", "model_version": "models:/tiny/3"})
    text = plain(Published("summarizer", "http://x/polite", other, "curl http://x/polite", ()))
    assert "application   polite" in text and "models:/tiny/3 (s3://x)" in text


def test_revisions_show_which_one_is_current_and_what_it_was_measured_at() -> None:
    text = plain(Listing("revision", [REVISION]))
    assert "current" in text and "rougeL 0.94" in text


def test_the_history_tells_when_an_earlier_revision_was_put_in_again_by_whom_and_why() -> None:
    again = Again(who="bob", when="2026-11-23T11:50:00Z", why="answers were cut", instead_of=3)
    shown = view(Listing("revision", [REVISION.model_copy(update={"again": (again,), "model_version": "models:/tiny/7"})]), NOW)
    assert [words.text for words in shown.below] == ["Revision 2 was put in again instead of 3 10m ago by bob: answers were cut"]
    assert "models:/tiny/7" in [words.text for words in shown.rows[0]]


def test_a_difference_is_a_table_of_what_changed_with_the_changed_lines_below() -> None:
    code = inline(zipped({"app.py": b"a = 1\n"})), inline(zipped({"app.py": b"a = 2\n"}))
    one = REVISION.model_copy(update={"number": 1, "code": code[0], "sha256": "a", "metrics": {"rougeL": 0.9}, "settings": {"beams": 4}})
    two = REVISION.model_copy(update={"code": code[1], "sha256": "b", "model": "s3://y", "settings": {"beams": 1}})
    text = plain(difference(one, two))
    head, *rows = text.splitlines()
    assert head.split() == ["WHAT", "REVISION", "1", "REVISION", "2", "CHANGE"]
    assert [row.split() for row in rows[:4]] == [
        ["model", "s3://x", "s3://y"],
        ["settings.beams", "4", "1"],
        ["rougeL", "0.9", "0.94", "+0.04"],
        ["code", "app.py", "changed"],
    ]
    assert "    -a = 1\n    +a = 2" in text
    assert "the same" in plain(difference(one, one))


def test_every_profile_shows_its_size_and_its_limits() -> None:
    text = plain(Listing("profile", read_profiles(DEFAULTS)))
    assert "4 CPU, 16Gi, 1 GPU (simulated where there is none)" in text
    assert "4 workers, 8 GPUs" in text


@pytest.mark.parametrize("what", ["cluster", "service", "profile", "removed", "revision"])
def test_an_empty_list_is_a_sentence(what: str) -> None:
    assert plain(Listing(what, [])).endswith((".", "NAME", "…"))


def test_an_age_is_counted_from_now() -> None:
    assert "10m" in [words.text for words in view(Listing("cluster", [READY]), NOW).rows[0]]


# --- for programs --------------------------------------------------------


def test_json_and_yaml_say_the_same() -> None:
    for answer in (READY, Listing("cluster", [READY, DEGRADED]), SERVICE, PUBLISHED, Listing("profile", read_profiles(DEFAULTS))):
        assert json.loads(as_json(answer)) == yaml.safe_load(as_yaml(answer)) == data(answer)


def test_letters_beyond_ascii_stay_letters_in_json() -> None:
    assert "Zoë" in as_json(READY.model_copy(update={"user": "Zoë"}))


def test_a_manifest_as_yaml_is_a_document_for_each_object() -> None:
    manifest = Manifest(cluster_bundle(ClusterSpec(name="a")))
    assert tuple(yaml.safe_load_all(as_yaml(manifest))) == manifest.objects
    assert data(manifest)["items"] == list(manifest.objects)


def test_the_code_of_a_revision_is_left_out_and_its_digest_is_not() -> None:
    assert "code" not in data(REVISION)
    assert data(PUBLISHED)["revision"]["sha256"] == "ab"


DOCUMENT = Path(__file__).parents[2] / "docs" / "json.md"
PROMISED: tuple[type[BaseModel], ...] = (
    ClusterStatus, ServiceStatus, Cause, Node, ApplicationStatus, Attaching, Removed, Revision, NotebookRun, Profile, Limits,
    Finding, Exposure, SecretKey, JobStatus, Again, Scaling, Difference, FileChange, Change, MetricChange,
)  # fmt: skip


def promised(name: str) -> dict[str, str]:
    """Field and type of each row below a heading of docs/json.md."""
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"docs/json.md says nothing of {name}"
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section.group(1), re.MULTILINE))


def spoken(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON schema in docs/json.md's words."""
    if "anyOf" in schema:
        return " or ".join(spoken(option, definitions) for option in schema["anyOf"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "text" if "enum" in definitions[name] else name
    if "enum" in schema:
        return "text"
    if "type" not in schema:
        return "any"
    if schema["type"] == "array":
        return f"array of {spoken(schema['items'], definitions)}"
    if schema["type"] == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {spoken(schema['additionalProperties'], definitions)}"
    return {"string": "text"}.get(schema["type"], schema["type"])


@pytest.mark.parametrize("model", PROMISED, ids=lambda model: model.__name__)
def test_json_has_the_fields_and_types_that_the_documentation_promises(model: type[BaseModel]) -> None:
    schema = model.model_json_schema(mode="serialization")
    fields = {name: spoken(part, schema.get("$defs", {})) for name, part in schema["properties"].items()}
    if model is Revision:
        fields.pop("code")
    assert promised(model.__name__) == fields


@pytest.mark.parametrize("name", ["Published", "Step"])
def test_what_publishing_answers_has_the_fields_that_the_documentation_promises(name: str) -> None:
    printed = data(PUBLISHED) if name == "Published" else data(PUBLISHED)["timeline"][0]
    assert list(promised(name)) == list(printed)


def test_a_runs_record_has_the_fields_and_types_that_the_documentation_promises() -> None:
    schema = TypeAdapter(RunRecord).json_schema(mode="serialization")
    fields = {name: spoken(part, schema.get("$defs", {})) for name, part in schema["properties"].items()}
    assert promised("RunRecord") == fields


def test_every_phase_is_in_the_documentation() -> None:
    for phase in Phase:
        assert f"`{phase}`" in DOCUMENT.read_text()


def test_a_job_is_a_card_and_jobs_are_a_table_with_why_they_are_not_well() -> None:
    cause = Cause(what="ValueError: 4711", remedy="Read its log, then mend what it names.")
    failed = JobStatus(name="train", phase=JobPhase.FAILED, cluster="alice-1", created="2026-11-23T11:50:00Z", cause=cause)
    card = plain(failed)
    assert "train" in card and "Failed" in card and "alice-1" in card and "Read its log" in card
    table = plain(Listing("job", [failed, JobStatus(name="eval", phase=JobPhase.RUNNING)]))
    assert table.splitlines()[0].split() == ["NAME", "PHASE", "CLUSTER", "AGE"] and "train: ValueError: 4711" in table
    assert "<td" in html(failed)
