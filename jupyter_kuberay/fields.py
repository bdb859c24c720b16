"""What the fields of a spec may hold: names, labels, versions, counts; and the value that has such fields.

Source of the limits: the Kubernetes API conventions, and KubeRay, which adds suffixes to names.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from jupyter_kuberay.names import MAX_CLUSTER_NAME, MAX_JOB_NAME, MAX_SERVICE_NAME, object_name
from jupyter_kuberay.refusal import refusal

Json = dict[str, Any]

_DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
QUALIFIED = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?([.\-+]?[a-zA-Z0-9.\-+]+)?")


def name_of(longest: int) -> AfterValidator:
    def check(text: str) -> str:
        if len(text) > longest or not _DNS_LABEL.fullmatch(text):
            raise ValueError(
                f"{text!r} is not a name that Kubernetes accepts: 1 to {longest} lower-case letters, digits and hyphens, "
                f"beginning with a letter and not ending with a hyphen, such as {object_name(text, max_length=longest)!r}"
            )
        return text

    return AfterValidator(check)


def matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} is not {what}")
        return text

    return AfterValidator(check)


def _name_schema(longest: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{_DNS_LABEL.pattern}$", "maxLength": longest})


ClusterName = Annotated[str, name_of(MAX_CLUSTER_NAME), _name_schema(MAX_CLUSTER_NAME)]
ServiceName = Annotated[str, name_of(MAX_SERVICE_NAME), _name_schema(MAX_SERVICE_NAME)]
JobName = Annotated[str, name_of(MAX_JOB_NAME), _name_schema(MAX_JOB_NAME)]
# KubeRay makes pod names of cluster and group, and cuts what is longer.
GroupName = Annotated[str, name_of(40)]
ObjectName = Annotated[
    str, matching(re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"), "the name of an object: lower-case letters, digits, '-' and '.'")
]
LabelKey = Annotated[str, matching(QUALIFIED, "a label's key, such as 'team' or 'example.com/team'")]
LabelValue = Annotated[str, matching(_LABEL_VALUE, "a label's value: up to 63 letters, digits, '-', '_' and '.'")]
EnvName = Annotated[str, matching(_ENV_NAME, "the name of an environment variable, such as 'HF_HOME'")]
MountPath = Annotated[str, matching(re.compile(r"/[^:\0]*"), "an absolute path without ':', such as '/data'")]
RayVersion = Annotated[str, AfterValidator(lambda text: text if not text or _VERSION.fullmatch(text) else _no_version(text))]
Seconds = Annotated[int, Field(ge=0, le=2**31 - 1)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


def _no_version(text: str) -> str:
    raise ValueError(f"{text!r} is not a version of Ray, such as '2.58.0'")


class Spec(BaseModel):
    """A frozen value whose constructor raises `InvalidSpec`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __init__(self, **data: Any) -> None:
        try:
            self.__pydantic_validator__.validate_python(data, self_instance=self)
        except ValidationError as error:
            raise refusal(_spoken(type(self)), error) from None

    # Tells pydantic to build nested values itself, so that an error's path is whole.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def changed(self, **fields: Any) -> Self:
        """The same with other ``fields``, checked like a new one."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | fields)


def _spoken(model: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__.removesuffix("Spec")).lower()


def refuse_twins(field: str, key: str, values: list[str]) -> None:
    twins = sorted({value for value in values if values.count(value) > 1})
    if twins:
        raise ValueError(f"{field} has {key} {', '.join(map(repr, twins))} more than once; each must be different")
