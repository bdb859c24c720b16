"""What every published service starts from: it fetches an application's code and builds it.

On the cluster this file is the module ``jupyter_kuberay_loader``, mounted by itself, so it
imports the standard library and Ray alone. Serve calls `build` with the arguments that
``serveConfigV2`` carries; ``python -m jupyter_kuberay_loader try`` loads the same code in a
process of its own, before it is put in.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import importlib
import inspect
import io
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import zipfile
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ray.serve import Application

TRIED = "jupyter-kuberay-tried"  # the key by which the line of an outcome is told from what an application prints
_PREPARE = "prepare_reconfigure"  # a name that no class has for something else
_MARK = "__jupyter_kuberay_code__"
_NOT_THEIRS = (__file__, importlib.__file__, "<frozen importlib")  # whose frames help nobody
_LAST_FRAMES = 6
_NICE = 19  # of what is done beside a revision that answers: Ray's workers, replicas included, have 15
_LAST_CHARACTERS = 4000


def build(args: dict[str, Any]) -> Application:
    """Give the application that ``args`` name, ready for Serve.

    Parameters
    ----------
    args
        ``app``: "module:attribute", a bound application or a function that makes one.
        ``code``: a zip in base64, or the address of one (fsspec), or "" when the image has it.
        ``sha256``: of the zip. ``settings``: what such a function is called with.

    Raises
    ------
    RayServeException
        With the application's own traceback, when it cannot be imported or is none.
    OSError
        When its code cannot be fetched, or loading it met one: Serve tries again.
    """
    _refuse_to_be_open()
    _give_way()
    code = _Code(str(args.get("code") or ""), str(args.get("sha256") or ""))
    folder = code.place(_folder())
    application = _loaded(str(args["app"]), dict(args.get("settings") or {}))
    if folder is not None:
        _ship(code, folder, application)
    return application


def _give_way() -> None:
    """Leave the CPUs to those who answer requests meanwhile.

    Serve builds an application in a worker process of its own, which ends with that; a process that was told to give way can
    never be told otherwise, so no other one is.
    """
    import ray

    if ray._private.worker.global_worker.mode == ray._private.worker.WORKER_MODE:
        _be_last()


def _be_last() -> None:
    """Take the CPU when nobody else wants it."""
    os.nice(_NICE)
    with suppress(AttributeError, OSError):  # not on every system
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _loaded(app: str, settings: dict[str, Any]) -> Application:
    """As `_load`. What would fail again is said to Serve in the one way after which it does not try again.

    Serve builds an application up to four times, each time in a process of its own, which takes seconds.
    Only what the network or a file system may do better the next time is worth that.
    """
    try:
        return _load(app, settings)
    except (OSError, KeyboardInterrupt):  # the latter is how Serve calls a build off
        raise
    except BaseException as error:  # an application may also end in SystemExit
        from ray.serve.exceptions import RayServeException

        raise RayServeException(last_words(error)) from None


class _Code:
    """Code as the arguments carry it. Whoever unpickles one can import what it holds."""

    def __init__(self, text: str, sha256: str) -> None:
        self.text, self.sha256 = text, sha256

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrive, (self.text, self.sha256)

    def place(self, below: Path) -> Path | None:
        """Unpack into a folder that is named by the digest, and let it be imported from before all else."""
        if not self.text:
            return None
        folder = below / (self.sha256 or hashlib.sha256(self.text.encode()).hexdigest())[:20]
        if not folder.is_dir():
            self._unpack(folder)
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))
            _forget_namesakes(folder)
            importlib.invalidate_caches()
        return folder

    def _unpack(self, folder: Path) -> None:
        content = _fetch(self.text)
        found = hashlib.sha256(content).hexdigest()
        if self.sha256 and found != self.sha256:
            raise ValueError(f"the code's sha256 is {found} and not {self.sha256}, as was published")
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = Path(tempfile.mkdtemp(dir=folder.parent))
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(draft)
        try:
            draft.rename(folder)
        except OSError:  # a replica beside this one was faster
            shutil.rmtree(draft, ignore_errors=True)
            if not folder.is_dir():
                raise


def _arrive(text: str, sha256: str) -> _Code:
    code = _Code(text, sha256)
    code.place(_folder())
    return code


def _fetch(text: str) -> bytes:
    if "://" not in text:
        return base64.b64decode(text, validate=True)
    if text.startswith("file://"):
        return Path(text.removeprefix("file://")).read_bytes()
    import fsspec

    with fsspec.open(text, "rb") as file:
        return bytes(file.read())


def _folder() -> Path:
    """Where code is unpacked on this node: it goes when Ray's session goes."""
    import ray

    node = ray._private.worker.global_worker.node  # None when this process has no Ray
    session = node.get_session_dir_path() if node else None
    # Only one's own folder will do: its content is imported.
    return Path(session) / "jupyter-kuberay" if session else Path(tempfile.mkdtemp(prefix="jupyter-kuberay-"))


