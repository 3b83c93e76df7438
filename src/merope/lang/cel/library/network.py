"""IP addresses and CIDR ranges; zones and IPv4-mapped IPv6 addresses are refused, as Kubernetes does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .. import types as t
from ..errors import EvaluationError
from ..functions import Library
from ..values import register_key

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

IPS = Library("ip")
CIDRS = Library("cidr")


class Ip:
    """An address."""

    __slots__ = ("address",)

    def __init__(self, address: IPv4Address | IPv6Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ip) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)


class Cidr:
    """An address with a prefix length; the bits behind the prefix are kept."""

    __slots__ = ("ip", "prefix")

    def __init__(self, ip: Ip, prefix: int) -> None:
        self.ip = ip
        self.prefix = prefix

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cidr) and self.ip == other.ip and self.prefix == other.prefix

    def __hash__(self) -> int:
        return hash((self.ip, self.prefix))

    def __str__(self) -> str:
        return f"{self.ip}/{self.prefix}"

    def network(self) -> int:
        """Give the bits of the prefix."""
        return int(self.ip.address) >> (self.ip.address.max_prefixlen - self.prefix)

    def contains_ip(self, other: Ip) -> bool:
        """Tell whether an address lies in the range."""
        address = other.address
        if address.version != self.ip.address.version:
            return False
        return int(address) >> (address.max_prefixlen - self.prefix) == self.network()

    def contains_cidr(self, other: Cidr) -> bool:
        """Tell whether the other range lies in this one."""
        return other.prefix >= self.prefix and self.contains_ip(other.ip)

    def masked(self) -> Cidr:
        """Give the range with the bits behind the prefix cleared."""
        address = self.ip.address
        shift = address.max_prefixlen - self.prefix
        return Cidr(Ip(type(address)(self.network() << shift)), self.prefix)


register_key(Ip, t.IP)
register_key(Cidr, t.CIDR)


def parse_ip(text: str) -> Ip:
    """Read an address.

    Raises:
        EvaluationError: it is malformed, has a zone, or is an IPv4 address in IPv6 form.
    """
    import ipaddress

    if "%" in text:
        raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        reason = f'ParseAddr("{text}"): unable to parse IP'
        raise EvaluationError(f"IP Address '{text}' parse error during conversion from string: {reason}") from None
    if address.version == 6 and address.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Ip(address)


def parse_cidr(text: str) -> Cidr:
    """Read an address range.

    Raises:
        EvaluationError: it is malformed, or its address is not acceptable.
    """
    address, slash, prefix = text.partition("/")
    try:
        ip = parse_ip(address)
    except EvaluationError as error:
        if "allowed" in str(error):
            raise
        ip = None
    if ip is None or not slash or not re.fullmatch(r"0|[1-9][0-9]{0,2}", prefix):
        raise EvaluationError(f'network address parse error during conversion from string: netip.ParsePrefix("{text}")')
    if int(prefix) > ip.address.max_prefixlen:
        raise EvaluationError(
            f'network address parse error during conversion from string: netip.ParsePrefix("{text}"): '
            "prefix length out of range"
        )
    return Cidr(ip, int(prefix))


def _is_ip(text: str) -> bool:
    try:
        parse_ip(text)
    except EvaluationError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        parse_cidr(text)
    except EvaluationError:
        return False
    return True


def _is_canonical(text: str) -> bool:
    return str(parse_ip(text)) == text


def _is_link_local_multicast(ip: Ip) -> bool:
    packed = ip.address.packed
    if ip.address.version == 4:
        return packed[:3] == b"\xe0\x00\x00"
    return packed[0] == 0xFF and packed[1] & 0x0F == 0x02


def _is_global_unicast(ip: Ip) -> bool:
    address = ip.address
    return not (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_link_local
        or (address.version == 4 and int(address) == 0xFFFFFFFF)
    )


_ip = IPS.declare
_ip("ip(string) -> ip", parse_ip, cost="string", base_cost=1)
_ip("isIP(string) -> bool", _is_ip, cost="string", base_cost=1)
_ip("ip.isCanonical(string) -> bool", _is_canonical, cost="string twice", base_cost=1)
_ip("string(ip) -> string", str)
_ip("<ip>.family() -> int", lambda ip: ip.address.version)
_ip("<ip>.isUnspecified() -> bool", lambda ip: ip.address.is_unspecified)
_ip("<ip>.isLoopback() -> bool", lambda ip: ip.address.is_loopback)
_ip("<ip>.isLinkLocalMulticast() -> bool", _is_link_local_multicast)
_ip("<ip>.isLinkLocalUnicast() -> bool", lambda ip: ip.address.is_link_local)
_ip("<ip>.isGlobalUnicast() -> bool", _is_global_unicast)

_cidr = CIDRS.declare
_cidr("cidr(string) -> cidr", parse_cidr, cost="string", base_cost=1)
_cidr("isCIDR(string) -> bool", _is_cidr, cost="string", base_cost=1)
_cidr("string(cidr) -> string", str)
_cidr("<cidr>.containsIP(ip) -> bool", Cidr.contains_ip, cost="contains ip", base_cost=1)
_cidr("<cidr>.containsCIDR(cidr) -> bool", Cidr.contains_cidr, cost="contains cidr", base_cost=1)
_cidr("<cidr>.ip() -> ip", lambda cidr: cidr.ip)
_cidr("<cidr>.prefixLength() -> int", lambda cidr: cidr.prefix)
_cidr("<cidr>.masked() -> cidr", Cidr.masked)


@CIDRS.overload("<cidr>.containsIP(string) -> bool", cost="contains ip", base_cost=1)
def _contains_ip_text(cidr: Cidr, text: str) -> bool:
    return cidr.contains_ip(parse_ip(text))


@CIDRS.overload("<cidr>.containsCIDR(string) -> bool", cost="contains cidr", base_cost=1)
def _contains_cidr_text(cidr: Cidr, text: str) -> bool:
    return cidr.contains_cidr(parse_cidr(text))
