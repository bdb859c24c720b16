"""What can be asked for under /jupyter-kuberay, as a table: the handlers and the OpenAPI description are made of it.

Paths and words only, so that a Jupyter server's start pays for nothing else; who
answers is `jupyter_kuberay.faces.server.rest`, method by method of the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PREFIX = "jupyter-kuberay"


@dataclass(frozen=True)
class Query:
    """A parameter behind the question mark."""

    name: str
    says: str
    type: Literal["string", "integer", "boolean"] = "string"
    default: str | int | bool = ""


@dataclass(frozen=True)
class Operation:
    """One thing to ask for."""

    method: Literal["get", "post", "put", "delete"]
    path: str
    name: str  # of the method of `Rest`
    says: str
    body: str = ""  # a model in `bodies`; "" for none
    answer: str = ""  # a model in `bodies`, with [] where it is a list of them; "" for no content
    query: tuple[Query, ...] = ()
    status: int = 200
    # Lines of this media type, as they come, instead of one JSON answer.
    lines: str = ""
    asked: bool = False  # whether the method also wants to know how the browser got here

    @property
    def resource(self) -> str:
        """What Jupyter's authorizer is asked about, such as "jupyter-kuberay:clusters"."""
        return f"{PREFIX}:{self.path.split('/')[1].removesuffix('.json')}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names in the path's braces."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


_LOG = (
    Query("node", "Which node; default: the head."),
    Query("follow", "Go on with new lines as they come.", "boolean", False),
    Query("tail", "How many old lines to begin with.", "integer", 200),
)
_LAST = (Query("last", "How many.", "integer", 100),)
_GROUP = (
    Query("group", "Which one: the name that its runs have in common."),
    Query("folder", "The folder or URL of its outputs, as another of that name may lie elsewhere; default: wherever."),
)

_APPLICATION = (Query("application", "Which of its applications; default: the one that is called like it."),)
_TWO = (
    Query("before", "The number of a revision; default: the one before the other.", "integer", 0),
    Query("after", "The number of the one that it is compared with; default: the current one.", "integer", 0),
    *_APPLICATION,
)
_ONE_ONLY = (Query("application", "Only this one of its applications, unless it is the last; default: all of it."),)

OPERATIONS = (
    Operation("put", "/views/{view}", "look", "Tell what a page shows now, and get all that there is.", body="View", answer="Snapshot"),
    Operation("delete", "/views/{view}", "leave", "Tell that a page shows nothing any more.", status=204),
    Operation("get", "/profiles", "profiles", "What is offered, each with the JSON schema of its form.", answer="Offer[]"),
    Operation("get", "/clusters", "clusters", "All clusters of this user.", answer="ClusterStatus[]"),
    Operation("post", "/clusters", "create", "Ask for a cluster.", body="NewCluster", answer="ClusterStatus", status=201),
    Operation("post", "/manifests", "preview", "The Kubernetes objects of a new cluster.", body="NewCluster", answer="Preview"),
    Operation("get", "/clusters/{name}", "cluster", "A cluster as it is now.", answer="ClusterStatus"),
    Operation("delete", "/clusters/{name}", "delete", "Delete a cluster with all that it holds.", status=202, answer="Begun"),
    Operation("post", "/clusters/{name}/scale", "scale", "Ask for another number of workers.", body="Scale", answer="ClusterStatus"),
    Operation("post", "/clusters/{name}/suspend", "suspend", "End its processes and keep the rest.", answer="ClusterStatus"),
    Operation("post", "/clusters/{name}/resume", "resume", "Start it again.", answer="ClusterStatus"),
    Operation("get", "/clusters/{name}/manifest", "manifest", "Its Kubernetes objects.", answer="Preview"),
    Operation("post", "/clusters/{name}/dashboard", "dashboard", "A link to Ray's dashboard.", answer="Dashboard", asked=True),
    Operation("get", "/clusters/{name}/logs", "cluster_log", "Lines of a node's log.", query=_LOG, lines="text/plain"),
    Operation("get", "/services", "services", "All services of this user.", answer="ServiceStatus[]"),
    Operation("post", "/services", "publish", "Publish a model.", body="NewRevision", answer="Publication", status=202),
    Operation("get", "/services/{name}", "service", "A service as it is now.", answer="ServiceStatus"),
    Operation("delete", "/services/{name}", "unpublish", "Remove a service and its cluster.", query=_ONE_ONLY, status=202, answer="Begun"),
    Operation(
        "get", "/services/{name}/revisions", "revisions", "What was published under this name.", answer="Revision[]", query=_APPLICATION
    ),
    Operation("get", "/services/{name}/diff", "diff", "What two revisions differ in.", answer="Difference", query=_TWO),
    Operation("post", "/services/{name}/rollback", "rollback", "Back to a revision.", body="Rollback", answer="Publication", status=202),
    Operation("delete", "/services/{name}/publication", "cancel_publication", "Cancel what is under way, and undo it.", status=204),
    Operation("post", "/services/{name}/try", "try_service", "Send it a request.", body="Question", answer="Reply"),
    Operation("get", "/models", "models", "Models that runs have left below the server's root.", answer="Model[]"),
    Operation("get", "/jobs", "jobs", "All jobs of this user.", answer="JobStatus[]"),
    Operation("post", "/jobs", "submit", "Run a command on a cluster.", body="NewJob", answer="JobStatus", status=201),
    Operation("get", "/jobs/{name}", "job", "A job as it is now.", answer="JobStatus"),
    Operation("delete", "/jobs/{name}", "delete_job", "Delete a job.", status=202, answer="Begun"),
    Operation("get", "/jobs/{name}/logs", "job_log", "Lines of what a job printed.", query=_LOG[1:], lines="text/plain"),
    Operation("get", "/runs", "runs", "Runs of notebooks that this machine knows of, the newest first.", answer="Run[]", query=_LAST),
    Operation("delete", "/runs", "forget_runs", "Take what has ended of a sweep or pipeline out of the list.", query=_GROUP, status=204),
    Operation("delete", "/runs/{id}", "forget_run", "Take a run out of the list; its files stay.", status=204),
    Operation("get", "/doctor", "doctor", "What would keep this user from working.", answer="Finding[]"),
    Operation("get", "/openapi.json", "openapi", "This interface's description, OpenAPI 3.1."),
)
