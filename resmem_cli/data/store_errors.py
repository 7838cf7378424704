"""What the errors of object stores mean, in one sentence for all of them."""

from __future__ import annotations

import re

from resmem_cli.data.uris import CREDENTIALS, GCS, S3, Store

_MOST_SAID = 300  # characters of an error that is not known
_QUERY = re.compile(r"\?[^ ']+")  # of an address, which for Azure holds the token
NO_BUCKET_HINT = "check its name, and the endpoint of the store"
# What in an error of a store says which kind it is of, the sentence for it, and what to do next.
_DENIED = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY",
    "InvalidAccessKeyId",
    "SIGNATURE_DOES_NOT_MATCH",
    "SignatureDoesNotMatch",
    "EXPIRED_TOKEN",
    "ExpiredToken",
    "HTTP status 403",
    "HTTP status 401",
    "PERMISSION_DENIED",
    "AuthenticationFailed",
    "CredentialUnavailable",
    "DefaultAzureCredential",
    "INVALID_CLIENT_TOKEN",
    "code: 403",
    "UNAUTHENTICATED",
)
_NO_BUCKET = ("NO_SUCH_BUCKET", "NoSuchBucket", "ContainerNotFound", "bucket does not exist", "Bucket '")
_SILENT = ("NETWORK_CONNECTION", "curlCode", "Could not resolve", "Couldn't connect", "Fail to get a new connection")
_BUSY = (
    "Failed to flush response stream",  # see PatientFile
    "SLOW_DOWN",
    "SlowDown",
    "THROTTLING",
    "SERVICE_UNAVAILABLE",
    "HTTP status 503",
    "HTTP status 429",
    "TooManyRequests",
)


def is_denied(error: Exception) -> bool:
    """Whether a store refuses who asks, and not what is asked for."""
    return any(mark in str(error) for mark in _DENIED)


def explained(error: Exception, store: Store) -> tuple[str, str]:
    """Return what an error of a store means, and what to do about it; no secret is in either."""
    known = recognised(error, store)
    text = _QUERY.sub("?...", " ".join(str(error).split()))
    return known or (text[:_MOST_SAID], "check the URI and the store")


def recognised(error: Exception, store: Store) -> tuple[str, str] | None:
    """Return the same of an error that is the store's, and None of any other, such as one of damaged content."""
    text = str(error)

    def says(marks: tuple[str, ...]) -> bool:
        return any(mark in text for mark in marks)

    if is_denied(error):
        public = ", or end the URI with ?anonymous=true if the bucket is public" if store.family in (S3, GCS) else ""
        return "access denied", f"check {CREDENTIALS.get(store.family or '', 'the credentials')}{public}"
    if says(_NO_BUCKET):
        return f"there is no bucket '{store.bucket}'", NO_BUCKET_HINT
    if says(_SILENT):
        how = " and AWS_ENDPOINT_URL or endpoint_override" if store.family == S3 else ""
        return "the store does not answer", f"check the network{how}"
    if says(_BUSY):
        return "the store is too busy, also after several attempts", "try again later"
    if isinstance(error, FileNotFoundError):
        return "there is no such object", "check the URI"
    return None
