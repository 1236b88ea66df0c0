"""Settings that all services share. Each is read once, from the environment, and never changes after start."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


def _host_and_port(address: str) -> str:
    host, separator, port = address.rpartition(":")
    if not (separator and host and port.isdigit() and int(port) <= 65_535):
        raise ValueError("must be host:port, with port 0 for any free one")
    return address


Address = Annotated[str, AfterValidator(_host_and_port)]


def _unique(worker_id: str) -> str:
    """A restarted process must not be taken for the one before it, so each start has a name of its own."""
    return f"{worker_id}-{secrets.token_hex(4)}"


class ServiceSettings(BaseSettings):
    """Base of each service's settings; the subclass sets `model_config = SettingsConfigDict(env_prefix="FEES_")`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True)

    database_url: str = Field(repr=False, description="postgresql://… of the service's own database")
    redis_url: str = Field(default="", repr=False, description="redis://… for events and live data")
    listen_address: Address = Field(default="127.0.0.1:0", description="where gRPC (or HTTP) is served")
    metrics_address: Address | None = Field(default=None, description="where /metrics, /live and /ready are served")
    tls_certificate_file: Path | None = Field(default=None, description="PEM chain; its DNS name is our identity")
    tls_key_file: Path | None = Field(default=None, description="PEM private key")
    tls_ca_file: Path | None = Field(default=None, description="PEM of the authority that signs all services")
    insecure: bool = Field(default=False, description="serve and call without TLS: tests and benchmarks only")
    worker_id: Annotated[str, AfterValidator(_unique)] = Field(
        default_factory=socket.gethostname,
        validate_default=True,
        description="owner in leases; a suffix is added per start",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="lowest level logged")
    ready_file: Path | None = Field(default=None, description="JSON file that exists while the service is ready")
    drain_seconds: float = Field(default=25.0, ge=0, description="time given to calls in flight at a stop")
    trace_endpoint: str | None = Field(default=None, description="OTLP gRPC endpoint, host:port; none = no traces")
    trace_sample_ratio: float = Field(default=0.01, ge=0, le=1, description="share of root calls that are traced")
    outbox_retention_days: int = Field(
        default=30, ge=1, description="published events are kept for replays this long; consumers away longer need help"
    )
    request_retention_days: int = Field(default=90, ge=1, description="answers to repeated requests are kept this long")
    clock_skew_alarm_seconds: float = Field(default=1.0, gt=0, description="difference to the database's clock to log")
    development: bool = Field(default=False, description="coloured logs instead of JSON lines")

    @model_validator(mode="after")
    def _tls_is_complete(self) -> Self:
        files = (self.tls_certificate_file, self.tls_key_file, self.tls_ca_file)
        if self.insecure and any(files):
            raise ValueError("insecure and tls_*_file exclude each other")
        if not self.insecure and not all(files):
            raise ValueError("set tls_certificate_file, tls_key_file and tls_ca_file, or insecure=true in a test")
        for file in files:
            if file is not None and not file.is_file():
                raise ValueError(f"{file} does not exist")
        return self

    def described(self) -> dict[str, str]:
        """Every setting as text for people: passwords inside URLs and fields hidden from repr are masked."""
        fields = type(self).model_fields
        return {name: _masked(getattr(self, name), hidden=not fields[name].repr) for name in fields}


def problems_of(error: ValidationError, settings_type: type[ServiceSettings]) -> list[str]:
    """One line per bad setting, named as in the environment, never with the value."""
    prefix = settings_type.model_config.get("env_prefix", "")
    lines = []
    for problem in error.errors(include_input=False, include_context=False, include_url=False):
        name = "_".join(str(part) for part in problem["loc"])
        lines.append(f"{(prefix + name).upper() if name else settings_type.__name__}: {problem['msg']}")
    return lines


def _masked(value: object, *, hidden: bool) -> str:
    text = str(value)
    if not hidden or not text:
        return text
    parts = urlsplit(text)
    if not parts.hostname:
        return "***"
    user = f"{parts.username}:***@" if parts.username else ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{user}{parts.hostname}{port}{parts.path}"
