"""Brokers: whose users sign in, with what, and where they are sent."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from apportion.auth_gateway.domain.addresses import in_networks
from apportion.auth_gateway.domain.areas import origin_of
from apportion.auth_gateway.domain.languages import language_of
from apportion.auth_gateway.domain.passwords import ApiPassword
from apportion.auth_gateway.errors import BrokerFieldInvalid, RedirectNotAllowed

MAX_LABEL = 2**63 - 1
MAX_NAME_LENGTH = 100
TOKEN_TTL_SECONDS = 60
MIN_TOKEN_TTL_SECONDS = 10
MAX_TOKEN_TTL_SECONDS = 300


class BrokerState(enum.Enum):
    """A disabled broker looks to callers like one that does not exist; its sessions end at once."""

    ACTIVE = "active"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Broker:
    """One label. `areas` in the order of registration: the first is where users go unless the room names another."""

    label: int
    name: str
    state: BrokerState
    default_language: str
    token_ttl_seconds: int
    areas: tuple[str, ...]
    extra_origins: tuple[str, ...]
    address_allow_list: tuple[IPv4Network | IPv6Network, ...]
    passwords: tuple[ApiPassword, ...]

    @property
    def active(self) -> bool:
        return self.state is BrokerState.ACTIVE

    def origins(self) -> frozenset[str]:
        """Origins whose pages may call the gateway for this broker."""
        return frozenset(map(origin_of, self.areas)) | frozenset(self.extra_origins)

    def admits_address(self, address: str) -> bool:
        """Whether la.auth may come from this address; an empty list admits all."""
        return not self.address_allow_list or in_networks(address, self.address_allow_list)

    def choose_area(self, return_url: str | None) -> str:
        """The area to send a user to. Raises RedirectNotAllowed unless it is registered, character by character."""
        if return_url is None and self.areas:
            return self.areas[0]
        if return_url is None or return_url not in self.areas:
            raise RedirectNotAllowed
        return return_url


@dataclass(frozen=True, slots=True)
class NewBroker:
    """What an operator says about a broker; checked when made. Raises BrokerFieldInvalid."""

    label: int
    name: str
    default_language: str = "en"
    token_ttl_seconds: int = TOKEN_TTL_SECONDS
    address_allow_list: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.label <= MAX_LABEL:
            raise BrokerFieldInvalid("label must be from 1 to 9223372036854775807", field="label")
        if not (self.name.strip() and len(self.name) <= MAX_NAME_LENGTH):
            raise BrokerFieldInvalid("name must have from 1 to 100 characters", field="name")
        if language_of(self.default_language) != self.default_language:
            raise BrokerFieldInvalid("language must be one of ch, cn, de, en, es, ja, ko, pt, ru", field="language")
        if not MIN_TOKEN_TTL_SECONDS <= self.token_ttl_seconds <= MAX_TOKEN_TTL_SECONDS:
            raise BrokerFieldInvalid("token_ttl_seconds must be from 10 to 300", field="token_ttl_seconds")
        for network in self.address_allow_list:
            try:
                ip_network(network)
            except ValueError:
                raise BrokerFieldInvalid(f"{network} is not an address or network", field="allow_address") from None
