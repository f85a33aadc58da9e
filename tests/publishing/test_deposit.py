"""Uploads reach Zenodo whole, and the token reaches nobody else."""

import hashlib

import pytest

from cmrseg.problems import DataError
from cmrseg.publishing.deposit import Account, upload
from cmrseg.publishing.deposit_metadata import zenodo_metadata
from tests.zoo.zenodo_server import serve

TOKEN = "secret-of-these-tests"
METADATA = zenodo_metadata(title="Toy", description="A toy", creators=["Doe, Jo"], licence="CC BY 4.0")


@pytest.fixture
def zenodo(monkeypatch):
    for name in ("CMRSEG_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serve() as server:
        yield server


@pytest.fixture
def files(tmp_path):
    weights, card = tmp_path / "toy.safetensors", tmp_path / "card.md"
    weights.write_bytes(bytes(range(256)) * 9000)  # more than two parts
    card.write_text("# Toy")
    return [weights, card]


def send(zenodo, files, metadata=METADATA, **options):
    memory = files[0].with_name("zenodo.json")
    return upload(files, metadata, Account(TOKEN, f"{zenodo.url}/api"), memory, **options)


def sent(zenodo):
    """Names of the files that were sent."""
    return [path.rpartition("/")[2] for path, _ in zenodo.asked if path.startswith("/api/files/")]


def test_a_draft_holds_the_files_and_metadata_and_is_not_published(zenodo, files):
    told = []
    deposit = send(zenodo, files, progress=lambda done, total: told.append((done, total)))
    assert zenodo.drafts[deposit.id] == {path.name: path.read_bytes() for path in files}
    assert zenodo.metadata[deposit.id]["license"] == "cc-by-4.0"
    assert (deposit.doi, deposit.published) == (f"10.5281/zenodo.{deposit.id}", False)
    total = sum(path.stat().st_size for path in files)
    assert told[-1] == (total, total)


def test_publishing_makes_a_record_of_the_draft(zenodo, files):
    deposit = send(zenodo, files, publish=True)
    assert deposit.published
    assert set(zenodo.records[deposit.id]) == {path.name for path in files}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ('401 {"message": "no"}', "the token is not valid"),
        ('403 {"message": "no"}', "deposit:write"),
        ("429", "wait a minute"),
        ("503", "Service Unavailable"),
        (
            '400 {"message": "Invalid", "errors": [{"field": "title", "message": "too short"}]}',
            "title: too short",
        ),
        ("400 [1]", "Bad Request"),
        ("cut", "cannot be reached"),
        ("html", "does not answer as Zenodo"),
        ("201 {}", "does not answer as Zenodo"),
    ],
)
def test_a_refusal_is_one_sentence_without_the_token(zenodo, files, fault, said):
    zenodo.deposit_faults = [fault]
    with pytest.raises(DataError, match=said) as caught:
        send(zenodo, files)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("fault", ["wrong", "cut", "503", "html"])
def test_a_file_that_does_not_arrive_names_the_draft_and_publishes_nothing(zenodo, files, fault):
    zenodo.deposit_faults = ["pass", fault]
    with pytest.raises(DataError, match=f"goes on with the draft {zenodo.url}/deposit/100"):
        send(zenodo, files, publish=True)
    assert zenodo.records == {}


def test_a_damaged_file_is_told_with_both_sums(zenodo, files):
    zenodo.deposit_faults = ["pass", "wrong"]
    md5 = hashlib.md5(files[0].read_bytes(), usedforsecurity=False).hexdigest()
    with pytest.raises(DataError, match=f"damaged .*{md5}"):
        send(zenodo, files)


@pytest.mark.parametrize("fault", ["redirect", "elsewhere"])
def test_another_host_never_sees_a_request(zenodo, files, fault):
    with serve() as other:
        zenodo.deposit_faults = [f"{fault} {other.url}"]
        with pytest.raises(DataError, match=r"307|another host"):
            send(zenodo, files)
        assert other.asked == []


def test_netrc_does_not_replace_the_token(zenodo, files, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    send(zenodo, files)
    assert {headers["Authorization"] for _, headers in zenodo.asked} == {f"Bearer {TOKEN}"}


def test_offline_sends_nothing(zenodo, files, monkeypatch):
    monkeypatch.setenv("CMRSEG_OFFLINE", "1")
    with pytest.raises(DataError, match="CMRSEG_OFFLINE"):
        send(zenodo, files)
    assert zenodo.asked == []


# Again


@pytest.mark.parametrize("fault", ["cut", "503"])
def test_an_upload_that_was_cut_off_goes_on_with_its_draft(zenodo, files, fault):
    zenodo.deposit_faults = ["pass", "pass", fault]
    with pytest.raises(DataError):
        send(zenodo, files)
    zenodo.asked.clear()
    deposit = send(zenodo, files)
    assert (deposit.id, list(zenodo.drafts)) == (100, [100])
    assert zenodo.drafts[100] == {path.name: path.read_bytes() for path in files}
    assert sent(zenodo) == ["card.md"]


def test_a_draft_that_was_looked_at_is_the_one_that_is_published(zenodo, files):
    draft = send(zenodo, files)
    published = send(zenodo, files, metadata=METADATA | {"title": "Better"}, publish=True)
    assert (published.id, published.published) == (draft.id, True)
    assert list(zenodo.records) == [draft.id]
    assert zenodo.metadata[draft.id]["title"] == "Better"


def test_a_changed_file_is_sent_again(zenodo, files):
    send(zenodo, files)
    files[1].write_text("# Better")
    zenodo.asked.clear()
    send(zenodo, files)
    assert sent(zenodo) == ["card.md"]
    assert zenodo.drafts[100]["card.md"] == b"# Better"


def test_what_is_published_is_not_published_again(zenodo, files):
    first = send(zenodo, files, publish=True)
    zenodo.asked.clear()
    again = send(zenodo, files, publish=True)
    assert again == first
    assert [path for path, _ in zenodo.asked] == ["/api/deposit/depositions/100"]


def test_other_files_than_those_published_become_another_record(zenodo, files):
    send(zenodo, files, publish=True)
    files[1].write_text("# Retrained")
    assert send(zenodo, files).id == 101


def test_a_draft_that_was_deleted_is_begun_anew(zenodo, files):
    send(zenodo, files)
    zenodo.drafts.clear()
    assert send(zenodo, files).id == 101


def test_a_damaged_memory_is_told(zenodo, files):
    files[0].with_name("zenodo.json").write_text("[1]")
    with pytest.raises(DataError, match=r"zenodo\.json.* is damaged: delete it"):
        send(zenodo, files)
    assert zenodo.asked == []


@pytest.mark.parametrize("token", ["", "secret\nHost: elsewhere", "secret token", "sécret", "secret\x00"])
def test_a_token_that_no_header_takes_is_refused_without_being_shown(token):
    with pytest.raises(ValueError, match="no token has") as complaint:
        Account(token)
    assert "cret" not in str(complaint.value)


def test_the_token_is_in_no_text_of_the_account():
    assert TOKEN not in f"{Account(TOKEN)!r} {Account(TOKEN)}"


@pytest.mark.parametrize(
    ("creators", "licence", "said"),
    [([], "CC0", "at least one"), (["Jo"], "CC0", "Family, Given"), (["D, J"], "mine", "unknown")],
)
def test_metadata_that_zenodo_would_refuse_are_refused(creators, licence, said):
    with pytest.raises(ValueError, match=said):
        zenodo_metadata(title="t", description="d", creators=creators, licence=licence)
