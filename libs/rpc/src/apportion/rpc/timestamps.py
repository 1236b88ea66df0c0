"""Instants on the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from apportion.errors import TimestampInvalid, Violation

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00Z
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z


def to_timestamp(instant: datetime) -> Timestamp:
    """An aware instant as a Timestamp; ValueError for a civil time without a zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    micros = (instant - _EPOCH) // timedelta(microseconds=1)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def from_timestamp(timestamp: Timestamp, field: str) -> datetime:
    """The instant in UTC, to the microsecond; raises TimestampInvalid, naming `field`, outside years 1 to 9999."""
    if not (_FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND and 0 <= timestamp.nanos <= 999_999_999):
        raise TimestampInvalid(violations=(Violation(field, "seconds or nanos out of range"),), field=field)
    return _EPOCH + timedelta(seconds=timestamp.seconds, microseconds=timestamp.nanos // 1_000)
