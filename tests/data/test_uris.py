"""URIs: what they name, what they say of their store, and what they may not hold."""

from __future__ import annotations

import pickle
import re
from pathlib import Path, PurePosixPath

import pytest

from resmem_cli.data import places, uris
from resmem_cli.data.remote import Remote
from resmem_cli.errors import UsageError


@pytest.mark.parametrize(
    ("uri", "store", "name"),
    [
        ("s3://b/k.csv", "s3://b", "k.csv"),
        ("S3://b/k.csv", "s3://b", "k.csv"),
        ("s3://b", "s3://b", "."),
        ("s3://b/", "s3://b", "."),
        ("gs://b/day=1/k.parquet", "gs://b", "day=1/k.parquet"),
        ("s3://b/a b/%20é/k#1.csv", "s3://b", "a b/%20é/k#1.csv"),
        ("s3://b/part-?.csv", "s3://b", "part-?.csv"),
        ("s3://b/what?is=this.csv", "s3://b", "what?is=this.csv"),
        ("abfs://c@a.dfs.core.windows.net/k.csv", "abfs://c@a.dfs.core.windows.net", "k.csv"),
    ],
)
def test_a_uri_names_a_store_and_an_object_by_the_very_characters_of_its_name(uri: str, store: str, name: str) -> None:
    found = uris.parse(uri)
    assert (str(found[0]), found[1], found[0].options) == (store, PurePosixPath(name), ())


@pytest.mark.parametrize(
    ("uri", "name", "options"),
    [
        (
            "s3://b/k.csv?endpoint_override=localhost:9000&scheme=http",
            "k.csv",
            (("endpoint_override", "localhost:9000"), ("scheme", "http")),
        ),
        ("s3://b/part-?.csv?region=eu-west-1", "part-?.csv", (("region", "eu-west-1"),)),
        ("gs://b?anonymous=true", ".", (("anonymous", "true"),)),
    ],
)
def test_options_after_a_question_mark_say_how_to_reach_the_store(uri: str, name: str, options: object) -> None:
    store, path = uris.parse(uri)
    assert (path, store.options) == (PurePosixPath(name), options)


@pytest.mark.parametrize("uri", ["s3://b/a b%20é/k.csv?region=eu-west-1", "s3://b", "gs://b/k?x=1"])
def test_the_word_of_a_place_names_the_same_place(uri: str) -> None:
    found = places.place(uri)
    assert places.place(places.word(found)) == found


def test_an_object_is_the_same_in_another_process() -> None:
    found = Remote.of("s3://b/day=1/k.csv?region=eu-west-1")
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - our own


def test_messages_name_an_object_without_the_options_of_its_store() -> None:
    assert str(Remote.of("s3://b/k.csv?region=eu-west-1")) == "s3://b/k.csv"
    assert str(Remote.of("https://host/k.csv?signature=secret")) == "https://host/k.csv"


@pytest.mark.parametrize(
    ("uri", "sentence"),
    [
        ("s3:/b/k.csv", "'s3:/b/k.csv' has one slash after 's3:'; write s3://b/k.csv"),
        ("s3:///k.csv", "'s3:///k.csv' names no bucket; write s3://BUCKET/NAME"),
        ("s3://b/a//k.csv", "'s3://b/a//k.csv' has an empty folder name; write one slash between two names"),
        (
            "s3://b/k.csv?region=x&color=red",
            "'color' is no option of a URI of s3://; options are: region, endpoint_override, scheme, anonymous, "
            "force_virtual_addressing, role_arn, tls_ca_file_path",
        ),
        ("s3://b/k.csv?anonymous=maybe", "'anonymous=maybe' is neither true nor false; write one of the two"),
    ],
)
def test_a_uri_that_cannot_be_is_refused(uri: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
        places.place(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "s3://id:hidden@b/k.csv",
        "s3://id:hid/hidden@b/k.csv",
        "s3:/id:hidden@b/k.csv",
        "s3://b/k.csv?access_key=id&secret_key=hidden",
        "s3://b/k.csv?X-Amz-Signature=hidden",
        "s3://b/k.csv?x-amz-security-token=hidden&region=eu-west-1",
        "s3://b/k.csv?AWSAccessKeyId=id&Signature=hidden&Expires=1",
        "s3://b/k.csv?Signature=hidden?x=1",
        "s3://b?signature=hidden/hidden",
        "gs://b/k.csv?X-Goog-Signature=hidden",
        "abfs://c@a.dfs.core.windows.net/k.csv?sv=2024&SIG=hidden",
        "abfs://c:hidden@a.dfs.core.windows.net/k.csv",
        "abfs://c:hid/hidden@a.dfs.core.windows.net/k.csv",
        "sftp://me:hidden@host/k.csv",
    ],
)
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        places.place(uri)
    assert str(caught.value).startswith("a URI with credentials in it is not taken: others can read a command; set ")
    assert "hidden" not in str(caught.value)
    assert "hidden" not in uris.shown(uri)


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("s3://id:hidden@b/k.csv", "s3://b/k.csv"),
        ("s3://id:hid/den@b/k.csv", "s3://b/k.csv"),
        ("s3://id:hidden", "s3://..."),
        ("s3:/id:hidden@b/k.csv", "s3://b/k.csv"),
        ("s3://b/k.csv?signature=hidden@x", "s3://b/k.csv"),
        ("memory://b/k.csv?token=hidden", "memory://b/k.csv"),
        ("https://host//d/k.csv?sig=hidden", "https://host//d/k.csv"),
        ("file://me:hidden@host/k.csv", "file://host/k.csv"),
        ("s3://b/part-?.csv?region=eu-west-1", "s3://b/part-?.csv?region=eu-west-1"),
        ("s3://b/a@b:c.csv", "s3://b/a@b:c.csv"),
        ("file:///tmp/what?.csv", "file:///tmp/what?.csv"),
        ("a@b?c:d/k.csv", "a@b?c:d/k.csv"),
    ],
)
def test_a_word_is_shown_without_credentials_and_else_as_it_is(word: str, shown: str) -> None:
    assert uris.shown(word) == shown


