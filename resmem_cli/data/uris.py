"""URIs of files: which store they lie in, their name in it, and what the URI says of how to reach it.

A name is taken as it is written, as the tools of the stores do: %20 is three characters, except after file://. What
follows the last "?" says how to reach a store if it begins with an option that the store has; else it is a part of the
name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, unquote, urlencode

from resmem_cli.errors import UsageError

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_LOCAL = "file"
GLOB_CHARACTERS = frozenset("*?[")
S3, GCS, AZURE = "s3", "gs", "abfs"
# Which family of stores a scheme belongs to; those of Hadoop mean the same.
FAMILIES = {"s3": S3, "s3a": S3, "gs": GCS, "gcs": GCS, "abfs": AZURE, "abfss": AZURE}
OPTIONS = {
    S3: (
        "region",
        "endpoint_override",
        "scheme",
        "anonymous",
        "force_virtual_addressing",
        "role_arn",
        "tls_ca_file_path",
    ),
    GCS: ("endpoint_override", "scheme", "anonymous", "project_id"),
    AZURE: ("blob_storage_authority", "blob_storage_scheme", "dfs_storage_authority", "dfs_storage_scheme"),
}
_SWITCHES = ("anonymous", "force_virtual_addressing")
# What a name in a query is, or ends in, whose value is a credential: also as the signed addresses of all stores say it.
_SECRET = re.compile(
    r"sig|.*(signature|credential|token|secret|password|access_?id|(access|secret|account|api)_?key(_?id)?)",
    re.IGNORECASE,
)
# Where each family's credentials come from.
CREDENTIALS = {
    S3: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials",
    GCS: "GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth application-default login",
    AZURE: "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or az login",
}


@dataclass(frozen=True)
class Store:
    """A bucket or container, and how to reach it.

    Attributes:
        scheme: of its URIs.
        authority: what follows that, up to the first slash: for most stores the bucket.
        options: that the URI says.
    """

    scheme: str
    authority: str
    options: tuple[tuple[str, str], ...] = ()

    @property
    def family(self) -> str | None:
        """Whose file system of Arrow's it is; None if it is one of fsspec's."""
        return FAMILIES.get(self.scheme)

    @property
    def bucket(self) -> str:
        """Its name alone."""
        return self.authority.partition("@")[0] if self.family == AZURE else self.authority

    @property
    def account(self) -> str | None:
        """The account of Azure that the URI names."""
        host = self.authority.partition("@")[2] if self.family == AZURE else ""
        return host.partition(".")[0] or None

    @property
    def query(self) -> str:
        """The options, as they end a URI."""
        return f"?{urlencode(self.options)}" if self.options else ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def is_uri(word: str) -> bool:
    """Whether this is a URI, of whichever scheme."""
    return _URI.fullmatch(word) is not None


def refuse_one_slash(word: str) -> None:
    """Refuse what would be a file in a folder named "s3:", and is not meant so.

    Raises:
        UsageError: it begins with the scheme of a store and a single slash.
    """
    scheme, slash, rest = word.partition(":/")
    if slash and scheme.lower() in FAMILIES and not rest.startswith("/"):
        parse(f"{scheme}://{rest}")  # which may hold credentials
        raise UsageError(f"'{word}' has one slash after '{scheme}:'", f"write {scheme}://{rest}")


def as_local(word: str) -> str | None:
    """Return the path that a URI of this machine's files names; None if it is another URI, or none.

    Raises:
        UsageError: it names another machine.
    """
    match = _URI.fullmatch(word)
    if match is None or match[1].lower() != _LOCAL:
        return None
    host, slash, path = match[2].partition("/")
    if host not in ("", "localhost") or not slash:
        host = host.rpartition("@")[2]
        raise UsageError(f"'{shown(word)}' names a file of the machine '{host}'", "write file:/// and an absolute path")
    return "/" + unquote(path)


def parse(word: str) -> tuple[Store, PurePosixPath]:
    """Return the store and the name in it of a URI that is not one of this machine's files.

    Raises:
        UsageError: it names no bucket, holds credentials, or an option that its store does not have.
    """
    match = _URI.fullmatch(word)
    if match is None:
        raise ValueError("not a URI")
    scheme = match[1].lower()
    family = FAMILIES.get(scheme)
    _refuse_signature(match[2], family)
    authority, _, rest = match[2].partition("/")
    name, options = _options(rest, family)
    if not rest:
        authority, options = _options(authority, family)
    store = Store(scheme, authority, options)
    _refuse_credentials(store)
    if not store.bucket:
        said = word if family else without_query(word)
        raise UsageError(f"'{said}' names no bucket", f"write {scheme}://BUCKET/NAME")
    if "//" in f"/{name}":
        said = f"{store}/{name}" if family else without_query(word)
        raise UsageError(f"'{said}' has an empty folder name", "write one slash between two names")
    return store, PurePosixPath(name)


def _options(text: str, family: str | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return a text without the options at its end, and these."""
    name, mark, query = text.rpartition("?")
    if family is None or not mark:
        return text, ()
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    known = OPTIONS[family]
    if not pairs or pairs[0][0] not in known:
        return text, ()
    unknown = [key for key, _ in pairs if key not in known]
    if unknown:
        raise UsageError(f"'{unknown[0]}' is no option of a URI of {family}://", f"options are: {', '.join(known)}")
    odd = [f"{key}={value}" for key, value in pairs if key in _SWITCHES and value.lower() not in ("true", "false")]
    if odd:
        raise UsageError(f"'{odd[0]}' is neither true nor false", "write one of the two")
    return name, pairs


def _refuse_credentials(store: Store) -> None:
    """Refuse what others can read in the list of processes, and what would be in every message."""
    is_user = "@" in store.authority and store.family != AZURE
    # A key can have a slash, and then no "@" comes before it; no bucket but an ARN of Amazon's has a colon.
    is_key = store.family is not None and ":" in store.bucket and not store.bucket.startswith("arn:")
    if is_user or is_key:
        raise _with_credentials(store.family)


def _refuse_signature(text: str, family: str | None) -> None:
    """Refuse the same in what follows any "?"; only addresses of the web may have it, which are shown without."""
    query = text.partition("?")[2].replace("?", "&")
    if family is not None and any(_SECRET.fullmatch(key.replace("-", "_")) for key, _ in parse_qsl(query)):
        raise _with_credentials(family)


def _with_credentials(family: str | None) -> UsageError:
    where = CREDENTIALS.get(family or "", "the configuration of fsspec")
    return UsageError("a URI with credentials in it is not taken: others can read a command", f"set {where}")


def without_query(word: str) -> str:
    """Return a URI as it may be shown: what follows "?" in one of the web may be a key."""
    return re.split("[?#]", word, maxsplit=1)[0]


def shown(word: str) -> str:
    """Return what a command line names as it may be shown: without credentials, and what may be some."""
    scheme, mark, body = word.partition(":/")
    scheme, body = scheme.lower(), body.removeprefix("/")
    if not is_uri(word) and not (mark and scheme in FAMILIES):
        return word
    if scheme == _LOCAL and "@" not in body.partition("/")[0]:
        return word
    try:
        store, _ = parse(f"{scheme}://{body}")
    except UsageError:  # whoever reads it says what is wrong
        body = without_query(body)
        if set("@:") & set(body.partition("/")[0]):
            body = body.rpartition("@")[2] if "@" in body else "..."
        return f"{scheme}://{body}"
    return word if store.family else without_query(word)
