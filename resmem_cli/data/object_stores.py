"""The file systems of object stores: Arrow's own, and those of fsspec for the schemes that Arrow does not have.

Everything is configured as the stores' tools are, by the environment and their configuration files, or in the URI.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import pyarrow as pa

from resmem_cli.data.uris import AZURE, CREDENTIALS, GCS, S3, Store
from resmem_cli.errors import UsageError

# Of requests: a tenth that fails, or a store that throttles for some seconds, is no reason to end; a store that does
# not answer is told within half a minute.
_ATTEMPTS = 5  # each waits longer for the next
_CONNECT_SECONDS, _SILENT_SECONDS = 3, 10
_LONGEST = timedelta(seconds=15)


_SEEN: set[Store] = set()  # whose buckets are there


@cache
def filesystem(store: Store) -> tuple[Any, str]:
    """Return the file system of a store, and what its paths begin with there.

    Raises:
        UsageError: the store is not configured, or a package is missing that knows it.
        OSError: it cannot be reached.
    """
    if store.family is None:
        return _by_fsspec(store)
    try:
        return _MADE[store.family](store, dict(store.options)), store.bucket
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise UsageError(f"'{store}' cannot be opened ({' '.join(str(error).split())})", "check the URI") from error


def has_bucket(store: Store) -> bool:
    """Whether the bucket is there; one that may not be asked for is, since objects in it may be allowed nevertheless.

    Raises:
        OSError: the store cannot say.
    """
    if store in _SEEN:
        return True
    from pyarrow.fs import FileType

    system, root = filesystem(store)
    try:
        is_there = bool(system.get_file_info(root).type != FileType.NotFound)
    except OSError as error:
        if not is_denied(error):
            raise
        is_there = True
    if is_there:
        _SEEN.add(store)
    return is_there


def _s3(store: Store, said: Mapping[str, str]) -> Any:
    from pyarrow import fs

    usual = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")  # which Arrow does not know
    endpoint = said.get("endpoint_override") or usual
    scheme, mark, host = (endpoint or "").rpartition("://")
    region = said.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and not endpoint:  # Amazon says of every bucket where it lies
        region = fs.resolve_s3_region(store.bucket)
    return fs.S3FileSystem(
        anonymous=_is_true(said, "anonymous"),
        region=region,
        endpoint_override=host.rstrip("/") or None,
        scheme=said.get("scheme") or (scheme if mark else None),
        force_virtual_addressing=_is_true(said, "force_virtual_addressing"),
        role_arn=said.get("role_arn"),
        tls_ca_file_path=said.get("tls_ca_file_path"),
        allow_delayed_open=True,  # what is small is one request
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_SILENT_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )


def _gcs(_: Store, said: Mapping[str, str]) -> Any:
    from pyarrow import fs

    return fs.GcsFileSystem(
        anonymous=_is_true(said, "anonymous"),
        endpoint_override=said.get("endpoint_override"),
        scheme=said.get("scheme"),
        project_id=said.get("project_id"),
        retry_time_limit=_LONGEST,
    )


def _azure(store: Store, said: Mapping[str, str]) -> Any:
    from pyarrow import fs

    account = store.account or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if account is None:
        raise UsageError(
            f"'{store}' names no account", f"write abfs://{store.bucket}@ACCOUNT.dfs.core.windows.net/NAME"
        )
    key, token = (os.environ.get(f"AZURE_STORAGE_{name}") for name in ("ACCOUNT_KEY", "SAS_TOKEN"))
    return fs.AzureFileSystem(account, account_key=key, sas_token=None if key else token, **said)


_MADE: Mapping[str, Callable[[Store, Mapping[str, str]], Any]] = {S3: _s3, GCS: _gcs, AZURE: _azure}


def _is_true(said: Mapping[str, str], name: str) -> bool:
    value = said.get(name, "false").lower()
    if value not in ("true", "false"):
        raise UsageError(f"'{name}={value}' is neither true nor false", "write one of the two")
    return value == "true"


def _by_fsspec(store: Store) -> tuple[Any, str]:
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    schemes = ", ".join(f"{scheme}://" for scheme in ("s3", "gs", "abfs", "file"))
    try:
        import fsspec
    except ImportError as error:
        raise UsageError(
            f"'{store.scheme}://' is no scheme that is known without fsspec",
            f"install it with: pip install fsspec; known are {schemes}",
        ) from error
    try:
        found, root = fsspec.url_to_fs(str(store))
    except ImportError as error:
        raise UsageError(f"'{store.scheme}://' needs another package ({error})", "install it") from error
    except ValueError as error:
        raise UsageError(f"'{store.scheme}://' is no scheme that is known", f"known are {schemes}") from error
    return PyFileSystem(FSSpecHandler(found)), root


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
_NO_BUCKET = ("NO_SUCH_BUCKET", "NoSuchBucket", "ContainerNotFound", "bucket does not exist", "' not found")
_SILENT = ("NETWORK_CONNECTION", "curlCode", "Could not resolve", "Couldn't connect", "Fail to get a new connection")
_BUSY = (
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
    return known or (f"{' '.join(str(error).split()):.160}", "check the URI and the store")


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
        return f"the store is too busy, after {_ATTEMPTS} attempts", "try again later"
    if isinstance(error, FileNotFoundError):
        return "there is no such object", "check the URI"
    return None