@pytest.mark.parametrize("uri", ["https://host//d/k.csv?sig=hidden", "https:///k.csv?sig=hidden"])
def test_a_refused_address_of_the_web_is_told_without_its_query(uri: str) -> None:
    with pytest.raises(UsageError, match=r"^'https://") as caught:
        places.place(uri)
    assert "hidden" not in str(caught.value)


def test_the_machine_of_a_file_is_told_without_its_user() -> None:
    sentence = "'file://host/k.csv' names a file of the machine 'host'; write file:/// and an absolute path"
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
        places.place("file://me:hidden@host/k.csv")


@pytest.mark.parametrize("uri", ["file:///a%20b/k.csv", "file://localhost/a%20b/k.csv", "FILE:///a b/k.csv"])
def test_a_uri_of_a_file_is_its_path_with_its_escapes_undone(uri: str) -> None:
    assert places.place(uri) == Path("/a b/k.csv")


def test_a_uri_of_a_file_of_another_machine_is_refused() -> None:
    sentence = "'file://host/k.csv' names a file of the machine 'host'; write file:/// and an absolute path"
    with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
        places.place("file://host/k.csv")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("s3://b/k.csv", "s3a://b/k.csv", True),
        ("s3://b/k.csv", "s3://b/k.csv?region=eu-west-1&force_virtual_addressing=true", True),
        ("s3://b/k.csv?endpoint_override=Host:9&scheme=http", "s3://b/k.csv?endpoint_override=http://host:9/", True),
        ("s3://b/k.csv", "s3://b/k.csv?endpoint_override=s3.eu-west-1.amazonaws.com", True),
        ("s3://b/k.csv", "s3://b/k.csv?endpoint_override=host:9", False),
        ("s3://b/k.csv", "s3://c/k.csv", False),
        ("s3://b/k.csv", "gs://b/k.csv", False),
        ("gs://b/k.csv", "gcs://b/k.csv?anonymous=true", True),
        ("abfs://c@a.dfs.core.windows.net/k.csv", "abfss://c@a.blob.core.windows.net/k.csv", True),
        ("abfs://c@a.dfs.core.windows.net/k.csv", "abfs://c/k.csv", True),
        ("abfs://c@a.dfs.core.windows.net/k.csv", "abfs://c@b.dfs.core.windows.net/k.csv", False),
    ],
)
def test_a_place_is_the_same_in_whichever_way_its_uri_says_to_reach_it(
    one: str, other: str, is_same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "a")
    a, b = places.place(one), places.place(other)
    assert (places.resolved(a) == places.resolved(b)) is is_same
    assert places.is_within(a, b) is is_same
    assert places.is_within(a, b.parent) is is_same


def test_the_endpoint_of_the_environment_is_the_same_as_that_of_a_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://host:9/")
    one, other = places.place("s3://b/k.csv"), places.place("s3a://b/k.csv?endpoint_override=host:9&scheme=http")
    assert places.resolved(one) == places.resolved(other)
