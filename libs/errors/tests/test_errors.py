from __future__ import annotations

import pytest

from apportion.errors import (
    DomainError,
    InvalidArgument,
    Kind,
    NotFound,
    Overloaded,
    RemoteError,
    VersionConflict,
    Violation,
    registry,
    summary,
)
from apportion.errors.domain_error import REASON_PATTERN


def test_metadata_keys_become_lower_camel_and_values_text() -> None:
    error = VersionConflict("row changed", account_id=7, currency="EUR")
    assert error.metadata == {"accountId": "7", "currency": "EUR"}
    assert str(error) == "VERSION_CONFLICT: row changed"


def test_message_defaults_to_the_docstring() -> None:
    assert VersionConflict().message == "The row changed since it was read."


def test_retry_delay_comes_from_the_class_unless_given() -> None:
    assert Overloaded().retry_after_seconds == 0.25
    assert Overloaded(retry_after_seconds=3.0).retry_after_seconds == 3.0
    assert VersionConflict().retry_after_seconds is None


def test_not_found_names_resource_and_key() -> None:
    error = NotFound("master", 12)
    assert error.message == "master 12 not found"
    assert error.metadata == {"resource": "master", "key": "12"}


def test_restored_error_keeps_its_class_whatever_its_constructor() -> None:
    error = NotFound.restored("master 12 not found", {"resource": "master", "key": "12"})
    assert type(error) is NotFound
    assert error.metadata == {"resource": "master", "key": "12"}
    violations = (Violation("volume_e8", "must be positive"),)
    assert InvalidArgument.restored("bad", {}, violations).violations == violations


@pytest.mark.parametrize("key", ["message", "self", "violations", "retry_after_seconds", "kind"])
def test_a_peer_may_send_any_metadata_key(key: str) -> None:
    assert VersionConflict.restored("x", {key: "v"}).metadata == {key: "v"}
    assert RemoteError(Kind.INVALID, "OTHER_REASON", "x", {key: "v"}).metadata == {key: "v"}


def test_remote_error_carries_kind_and_reason_as_data() -> None:
    error = RemoteError(Kind.PRECONDITION, "ROTATION_OPEN", "a rotation is open", {"serverId": "3"})
    assert (error.kind, error.reason, error.metadata) == (Kind.PRECONDITION, "ROTATION_OPEN", {"serverId": "3"})
    assert RemoteError(Kind.INVALID, "OTHER_REASON", "x").reason == "OTHER_REASON"
    assert "reason" not in RemoteError.__dict__


def test_every_reason_is_documented() -> None:
    # Other tests of this process may have made classes of their own.
    errors = [error for error in registry() if error.__module__.startswith("apportion.")]
    assert len(errors) >= 20
    assert [error.reason for error in errors] == sorted(error.reason for error in errors)
    for error in errors:
        assert REASON_PATTERN.fullmatch(error.reason)
        assert isinstance(error.kind, Kind)
        assert summary(error).endswith("."), error
        assert error.cure.endswith("."), error


@pytest.mark.parametrize("reason", ["lower", "A", "A_", "1AB", "A" * 64, "WITH SPACE"])
def test_a_badly_formed_reason_cannot_be_declared(reason: str) -> None:
    with pytest.raises(TypeError, match="UPPER_SNAKE"):
        type("Bad", (DomainError,), {"reason": reason})


def test_two_classes_with_one_reason_are_refused() -> None:
    body = {"reason": "NOT_FOUND", "kind": Kind.NOT_FOUND, "cure": "x", "__module__": "apportion.errors.twin"}
    twin = type("Twin", (DomainError,), body)
    try:
        with pytest.raises(ValueError, match="NOT_FOUND is claimed by"):
            registry()
        twin.__module__ = "apportion.another.errors"
        assert twin in registry(), "another service may use the reason for the same thing"
    finally:
        twin.reason = "TWIN_FOR_TEST"


def test_what_may_pass_by_itself() -> None:
    transient = {kind for kind in Kind if kind.is_transient}
    assert transient == {Kind.CONFLICT, Kind.EXHAUSTED, Kind.UNAVAILABLE, Kind.DEADLINE, Kind.INTERNAL}
