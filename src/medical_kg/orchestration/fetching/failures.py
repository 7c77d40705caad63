"""What can go wrong with a request, as the errors of the contract: what may pass, and what will not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NoReturn

from medical_kg.orchestration.contract.errors import ItemRejected, MedicalKGError, TransientError
from medical_kg.orchestration.contract.urls import safe_url

if TYPE_CHECKING:
    import httpx2

PASSING = frozenset({408, 425, 429})
"""Refusals that may pass, besides every 5xx."""


class Refused(MedicalKGError):
    """Inside the client: this will not be asked, or its answer not taken; the message says why."""


class Overdue(MedicalKGError):
    """Inside the client: the request's time is over."""


class CutOff(MedicalKGError):
    """Inside the client: the body ended before its end."""


@contextmanager
def failures(shown: str) -> Iterator[None]:
    """Say what failed without the client's own words about the address, which may hold secrets."""
    import httpcore2
    import httpx2

    try:
        yield
    except Refused as refusal:
        raise ItemRejected(f"{shown}: {refusal}") from None
    except (Overdue, CutOff) as error:
        raise TransientError(f"{shown}: {error}") from None
    except (httpcore2.LocalProtocolError, httpx2.LocalProtocolError) as error:
        raise ItemRejected(f"{shown}: the request cannot be sent ({type(error).__name__})") from None
    except (httpcore2.TimeoutException, httpx2.TimeoutException) as error:
        raise TransientError(f"{shown}: no answer in time ({type(error).__name__})") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.ProxyError, httpx2.TransportError) as error:
        raise TransientError(f"{shown}: {type(error).__name__}: {error}") from None


def refuse(response: httpx2.Response, now: float) -> NoReturn:
    """Raise what a status means that is no answer.

    Raises:
        ItemRejected: it will not change.
        TransientError: it may pass; with ``retry_after`` where the server says so.
    """
    status = response.status_code
    message = f"{safe_url(str(response.url))}: HTTP {status} {response.reason_phrase}".rstrip()
    if may_pass(status):
        raise TransientError(message, retry_after=_retry_after(response.headers.get("retry-after"), now))
    raise ItemRejected(message)


def may_pass(status: int) -> bool:
    """Whether a status is the server's trouble of the moment."""
    return status in PASSING or status >= 500  # noqa: PLR2004  # 5xx is the server's trouble


def too_long(shown: str, limit: int) -> ItemRejected:
    """Return the error of a body over its size limit, in bytes."""
    return ItemRejected(f"{shown}: longer than the limit of {limit} bytes (max_bytes)")


def _retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header (RFC 9110, 10.2.3): seconds, or a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return None
