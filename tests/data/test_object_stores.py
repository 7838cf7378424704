"""Reading objects of a store: found, listed and read as files are, and every error a sentence."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from resmem_cli.data import object_stores, sources, store_errors, tables
from resmem_cli.data.remote import Remote
from resmem_cli.data.uris import Store
from resmem_cli.errors import DataError, UsageError
from tests.s3_server import Bucket

ROWS = pa.table({"a": range(1_000), "b": [f"text {i % 7}" for i in range(1_000)]})
TREE = [
    "a.csv",
    "b/day=2/part-1.parquet",
    "b/day=10/part-1.parquet",
    "b/day=10/part-0.PARQUET",
    "b/day=10/_SUCCESS",
    "b/day=10/.hidden.parquet",
    "b/_temporary/part-1.parquet",
    "b-c/part-1.parquet",
    "b/day=a%2Fb é/part 1.parquet",
    "b/other.csv",
]


@pytest.fixture
def both(bucket: Bucket, tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """Give the word for the same tree, here and in the bucket."""
    for name in TREE:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    bucket.put("tree", tmp_path / "tree")
    return lambda word: (str(tmp_path / "tree" / word), bucket.uri(f"tree/{word}"))


@pytest.mark.parametrize(
    "word",
    [
        "a.csv",
        "b",
        "b/",
        "b/day=*",
        "b/day=10/*",
        "b/day=*/part-*.parquet",
        "b/day=1?/part-[01].*",
        "**/*.parquet",
        "b*/*.parquet",
        "*/*.csv",
        "b/day=a%2Fb é/part 1.parquet",
    ],
)
def test_a_uri_names_the_objects_that_a_path_names_of_files_in_the_same_order(
    both: Callable[[str], tuple[str, str]], word: str
) -> None:
    refused: list[str] = []

    def named(of: str) -> list[tuple[str, object]]:
        found = sources.resolve([of], refused=lambda name, error: refused.append(str(error)))
        return [(source.name.partition("tree/")[2], source.partitions) for source in found]

    local, remote = map(named, both(word))
    assert [name for name, _ in remote] == [name for name, _ in local] != []
    assert [each.below for _, each in remote] == [each.below for _, each in local]  # type: ignore[attr-defined]


def test_a_listing_that_a_store_gives_in_another_order_is_sorted(bucket: Bucket) -> None:
    for name in ("d/b.parquet", "d/a/z.parquet", "d/a-1.parquet"):
        bucket.put(name, b"x")
    assert [source.name for source in sources.resolve([bucket.uri("d")])] == [
        bucket.uri(f"d/{name}") for name in ("a/z.parquet", "a-1.parquet", "b.parquet")
    ]


def test_a_whole_bucket_is_a_directory(bucket: Bucket) -> None:
    bucket.put("x/k.parquet", b"x")
    assert [source.name for source in sources.resolve([bucket.uri()])] == [bucket.uri("x/k.parquet")]


def _written(name: str, path: Path) -> Path:
    text = "a,b\n" + "".join(f"{a},{b}\n" for a, b in zip(*ROWS.to_pydict().values(), strict=True))
    if name == "k.csv":
        path.write_text(text)
    elif name == "k.csv.gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif name == "k.jsonl.zst":
        lines = "".join(f'{{"a": {a}, "b": "{b}"}}\n' for a, b in zip(*ROWS.to_pydict().values(), strict=True))
        path.write_bytes(pa.compress(lines.encode(), "zstd", asbytes=True))
    elif name == "k.parquet":
        pq.write_table(ROWS, path, row_group_size=300)
    elif name == "k.feather":
        pyarrow.feather.write_feather(ROWS, path)
    else:
        with pyarrow.ipc.new_stream(path, ROWS.schema) as stream:
            stream.write_table(ROWS)
    return path


@pytest.mark.parametrize("name", ["k.csv", "k.csv.gz", "k.jsonl.zst", "k.parquet", "k.feather", "k.arrow"])
@pytest.mark.parametrize("fail_every", [0, 5])
def test_every_format_is_read_from_a_store_as_from_a_file_also_if_requests_fail(
    bucket: Bucket, tmp_path: Path, name: str, fail_every: int
) -> None:
    path = _written(name, tmp_path / name)
    uri = bucket.put(f"in a/é%20/{name}", path)
    bucket.server.order(fail_every=fail_every)

    def read(word: str) -> list[pa.Table]:
        found = sources.resolve([word])
        counted = tables.count_rows(found)
        read = list(tables.read(found, batch_rows=256))
        assert counted in (None, 1_000) or abs(counted - 1_000) < 20
        assert tables.may_change([*found, *found]) == (name == "k.jsonl.zst")
        return [rows.table for rows in read]

    local, remote = read(str(path)), read(uri)
    assert [table.num_rows for table in remote] == [256, 256, 256, 232]
    assert remote == local
    assert bucket.server.said()["failed"] >= (fail_every > 0)


def test_of_parquet_in_a_store_only_what_is_needed_is_fetched(bucket: Bucket, tmp_path: Path) -> None:
    wide = pa.table({f"c{i}": pa.array(range(50_000)) for i in range(8)})
    pq.write_table(wide, tmp_path / "k.parquet", row_group_size=10_000, compression=None, use_dictionary=False)
    uri = bucket.put("k.parquet", tmp_path / "k.parquet")
    read = tables.read(sources.resolve([uri]), columns=frozenset({"c3"}))
    assert sum(len(rows) for rows in read) == 50_000
    assert sum(request.startswith("GET") for request in bucket.server.said()["requests"]) <= 8


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("k.csv", "{uri} is empty; give a table with a header and at least one row"),
        ("k.arrow", "{uri} is empty; give a table with at least one row"),
    ],
)
def test_an_empty_object_is_told_as_an_empty_file_is(bucket: Bucket, name: str, sentence: str, tmp_path: Path) -> None:
    uri = bucket.put(name, b"")
    (tmp_path / name).touch()

    def told(word: str) -> str:
        with pytest.raises(DataError) as caught:
            list(tables.read(sources.resolve([word])))
        return str(caught.value).replace(word, "{uri}")

    assert told(uri) == told(str(tmp_path / name)) == sentence


def test_an_object_that_is_replaced_while_it_is_read_is_an_error(bucket: Bucket) -> None:
    uri = bucket.put("k.csv", b"a\n" + b"1\n" * 10)
    read = tables.read(sources.resolve([uri]), batch_rows=2)
    next(read)
    bucket.put("k.csv", b"a\n" + b"2\n" * 10)
    with pytest.raises(DataError, match=f"^{re.escape(uri)} was replaced while it was read; run the command again$"):
        list(read)


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("k.csv", "there is no object '{uri}', and none below it; check the URI"),
        ("k*.csv", "no object matches '{uri}'; check the pattern"),
        ("folder", "the directory '{uri}' contains no Parquet file; name the files themselves, or quote a glob"),
    ],
)
def test_what_is_not_in_a_bucket_is_said(bucket: Bucket, key: str, sentence: str) -> None:
    bucket.put("folder/x.csv", b"a\n1\n")
    with pytest.raises(DataError, match=f"^{re.escape(sentence.format(uri=bucket.uri(key)))}$"):
        sources.resolve([bucket.uri(key)])


@pytest.mark.parametrize("key", ["k.csv", "k*.csv", ""])
def test_a_bucket_that_is_not_there_is_said(bucket: Bucket, key: str) -> None:
    uri = f"s3://not-{bucket.name}/{key}"
    which = re.escape(f"there is no bucket 'not-{bucket.name}' for '{uri.rstrip('/')}'")
    with pytest.raises(DataError, match=f"^{which}; check its name, and the endpoint of the store$"):
        sources.resolve([uri])


@pytest.mark.parametrize("key", ["wrong", ""])
def test_wrong_and_missing_credentials_are_said_without_any_of_them(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    bucket.put("k.csv", b"a\n1\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, key)
    sentence = (
        f"'{bucket.uri('k.csv')}' cannot be reached (access denied); check AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials, or end the URI with ?anonymous=true if the bucket is public"
    )
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        sources.resolve([bucket.uri("k.csv")])


def test_a_store_that_does_not_answer_is_said(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_stores, "_ATTEMPTS", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    sentence = (
        f"'{bucket.uri('k.csv')}' cannot be reached (the store does not answer); check the network and "
        "AWS_ENDPOINT_URL or endpoint_override"
    )
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        sources.resolve([bucket.uri("k.csv")])


def test_a_store_that_stays_too_busy_is_said(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_stores, "_ATTEMPTS", 1)
    uri = bucket.put("k.csv", b"a\n1\n")
    bucket.server.order(fail_every=1)
    with pytest.raises(DataError, match=f"^'{re.escape(uri)}' cannot be reached \\(the store is too busy"):
        sources.resolve([uri])


def test_the_uri_may_say_where_the_store_is(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = bucket.put("k.csv", b"a\n1\n")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    host = bucket.server.url.removeprefix("http://")
    found = sources.resolve([f"{uri}?endpoint_override={host}&scheme=http&region=us-east-1"])
    assert (found[0].name, found[0].format) == (uri, sources.Format.CSV)
    assert len(next(iter(tables.read(found)))) == 1


def test_schemes_that_arrow_does_not_have_are_read_through_fsspec() -> None:
    fsspec.filesystem("memory").pipe("/b/day=1/k.csv", b"a\n1\n2\n")
    try:
        found = sources.resolve(["memory://b/day=*/k.csv"])
        assert [(each.name, each.partitions.below) for each in found] == [("memory://b/day=1/k.csv", {"day": "1"})]
        assert len(next(iter(tables.read(found)))) == 2
    finally:
        fsspec.filesystem("memory").rm("/b", recursive=True)


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("abc://b/k.csv", "'abc://' is no scheme that is known; known are s3://, gs://, abfs://, file://"),
        ("abfs://c/k.csv", "'abfs://c' names no account; write abfs://c@ACCOUNT.dfs.core.windows.net/NAME"),
    ],
)
def test_a_store_that_is_not_known_or_not_configured_is_refused(
    uri: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
        sources.resolve([uri])


def test_without_fsspec_the_package_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    sentence = (
        "'sftp://' is no scheme that is known without fsspec; install it with: pip install fsspec; known are s3://, "
        "gs://, abfs://, file://"
    )
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
        sources.resolve(["sftp://host/k.csv"])


def test_stores_of_google_and_azure_are_made_of_what_the_uri_and_the_environment_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")
    google = Remote.of("gs://b/k.csv?anonymous=true&endpoint_override=localhost:1&scheme=http").store
    azure = Remote.of("abfs://c@account.dfs.core.windows.net/k.csv").store
    assert [(type(system).__name__, root) for system, root in map(object_stores.filesystem, (google, azure))] == [
        ("GcsFileSystem", "b"),
        ("AzureFileSystem", "c"),
    ]


@pytest.mark.parametrize(
    ("family", "said", "what"),
    [
        (
            "gs",
            "google::cloud::Status(PERMISSION_DENIED: Permanent error)",
            "access denied",
        ),
        ("abfs", "ListBlobs failed: AuthenticationFailed. Server failed to authenticate", "access denied"),
        ("abfs", "GetProperties failed: ContainerNotFound", "there is no bucket 'b'"),
        ("gs", "google::cloud::Status(UNAVAILABLE: Couldn't connect to server)", "the store does not answer"),
        ("s3", "AWS Error SLOW_DOWN during HeadObject operation", "the store is too busy, also after several attempts"),
        ("s3", "AWS Error UNKNOWN: something", "AWS Error UNKNOWN: something"),
        (
            "abfs",
            "GET 'https://a.blob.core.windows.net/c?sv=1&sig=hidden' failed",
            "GET 'https://a.blob.core.windows.net/c?...' failed",
        ),
    ],
)
def test_what_other_stores_say_is_told_in_the_same_words(family: str, said: str, what: str) -> None:
    assert store_errors.explained(OSError(said), Store(family, "b"))[0] == what
