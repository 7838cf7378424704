"""Objects out: whole under their name or not there at all, whatever fails on the way."""

from __future__ import annotations

import gzip
import re

import pyarrow as pa
import pytest

from resmem_cli.data import output
from resmem_cli.errors import OutputError, UsageError
from tests.s3_server import Bucket

PART = 10 << 20  # bytes, of which Arrow makes a part of an upload
LARGE = bytes(range(256)) * (11 << 12) * 2  # 22 MiB: three parts


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", LARGE], ids=["empty", "small", "of several parts"])
@pytest.mark.parametrize("key", ["k.csv", "a b/%20é+&/k#1.csv"])
def test_an_object_holds_what_was_written(bucket: Bucket, content: bytes, key: str) -> None:
    with output.opened(bucket.uri(key)) as stream:
        stream.write(content)
        assert bucket.names() == []
    assert (bucket.names(), bucket.get(key) == content) == ([key], True)


def test_a_small_object_is_one_request(bucket: Bucket) -> None:
    with output.opened(bucket.uri("k.csv")) as stream:
        stream.write(b"a")
    assert bucket.server.said()["requests"] == [f"HEAD /{bucket.name}", f"PUT /{bucket.name}/k.csv"]


def test_an_object_is_compressed_once(bucket: Bucket) -> None:
    with output.writer(bucket.uri("k.csv.gz")) as table:
        table.write(pa.table({"a": [1, 2]}))
    assert gzip.decompress(bucket.get("k.csv.gz")) == b"a\n1\n2\n"


@pytest.mark.parametrize("content", [b"new", LARGE], ids=["small", "of several parts"])
def test_after_an_error_in_the_middle_the_old_object_is_there_as_it_was(bucket: Bucket, content: bytes) -> None:
    bucket.put("k.csv", b"old")
    bucket.server.order()

    def fail() -> None:
        with output.opened(bucket.uri("k.csv")) as stream:
            stream.write(content)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert bucket.server.said()["requests"] == [f"HEAD /{bucket.name}"]
    assert bucket.get("k.csv") == b"old"


def test_of_an_upload_that_a_part_fails_of_nothing_is_visible_and_the_error_is_told(
    bucket: Bucket, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket.put("k.csv", b"old")
    bucket.server.order(fail_part=2)

    def write() -> None:
        with output.opened(bucket.uri("k.csv")) as stream:
            stream.write(LARGE)

    with pytest.raises(OutputError, match=f"^'{bucket.uri('k.csv')}' cannot be written \\(.*as the test says"):
        write()
    assert (bucket.names(), bucket.get("k.csv")) == (["k.csv"], b"old")
    assert capfd.readouterr().err == ""


def test_requests_that_fail_are_made_again(bucket: Bucket) -> None:
    bucket.server.order(fail_every=3)
    with output.opened(bucket.uri("k.csv")) as stream:
        stream.write(LARGE)
    assert bucket.server.said()["failed"] > 0
    bucket.server.order()
    assert bucket.get("k.csv") == LARGE


@pytest.mark.parametrize(
    ("uri", "kind", "sentence"),
    [
        (
            "s3://not-there/k.csv",
            OutputError,
            "there is no bucket 'not-there' for 's3://not-there/k.csv'; check its name, and the endpoint of the store",
        ),
        ("s3://{bucket}", UsageError, "'s3://{bucket}' names a bucket and no object in it; add a slash and a name"),
        (
            "memory://b/k.csv",
            UsageError,
            "'memory://b/k.csv' cannot be written: only in s3://, gs://, abfs:// a file appears whole or not at all; "
            "write it to this machine, then copy it",
        ),
    ],
)
def test_where_no_object_can_be_written_is_said_before_anything_is_made(
    bucket: Bucket, uri: str, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=f"^{re.escape(sentence.format(bucket=bucket.name))}$"):
        output.opened(uri.format(bucket=bucket.name)).__enter__()


def test_an_object_of_wrong_credentials_is_not_written(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")

    def write() -> None:
        with output.opened(bucket.uri("k.csv")) as stream:
            stream.write(b"a")

    with pytest.raises(OutputError) as caught:
        write()
    assert str(caught.value).startswith(f"'{bucket.uri('k.csv')}' cannot be written (access denied); check AWS_ACCESS_")
