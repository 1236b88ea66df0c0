"""Parameters of each method: these classes validate them and become the OpenRPC document."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from apportion.errors import InvalidArgument, Violation

MAX_INT64 = 2**63 - 1
Int64Id = Annotated[int, Field(ge=1, le=MAX_INT64)]
ParamsT = TypeVar("ParamsT", bound="MethodParams")


class MethodParams(BaseModel):
    """Strict: "42" is not 42, and a parameter that does not exist is refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class NoParams(MethodParams):
    """A method without parameters."""


class LaAuthParams(MethodParams):
    """The user's wallet; it must be the la_login of the headers."""

    wa_login: Int64Id = Field(description="login of the user's wallet")
    lang: str | None = Field(default=None, max_length=16, description="language tag of the area, such as ru-ru")
    return_url: str | None = Field(default=None, max_length=512, description="one of the broker's registered areas")


class ExchangeParams(MethodParams):
    """A token of la.auth."""

    token: str = Field(description="32 hex digits")
    transport: Literal["cookie", "bearer"] = Field(
        default="cookie", description="how the session travels: an httpOnly cookie, or a bearer key in the answer"
    )


class RevokeParams(MethodParams):
    """Which sessions to end."""

    everywhere: bool = Field(default=False, description="all sessions of the user, not only this one")


class AccountParams(MethodParams):
    """Which account."""

    account_id: Int64Id | None = Field(default=None, description="one of the user's accounts; none: the wallet")


class PageParams(MethodParams):
    """Which part of a list."""

    page_size: int = Field(default=100, ge=1, le=1000)
    page_token: str = Field(default="", max_length=1024)


class MastersParams(PageParams):
    """Which masters."""

    own: bool = Field(default=False, description="the user's own masters instead of the leaderboard")


def parse_params(model: type[ParamsT], params: dict[str, Any] | list[Any]) -> ParamsT:
    """Named or positional parameters as a checked model. Raises InvalidArgument with every violation."""
    if isinstance(params, list):
        names = list(model.model_fields)
        if len(params) > len(names):
            raise InvalidArgument(violations=[_UNKNOWN])
        params = dict(zip(names, params, strict=False))
    try:
        return model.model_validate(params)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        violations = [_violation(problem["type"], problem["loc"], problem["msg"]) for problem in problems]
        raise InvalidArgument(violations=violations) from None


_UNKNOWN = Violation("params", "UNKNOWN: there is no such parameter")


def _violation(kind: str, location: tuple[int | str, ...], message: str) -> Violation:
    if kind == "extra_forbidden":
        return _UNKNOWN  # without its name: that is input
    field = ".".join(map(str, location))
    if kind == "missing":
        return Violation(field, "REQUIRED: must be given")
    in_range = kind.startswith(("greater_than", "less_than", "literal", "string_too", "string_pattern"))
    return Violation(field, f"{'RANGE' if in_range else 'TYPE'}: {message}")
