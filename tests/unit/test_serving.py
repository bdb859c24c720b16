"""What any application gets from serving: limits, deadlines, ids, health, pages, the log; here without a model of any weight."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from openapi_spec_validator import validate
from starlette.requests import Request

from jupyter_kuberay.serving.page import Described
from jupyter_kuberay.serving.served import Served


class Words(Served):
    """Counts the words of a text. A text "wait" is computed when it may be; "fail" fails."""

    about = Described("words", "Counts words", "Three small words", {"type": "integer"})

    def __init__(self) -> None:
        super().__init__()
        self.go_on, self.seen = threading.Event(), []

    def load(self, settings: Any) -> str:
        return settings.model

    def compute(self, model: str, items: list[str]) -> list[Any]:
        self.seen += items
        if "wait" in items:
            self.go_on.wait(30)
        if "fail" in items:
            raise RuntimeError("out of memory")
        return [len(item.split()) for item in items]


class Asking:
    """A replica in one event loop, and requests to it."""

    def __init__(self, **settings: Any) -> None:
        self.replica = Words()
        self.settings = {"model": "m", "revision": 3, **settings}

    def __call__(self, scenario: Any) -> Any:
        async def run() -> Any:
            await self.replica.reconfigure(self.settings)
            self.replica.seen.clear()
            return await scenario(self)

        return asyncio.run(run())

    def get(self, text: str = "one two", path: str = "/words", **headers: str) -> asyncio.Task[Any]:
        return self._ask("GET", path, urlencode({"text": text}).encode(), b"", headers)

    def post(self, body: bytes | None, path: str = "/words", **headers: str) -> asyncio.Task[Any]:
        return self._ask("POST", path, b"", body, headers)

    def _ask(self, method: str, path: str, query: bytes, body: bytes | None, headers: dict[str, str]) -> asyncio.Task[Any]:
        pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": pairs, "server": ("h", 80), "scheme": "http"}

        async def receive() -> dict[str, Any]:
            if body is None:  # the client has connected, and sends nothing
                await asyncio.sleep(3600)
            return {"type": "http.request", "body": body, "more_body": False}

        return asyncio.ensure_future(self.replica(Request({**scope, "query_string": query}, receive)))

    async def until_busy(self) -> None:
        while not self.replica._batch.busy_s:
            await asyncio.sleep(0.001)


def told(response: Any) -> tuple[int, Any]:
    return response.status_code, json.loads(response.body)


def test_an_application_says_how_a_batch_is_computed_and_has_the_rest():
    async def scenario(ask: Asking) -> None:
        one, many = await ask.get("one two"), await ask.post(b'{"texts": ["a", "b c d"]}')
        assert (told(one), told(many)) == ((200, 2), (200, [1, 3]))
        assert one.headers["x-revision"] == "3"

    Asking()(scenario)


def test_who_comes_when_the_queue_is_full_is_told_when_to_come_again():
    async def scenario(ask: Asking) -> None:
        first = ask.get("wait")
        await ask.until_busy()
        second = ask.get("two")
        await asyncio.sleep(0.01)
        third = await ask.get("three")
        assert third.status_code == 429 and 1 <= int(third.headers["retry-after"]) <= 30
        assert set(told(third)[1]) == {"message", "hint"}
        ask.replica.go_on.set()
        assert [told(each)[0] for each in await asyncio.gather(first, second)] == [200, 200]
        assert told(await ask.get("again"))[0] == 200
        assert "three" not in ask.replica.seen

    Asking(max_queue=2)(scenario)


def test_no_more_requests_than_allowed_are_here_at_once_also_if_they_send_nothing():
    async def scenario(ask: Asking) -> None:
        silent = [ask.post(None) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert told(await ask.get())[0] == 429
        assert [told(each)[0] for each in await asyncio.gather(*silent)] == [408, 408, 429]
        assert told(await ask.get())[0] == 200

    Asking(max_requests=2, receive_timeout_s=0.2)(scenario)


def test_what_has_no_answer_in_time_is_given_up_and_not_computed():
    async def scenario(ask: Asking) -> None:
        first = ask.get("wait")
        await ask.until_busy()
        late = await ask.get("late", x_request_timeout="0.05")
        assert told(late)[0] == 504 and "0.05 s" in told(late)[1]["message"]
        assert told(await ask.post(b'{"texts": ["late", "late"]}', x_request_timeout="0.05"))[0] == 504
        ask.replica.go_on.set()
        await first
        assert told(await ask.get("two words"))[1] == 2
        assert "late" not in ask.replica.seen
        assert ask.replica._texts == ask.replica._requests == 0

    Asking()(scenario)


@pytest.mark.parametrize(("header", "settings", "waited"), [("5", 0.05, 0.05), ("0.05", 5, 0.05)])
def test_the_shorter_time_of_the_clients_and_the_settings_holds(header: str, settings: float, waited: float):
    async def scenario(ask: Asking) -> None:
        began = time.monotonic()
        assert told(await ask.get("wait", x_request_timeout=header))[0] == 504
        assert waited <= time.monotonic() - began < 2
        ask.replica.go_on.set()

    Asking(timeout_s=settings)(scenario)


@pytest.mark.parametrize("given", ["soon", "0", "-1", "nan", ""])
def test_a_time_that_is_none_is_refused(given: str):
    async def scenario(ask: Asking) -> None:
        assert told(await ask.get(x_request_timeout=given))[0] == 400

    Asking()(scenario)


@pytest.mark.parametrize(("given", "kept"), [("mine-1", True), ("", False), ("a b", False), ("x" * 200, False), ("a\x07", False)])
def test_a_clients_id_comes_back_and_others_get_one(given: str, kept: bool):
    async def scenario(ask: Asking) -> None:
        one, other = await ask.get(x_request_id=given), await ask.get()
        assert (one.headers["x-request-id"] == given) is kept
        assert one.headers["x-request-id"] != other.headers["x-request-id"]

    Asking()(scenario)


def test_a_model_that_fails_fails_one_request_with_a_message_and_not_the_next():
    async def scenario(ask: Asking) -> None:
        failed = await ask.get("fail", x_request_id="mine")
        assert told(failed)[0] == 500 and "mine" in told(failed)[1]["hint"] and "memory" not in failed.body.decode()
        assert told(await ask.get())[0] == 200

    Asking()(scenario)


HOSTILE = {
    "html": "<script>alert(1)</script>",
    "nulls": "\x00" * 50,
    "100,000 characters": "word " * 20_000,
    "one word of 100,000": "x" * 100_000,
    "right to left": "\u202e\u200f txet",
    "combining": "a" + "\u0301" * 1000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_answered_as_json(text: str):
    async def scenario(ask: Asking) -> None:
        for response in (await ask.get(text), await ask.post(json.dumps({"texts": [text]}).encode())):
            assert response.status_code == 200 and response.headers["content-type"] == "application/json"

    Asking()(scenario)


@pytest.mark.parametrize(
    "body", [b'{"texts": ["\xff\xfe"]}', b'{"texts": ["\xed\xa0\x80"]}', b"\x00" * 100, b'{"texts": [{"a": 1}]}', b"1e999999"]
)
def test_what_is_no_text_is_refused(body: bytes):
    async def scenario(ask: Asking) -> None:
        assert told(await ask.post(body))[0] in (400, 422)

    Asking()(scenario)


def test_limits_are_settings_and_change_without_loading():
    async def scenario(ask: Asking) -> None:
        model = ask.replica._kept.now.model
        await ask.replica.reconfigure({**ask.settings, "max_texts": 1, "max_bytes": 40})
        assert ask.replica._kept.now.model is model
        assert told(await ask.post(b'{"texts": ["a", "b"]}'))[0] == 422
        assert told(await ask.post(json.dumps({"texts": ["a" * 50]}).encode()))[0] == 413
        assert told(await ask.get("a" * 50))[0] == 413

    Asking()(scenario)


# --- health


def test_a_model_that_answers_is_healthy_and_one_that_does_not_is_not():
    async def scenario(ask: Asking) -> None:
        await ask.replica.check_health()
        assert ask.replica.seen == ["Three small words"]
        await ask.replica.check_health()  # it has just answered
        assert len(ask.replica.seen) == 1
        ask.replica.compute = lambda model, items: 1 / 0  # type: ignore[method-assign]
        await ask.get()
        with pytest.raises(ZeroDivisionError):
            await ask.replica.check_health()

    Asking()(scenario)


def test_a_busy_model_is_not_asked_and_one_that_is_stuck_is_not_healthy():
    async def scenario(ask: Asking) -> None:
        first = ask.get("wait")
        await ask.until_busy()
        await ask.replica.check_health()
        assert ask.replica.seen == ["wait"]
        await asyncio.sleep(1.1)
        with pytest.raises(RuntimeError, match="computed for 1 s"):
            await ask.replica.check_health()
        ask.replica.go_on.set()
        await first

    Asking(stuck_after_s=1)(scenario)


def test_batches_as_they_will_come_are_computed_before_the_first_request():
    replica = Words()
    asyncio.run(replica.reconfigure({"model": "m", "max_batch_size": 4}))
    assert len(replica.seen) == 5  # one alone, and one full batch


# --- pages


def test_its_openapi_document_is_one_and_tells_its_limits():
    async def scenario(ask: Asking) -> None:
        document = told(await ask.get(path="/team/openapi.json"))[1]
        validate(document)
        assert set(document["paths"]) == {"/words"} and set(document["paths"]["/words"]) == {"get", "post"}
        assert document["info"]["version"] == "3"
        body = document["paths"]["/words"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body["properties"]["texts"]["maxItems"] == 7

    Asking(max_texts=7)(scenario)


def test_its_page_asks_no_other_host_and_says_how_to_ask():
    async def scenario(ask: Asking) -> None:
        response = await ask.get(path="/team/docs/")
        html = response.body.decode()
        assert response.status_code == 200 and "POST words" in html and "Three small words" in html
        assert "//" not in html.replace("</", "<") and "default-src 'none'" in response.headers["content-security-policy"]

    Asking()(scenario)


def test_what_it_says_of_itself_is_there_before_a_model_is():
    async def scenario() -> None:
        ask = Asking()
        assert (await ask.get(path="/openapi.json")).status_code == 200
        assert told(await ask.get())[0] == 503

    asyncio.run(scenario())


# --- the request log


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("requests-*-*.jsonl")) for line in path.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_every_text_is_a_row_with_what_was_answered(folder: Path):
    async def scenario(ask: Asking) -> None:
        await ask.get("one two", x_request_id="r1")
        await ask.post(b'{"texts": ["a", "b \\ud83d"]}', x_request_id="r2")
        await ask.get("fail", x_request_id="r3")
        await asyncio.to_thread(ask.replica.__del__)

    Asking(log=str(folder))(scenario)
    found = rows(folder)
    assert [(row["request"], row["document"], row["summary"], row["status"]) for row in found] == [
        ("r1", "one two", "2", 200),
        ("r2", "a", "1", 200),
        ("r2", "b ?", "2", 200),
        ("r3", "fail", "", 500),
    ]
    columns = "when request revision status seconds document summary document_words summary_words".split()  # noqa: SIM905
    assert list(found[0]) == columns
    assert found[0]["revision"] == 3 and found[0]["document_words"] == 2 and found[0]["when"].endswith("Z")


def test_a_log_without_text_keeps_lengths(folder: Path):
    async def scenario(ask: Asking) -> None:
        await ask.get("secret words here")
        await asyncio.to_thread(ask.replica.__del__)

    Asking(log=str(folder), log_text=False)(scenario)
    (row,) = rows(folder)
    assert (row["document"], row["summary"], row["document_words"]) == ("", "", 3)
    assert "secret" not in "".join(path.read_text() for path in folder.iterdir())


def test_a_sample_is_a_share_of_the_requests(folder: Path):
    async def scenario(ask: Asking) -> None:
        for _ in range(400):
            await ask.get("a")
        await asyncio.to_thread(ask.replica.__del__)

    Asking(log=str(folder), log_share=0.25)(scenario)
    assert 50 < len(rows(folder)) < 160


def test_a_log_ends_at_its_size_and_says_so_once(folder: Path, said: pytest.LogCaptureFixture):
    async def scenario(ask: Asking) -> None:
        for _ in range(100):
            await ask.get("some words")
        await asyncio.to_thread(ask.replica.__del__)

    Asking(log=str(folder), log_max_bytes=2000)(scenario)
    assert 5 < len(rows(folder)) < 20
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2000
    assert said.text.count("log_max_bytes") == 1


def test_a_log_that_cannot_be_written_fails_no_request_and_is_told(tmp_path: Path, said: pytest.LogCaptureFixture):
    (tmp_path / "file").write_text("no folder")

    async def scenario(ask: Asking) -> None:
        assert [told(await ask.get())[0] for _ in range(3)] == [200] * 3
        await asyncio.to_thread(ask.replica.__del__)

    Asking(log=str(tmp_path / "file"))(scenario)
    assert said.text.count("loses rows") == 1


def test_a_log_is_on_disk_within_two_seconds(folder: Path):
    async def scenario(ask: Asking) -> None:
        await ask.get("now")
        began = time.monotonic()
        while not (folder.is_dir() and rows(folder)):
            await asyncio.sleep(0.02)
            assert time.monotonic() - began < 2
        await ask.get("later")
        await asyncio.to_thread(ask.replica.__del__)

    Asking(log=str(folder))(scenario)
    assert len(rows(folder)) == 2


def test_a_log_at_a_url_is_the_same_in_objects():
    import fsspec

    async def scenario(ask: Asking) -> None:
        for text in ("one", "two"):
            await ask.get(text)
            await asyncio.sleep(1.3)  # each is written for itself
        await asyncio.to_thread(ask.replica.__del__)

    Asking(log="memory://serving-log")(scenario)
    filesystem = fsspec.filesystem("memory")
    (path,) = filesystem.find("serving-log")
    assert [json.loads(line)["document"] for line in filesystem.cat(path).splitlines()] == ["one", "two"]
