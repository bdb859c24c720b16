"""How many replicas of an application answer: a number of them, or as many as the queue asks for between two bounds. Pure."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from jupyter_kuberay.errors import InvalidSpec
from jupyter_kuberay.fields import Json, Spec

_BOUNDS = ("min_replicas", "max_replicas", "target_ongoing_requests", "downscale_delay_s")  # Serve's own names


class Scaling(Spec):
    """Of an application's main deployment. What is None is as it was, or as the code says.

    Raises
    ------
    InvalidSpec
        Both a number and bounds are given, or they contradict each other.
    """

    replicas: Annotated[int, Field(ge=1)] | None = Field(default=None, description="How many replicas answer, always.")
    min_replicas: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Scaled by its queue: how few replicas there may be; 0: none while nobody asks."
    )
    max_replicas: Annotated[int, Field(ge=1)] | None = Field(default=None, description="Likewise: how many there may be.")
    target_ongoing_requests: Annotated[FiniteFloat, Field(gt=0)] | None = Field(
        default=None,
        description="Likewise: how many requests at a time a replica is to have, those that wait included; Serve's default is 2.",
    )
    downscale_delay_s: Annotated[FiniteFloat, Field(ge=0)] | None = Field(
        default=None, description="Likewise: after how many seconds that need fewer replicas there are fewer; Serve's default is 600."
    )
    gpus: Annotated[FiniteFloat, Field(ge=0)] | None = Field(default=None, description="GPUs of each replica.")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.replicas is not None and self.autoscales:
            raise ValueError(f"replicas {self.replicas} is a fixed number, and {', '.join(self.bounds)} let it change; give one of both")
        if self.min_replicas is not None and self.max_replicas is not None and self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        return self

    @property
    def bounds(self) -> Json:
        """Of autoscaling, as far as they are given, in the words of Serve's ``autoscaling_config``."""
        return {name: getattr(self, name) for name in _BOUNDS if getattr(self, name) is not None}

    @property
    def autoscales(self) -> bool:
        """Whether the number changes with the queue."""
        return bool(self.bounds)

    @property
    def given(self) -> bool:
        """Whether anything is said at all."""
        return self != Scaling()

    @property
    def words(self) -> str:
        """Such as "2 replicas", "0 to 4 replicas", or "" where the code says how many."""
        if self.replicas is not None:
            return f"{self.replicas} replica{'' if self.replicas == 1 else 's'}"
        if not self.autoscales:
            return ""
        least, most = bounds_of(self.bounds)
        return f"{least} to {most} replica{'' if most == 1 else 's'}"


def bounds_of(config: Json) -> tuple[int, int]:
    """The fewest and the most replicas of an ``autoscaling_config``, with Serve's defaults, which are 1 and 1."""
    least = config.get("min_replicas")
    most = config.get("max_replicas")
    least = 1 if least is None else int(least)
    return least, max(1, least) if most is None else int(most)


def options(scaling: Scaling, before: Json) -> Json:
    """A deployment's options in ``serveConfigV2``: ``before``, with what ``scaling`` says put in.

    Parameters
    ----------
    before
        Its options until now; {} where the application is new.

    Raises
    ------
    InvalidSpec
        The bounds that are given and those that stay contradict each other.
    """
    after = dict(before)
    if scaling.replicas is not None:
        after.pop("autoscaling_config", None)
        after["num_replicas"] = scaling.replicas
    elif scaling.autoscales:
        after.pop("num_replicas", None)
        kept = {name: value for name, value in (before.get("autoscaling_config") or {}).items() if name != "initial_replicas"}
        bounds = kept | scaling.bounds
        # What would be more than the other bound, and was not given now, follows what was.
        least, most = bounds_of(bounds)
        if least > most:
            bounds |= {"max_replicas": least} if scaling.max_replicas is None else {"min_replicas": most}
        bounds = {"min_replicas": bounds_of(bounds)[0], "max_replicas": bounds_of(bounds)[1]} | bounds
        if not before and bounds["min_replicas"] == 0:
            bounds["initial_replicas"] = 1  # or nobody would see whether it starts
        after["autoscaling_config"] = bounds
    if not scaling.autoscales and before and isinstance(after.get("autoscaling_config"), dict):
        # Serve would begin with it again at each upgrade, whatever runs by then.
        after["autoscaling_config"] = {name: value for name, value in after["autoscaling_config"].items() if name != "initial_replicas"}
    if scaling.gpus is not None:
        after["ray_actor_options"] = {**(before.get("ray_actor_options") or {}), "num_gpus": scaling.gpus}
    return after


def read(deployment: Json) -> Scaling:
    """What a deployment's options in ``serveConfigV2`` say; what another tool wrote and this does not know is left out."""
    found: Json = {}
    number, config = deployment.get("num_replicas"), deployment.get("autoscaling_config")
    if isinstance(config, dict):
        found = {name: config[name] for name in _BOUNDS if isinstance(config.get(name), int | float)}
    elif isinstance(number, int) and number > 0:
        found = {"replicas": number}
    gpus = (deployment.get("ray_actor_options") or {}).get("num_gpus")
    try:
        return Scaling(**found, **({"gpus": float(gpus)} if isinstance(gpus, int | float) else {}))
    except InvalidSpec:
        return Scaling()  # written by hand, and Serve will say what is wrong with it