def _forget_namesakes(folder: Path) -> None:
    """Let modules in ``folder`` win over those of the same name that were imported already."""
    names = {entry.stem for entry in folder.iterdir() if entry.is_dir() or entry.suffix == ".py"}
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        del sys.modules[name]


def _load(app: str, settings: dict[str, Any]) -> Application:
    from ray.serve import Application

    module_name, _, attribute = app.partition(":")
    found: Any = importlib.import_module(module_name)
    for part in (attribute or "app").split("."):
        found = getattr(found, part)
    if callable(found) and not isinstance(found, Application) and not hasattr(found, "bind"):
        found = found(settings)
    if not isinstance(found, Application):
        hint = "; bind it: app = Deployment.bind()" if hasattr(found, "bind") else ""
        raise TypeError(f"{app} is a {type(found).__name__} and not a Serve application{hint}")
    return found


def _ship(code: _Code, folder: Path, application: Application) -> None:
    """Let replicas, which are other processes, have what was imported from ``folder``.

    Its modules are pickled by value. What they import later, inside a function, is found
    because every deployment carries the code along and unpacks it where it arrives.
    """
    from ray import cloudpickle

    modules = _modules_below(folder)
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    targets = [value.func_or_class for module in modules for value in vars(module).values() if hasattr(value, "func_or_class")]
    for target in [*targets, application._bound_deployment.func_or_class]:
        if not isinstance(target, str):
            setattr(target, _MARK, code)


def _modules_below(folder: Path) -> list[ModuleType]:
    inside = str(folder) + os.sep
    return [module for module in list(sys.modules.values()) if str(getattr(module, "__file__", None) or "").startswith(inside)]


# Who may call

_BEARER = "JUPYTER_KUBERAY_BEARER"
_ANYBODYS = "/-/healthz"  # Kubernetes asks it, and shows no token


def guards() -> list[Any]:
    """What Serve puts before all that its proxies answer: callers show the token that the environment holds, or get 401.

    Raises
    ------
    RuntimeError
        There is no token. The proxy does not start then, which is better than one that asks for none.
    """
    from starlette.middleware import Middleware

    token = os.environ.get(_BEARER, "")
    if not token:
        raise RuntimeError(f"The environment variable {_BEARER} is empty: see the Secret that it comes from.")
    return [Middleware(_Guard, token=token.strip())]


class _Guard:
    """An ASGI application that asks for a token."""

    def __init__(self, app: Any, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or scope.get("path") == _ANYBODYS or self._is_shown(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b"This service asks for a token: send it as 'Authorization: Bearer ...'.\n"})

    def _is_shown(self, scope: dict[str, Any]) -> bool:
        shown = [value.strip() for name, value in scope.get("headers") or [] if name.lower() == b"authorization"]
        scheme, _, token = (shown[0] if len(shown) == 1 else b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)


def _refuse_to_be_open() -> None:
    """Where a token is wanted, and this Ray's proxies would not ask for it, nothing is built."""
    if _BEARER not in os.environ:
        return
    from ray.serve._private import constants
    from ray.serve.exceptions import RayServeException

    if not hasattr(constants, "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"):
        raise RayServeException("This Ray cannot ask callers for a token: use a later one, or publish without a bearer.")


# Trying out


def deployments(application: Application) -> dict[str, bool]:
    """The names of an application's deployments, the ingress last, and whether each takes a ``user_config``."""
    return _having(application, "reconfigure")


def _having(application: Application, method: str) -> dict[str, bool]:
    from ray.serve._private.build_app import build_app

    found: dict[str, bool] = {}

    def note(deployment: Any, _app: str) -> None:
        found[deployment.name] = hasattr(deployment.func_or_class, method)

    build_app(application, name="names", make_deployment_handle=note)
    return found


def try_out(args: dict[str, Any], user_config: dict[str, dict[str, Any]], beside: str = "") -> dict[str, Any]:
    """Make the application here, without Serve: every deployment constructed and configured, and one request.

    The request is the ingress's ``try_out()``, when it has one. Nothing is raised: what went wrong is in the outcome.

    Parameters
    ----------
    args
        As for `build`.
    user_config
        By the name of the deployment.
    beside
        The application on this cluster whose replicas are to load the same afterwards, so that they only have to take it over.
    """
    began = time.monotonic()
    outcome: dict[str, Any] = {TRIED: str(args.get("app")), "ok": False}
    below = Path(tempfile.mkdtemp(prefix="jupyter-kuberay-try-"))
    try:
        _Code(str(args.get("code") or ""), str(args.get("sha256") or "")).place(below)
        application = _load(str(args["app"]), dict(args.get("settings") or {}))
        outcome["loaded_s"] = round(time.monotonic() - began, 3)
        outcome["deployments"] = names = deployments(application)
        if unknown := set(user_config) - set(names):
            raise ValueError(f"the application has no deployment {', '.join(sorted(unknown))}; it has {', '.join(names)}")
        answer = asyncio.run(_exercised(application, list(names)[-1], user_config))
        if answer is not None:
            outcome["answer"] = repr(answer)[:300]
        if beside:
            outcome["prepared"] = _prepared(application, user_config, beside)
        outcome["ok"] = True
    except BaseException as error:  # an application may also end in SystemExit
        outcome["error"] = last_words(_of_the_replica(error))
    finally:
        shutil.rmtree(below, ignore_errors=True)
    outcome["seconds"] = round(time.monotonic() - began, 3)
    return outcome


