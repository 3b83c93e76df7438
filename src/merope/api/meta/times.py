"""Times as the API writes them: RFC 3339 in UTC, whole seconds (`Time`) or microseconds (`MicroTime`)."""

from datetime import UTC, datetime


def format_time(moment: datetime) -> str:
    """`2006-01-02T15:04:05Z`, fractions of a second cut off; a naive time is taken for UTC."""
    return _utc(moment).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """`2006-01-02T15:04:05.000000Z`, as Leases and Events have it."""
    return _utc(moment).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """The moment of an RFC 3339 text, with its offset and up to nanoseconds (cut to microseconds).

    Raises ValueError on anything else, a text without an offset included.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or "T" not in text.upper():
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    return moment.astimezone(UTC)


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
