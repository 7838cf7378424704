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

from resmem_cli.data.store_errors import is_denied
from resmem_cli.data.uris import AZURE, GCS, S3, Store
from resmem_cli.errors import UsageError

# A tenth of requests that fails, or a store that throttles for some seconds, is no reason to end; that a store does not
# answer is told within about a minute.
_ATTEMPTS = 5  # with a longer pause before each
_CONNECT_SECONDS, _SILENT_SECONDS = 3, 10
_LONGEST = timedelta(seconds=15)  # that Google's library tries

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


def by_one_name(store: Store) -> Store:
    """Return a store by the name that all URIs share which lead to it, in whichever way they say to reach it."""
    host = (_endpoint(store) or "").rpartition("://")[2].rstrip("/").lower()
    is_usual = not host or host.endswith(".amazonaws.com")
    account = f"@{_account(store)}" if store.family == AZURE else ""
    return Store(
        store.family or store.scheme, store.bucket + account, () if is_usual else (("endpoint_override", host),)
    )


def _endpoint(store: Store) -> str | None:
    said = dict(store.options).get("endpoint_override")
    if said or store.family != S3:
        return said
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")  # which Arrow does not know


def _account(store: Store) -> str | None:
    return store.account or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")


def _s3(store: Store, said: Mapping[str, str]) -> Any:
    from pyarrow import fs

    endpoint = _endpoint(store)
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

    account = _account(store)
    if account is None:
        raise UsageError(
            f"'{store}' names no account", f"write abfs://{store.bucket}@ACCOUNT.dfs.core.windows.net/NAME"
        )
    key, token = (os.environ.get(f"AZURE_STORAGE_{name}") for name in ("ACCOUNT_KEY", "SAS_TOKEN"))
    return fs.AzureFileSystem(account, account_key=key, sas_token=None if key else token, **said)


_MADE: Mapping[str, Callable[[Store, Mapping[str, str]], Any]] = {S3: _s3, GCS: _gcs, AZURE: _azure}


def _is_true(said: Mapping[str, str], name: str) -> bool:
    return said.get(name, "false").lower() == "true"


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
