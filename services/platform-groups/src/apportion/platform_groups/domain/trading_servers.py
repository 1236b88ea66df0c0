"""A trading server as configured. Its secrets are not here: they are sealed in the database and opened by the vault."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from apportion.platform_groups.domain.states import ConnectionState, ServerKind, ServerType
from apportion.platform_groups.errors import HostNotAllowed, PortRange, ServerTypeUnsupported, TimezoneUnknown

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

METADATA_ADDRESSES = frozenset({ipaddress.ip_address("169.254.169.254"), ipaddress.ip_address("fd00:ec2::254")})


@dataclass(frozen=True, slots=True)
class TradingServer:
    trading_server_id: int
    label: int
    name: str
    type: ServerType
    kind: ServerKind
    host: str
    port: int
    time_zone: str
    manager_login: int
    region: str
    liquidity_provider: str
    connection_state: ConnectionState
    last_contact_time: datetime | None
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Registration:
    """What an operator says about a new server."""

    name: str
    type: ServerType
    kind: ServerKind
    host: str
    port: int
    time_zone: str
    manager_login: int
    manager_password: str = field(repr=False)
    api_key: str = field(repr=False)
    ca_certificate_pem: str = field(repr=False)
    region: str = ""
    liquidity_provider: str = ""


def check_registration(registration: Registration) -> None:
    """Raises PortRange, TimezoneUnknown, ServerTypeUnsupported."""
    if not 1 <= registration.port <= 65_535:
        raise PortRange(f"port {registration.port} is not from 1 to 65535", port=registration.port)
    try:
        ZoneInfo(registration.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimezoneUnknown(
            f"{registration.time_zone!r} is not an IANA time zone", time_zone=registration.time_zone
        ) from None
    if registration.type is not ServerType.MT5:
        raise ServerTypeUnsupported(f"{registration.type.name} has no adapter yet", type=registration.type.name)


def check_addresses(host: str, addresses: list[IpAddress], *, allow_loopback: bool) -> None:
    """Refuses a host any of whose addresses is this machine, its link or its cloud's metadata service.

    Private networks are where trading servers live and are allowed. Raises HostNotAllowed.
    """
    if not addresses:
        raise HostNotAllowed(f"{host} has no address", host=host)
    for address in addresses:
        plain = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        if not _is_allowed(plain or address, allow_loopback=allow_loopback):
            raise HostNotAllowed(f"{host} is not an allowed address", host=host)


def _is_allowed(address: IpAddress, *, allow_loopback: bool) -> bool:
    if address.is_loopback:
        return allow_loopback
    forbidden = address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved
    return not forbidden and address not in METADATA_ADDRESSES
