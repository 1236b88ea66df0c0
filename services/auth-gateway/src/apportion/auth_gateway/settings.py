"""Settings of the gateway, read once from AUTH_GATEWAY_* variables."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from apportion.auth_gateway.domain.addresses import Network
from apportion.auth_gateway.domain.limits import AttemptLimits
from apportion.auth_gateway.domain.passwords import MIN_PEPPER_BYTES
from apportion.auth_gateway.web.connection import ConnectionLimits
from apportion.auth_gateway.web.site import SiteRules
from apportion.runtime import ServiceSettings

ENV_PREFIX = "AUTH_GATEWAY_"


def _long_enough(pepper: SecretStr) -> SecretStr:
    if len(pepper.get_secret_value().encode()) < MIN_PEPPER_BYTES:
        raise ValueError(f"must have at least {MIN_PEPPER_BYTES} bytes; make one with: openssl rand -hex 32")
    return pepper


def _networks(text: str) -> str:
    for part in _split(text):
        ip_network(part)
    return text


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


class AuthGatewaySettings(ServiceSettings):
    """Comma-separated texts where there may be several."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX)

    pepper: Annotated[SecretStr, AfterValidator(_long_enough)] = Field(
        repr=False, description="secret of the HMAC over API passwords, at least 32 bytes; changing it ends them all"
    )
    platform_groups_address: str = Field(description="host:port or gRPC name of platform-groups")
    allocation_address: str = Field(description="host:port or gRPC name of allocation")
    public_url: str = Field(default="", description="https://… where rooms reach us; empty: http:// and the bound port")
    hosts: str = Field(default="localhost,127.0.0.1", description="names we answer to, as in Host headers, no ports")
    proxies: Annotated[str, AfterValidator(_networks)] = Field(
        default="", description="networks of our own proxies, whose X-Forwarded-For is believed"
    )
    https_certificate_file: Path | None = Field(default=None, description="PEM chain; only without a TLS ingress")
    https_key_file: Path | None = Field(default=None, description="PEM key of it")
    brokers_ttl_seconds: float = Field(default=5.0, gt=0, description="age at which brokers are read again")
    wallets_ttl_seconds: float = Field(default=5.0, ge=0, description="how long an open wallet is remembered")
    refusal_seconds: float = Field(default=0.3, ge=0, description="no INVALID_CREDENTIALS is faster than this")
    attempts_per_login: int = Field(default=10, ge=1, description="la.auth per login and 60 s")
    attempts_per_address: int = Field(default=30_000, ge=1, description="la.auth per label, network and 60 s")
    attempts_per_label: int = Field(
        default=60_000, ge=1, description="la.auth per label and 60 s; all labels that no broker has are one"
    )
    attempts_total: int = Field(default=120_000, ge=1, description="la.auth per 60 s, over all replicas")
    free_failures: int = Field(default=20, ge=0, description="wrong passwords of a network before its lock-out grows")
    exchanges_per_address: int = Field(default=600, ge=1, description="exchanges, and links, per network and 60 s")
    calls_per_user: int = Field(default=600, ge=1, description="calls of one signed-in user per 60 s")
    head_seconds: float = Field(
        default=5.0,
        gt=0,
        description="time for headers to arrive, idle time included (see README)",
    )
    body_seconds: float = Field(default=5.0, gt=0, description="time for its body")
    connections_per_address: int = Field(default=200, ge=1, description="open connections; our proxies have no limit")
    max_in_flight: int = Field(default=512, ge=1, description="requests being answered; more get 503")

    @model_validator(mode="after")
    def _https_is_complete(self) -> Self:
        if (self.https_certificate_file is None) != (self.https_key_file is None):
            raise ValueError("set https_certificate_file and https_key_file together")
        if not self.redis_url:
            raise ValueError("set redis_url: tokens and sessions live there")
        return self

    @property
    def proxy_networks(self) -> tuple[Network, ...]:
        return tuple(map(ip_network, _split(self.proxies)))

    @property
    def attempt_limits(self) -> AttemptLimits:
        return AttemptLimits(
            per_login=self.attempts_per_login,
            per_address=self.attempts_per_address,
            per_label=self.attempts_per_label,
            total=self.attempts_total,
            free_failures=self.free_failures,
        )

    @property
    def connection_limits(self) -> ConnectionLimits:
        return ConnectionLimits(self.head_seconds, self.connections_per_address, self.proxy_networks)

    @property
    def site_rules(self) -> SiteRules:
        return SiteRules(
            hosts=frozenset(name.lower() for name in _split(self.hosts)),
            proxies=self.proxy_networks,
            body_seconds=self.body_seconds,
            max_in_flight=self.max_in_flight,
        )