async def _exercised(application: Application, ingress: str, user_config: dict[str, dict[str, Any]]) -> Any:
    """Make every deployment in this process, the ingress last, and give what its ``try_out`` answers; None without one."""
    from ray.serve._private.build_app import build_app
    from ray.serve._private.local_testing_mode import make_local_deployment_handle

    found: list[Any] = []

    def make(deployment: Any, app: str) -> Any:
        config = user_config.get(deployment.name, deployment.user_config)
        if deployment.name != ingress:
            return make_local_deployment_handle(deployment.options(user_config=config), app)
        found.append((deployment, config))
        return None

    build_app(application, name="try", make_deployment_handle=make)
    deployment, config = found[0]
    if not inspect.isclass(deployment.func_or_class):
        return None
    instance = deployment.func_or_class(*deployment.init_args, **deployment.init_kwargs)
    if config is not None and hasattr(instance, "reconfigure"):
        await _done(instance.reconfigure, config)
    return await _done(instance.try_out) if hasattr(instance, "try_out") else None


def _prepared(application: Application, user_config: dict[str, dict[str, Any]], name: str) -> int:
    """Have replicas of the application ``name`` that answer call their ``prepare_reconfigure``, where they have one; how many did.

    Serve sends a replica no requests while it is given a configuration; what it has loaded before takes no time then.
    """
    wanted = {
        deployment: user_config[deployment]
        for deployment, has in _having(application, _PREPARE).items()
        if has and deployment in user_config
    }
    if not wanted:
        return 0
    import ray
    from ray import serve
    from ray.serve.exceptions import RayServeException

    if not ray.is_initialized():
        ray.init(address="auto", log_to_driver=False, configure_logging=False)
    done = 0
    for deployment, config in wanted.items():
        handle = serve.get_deployment_handle(deployment, name)
        if not hasattr(handle, "broadcast"):  # an earlier Ray: replicas load when they are told to take over
            continue
        try:
            done += len(handle.broadcast(_PREPARE, config).results())
        except RayServeException:  # it has no replicas now
            continue
    return done


def _of_the_replica(error: BaseException) -> BaseException:
    """What was raised elsewhere, in place of Ray's account of it."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else error


async def _done(method: Any, *args: Any) -> Any:
    if inspect.iscoroutinefunction(method):
        return await method(*args)
    return await asyncio.to_thread(method, *args)


def last_words(error: BaseException) -> str:
    """A traceback without the frames that nobody who publishes can do anything about."""
    told = traceback.TracebackException.from_exception(error)
    at: traceback.TracebackException | None = told
    while at is not None:
        frames = [frame for frame in at.stack if not frame.filename.startswith(_NOT_THEIRS)]
        at.stack = traceback.StackSummary.from_list(frames[-_LAST_FRAMES:])
        at = at.__cause__ or at.__context__
    return "".join(told.format())[-_LAST_CHARACTERS:]


def _import_serve() -> None:
    """Import Ray Serve without what it only imports in case somebody uses it: half of the time that a try-out takes.

    Jupyter's rfc3987_syntax compiles a grammar for a second; pandas is there for answers that are tables.
    An application that needs them imports them itself, and finds them.
    """
    absent: list[Any] = [name for name in ("rfc3987_syntax", "pandas") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # None: as if it were not installed
    try:
        import ray.serve  # noqa: F401
    finally:
        for name in absent:
            del sys.modules[name]


def main(argv: list[str]) -> int:
    """``try``, a JSON object of ``args`` and ``user_config`` in base64, and the code. Prints the outcome as one line of JSON."""
    if len(argv) not in (2, 3) or argv[0] != "try":
        sys.stderr.write("usage: python -m jupyter_kuberay_loader try BASE64 [CODE]\n")
        return 2
    _be_last()
    _import_serve()
    asked = json.loads(base64.b64decode(argv[1]))
    args = {**asked["args"], "code": argv[2]} if len(argv) == 3 else asked["args"]
    outcome = try_out(args, asked.get("user_config") or {}, str(asked.get("beside") or ""))
    sys.stdout.write("\n" + json.dumps(outcome) + "\n")
    return 0 if outcome["ok"] else 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads that a model left behind are not waited for
