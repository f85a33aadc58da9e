"""Nobody but the page of this server, in a browser of this computer, reads or changes anything."""

from __future__ import annotations

import pytest

from cmrseg.problems import DataError
from cmrseg.review import server
from cmrseg.review.server import Conflict, make_app, new_token

TestClient = pytest.importorskip("starlette.testclient").TestClient
TOKEN = "secret"
HERE = "http://127.0.0.1:8000"
JSON = {"Content-Type": "application/json"}


class Desk:
    """One examination; remembers what was saved."""

    def __init__(self):
        self.saved = []

    def __len__(self):
        return 1

    def overview(self):
        return "all"

    def page(self, number):
        return f"page {number}"

    def save(self, number, told):
        if error := {"conflict": Conflict("changed"), "bad": DataError("bad mask")}.get(told.get("what")):
            raise error
        self.saved.append(told)
        return {"version": "2"}


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def client(desk):
    return TestClient(make_app(desk, TOKEN), base_url=HERE)


def test_pages_are_shown_to_who_knows_the_token(client):
    assert client.get(f"/{TOKEN}/").text == "all"
    assert client.get(f"/{TOKEN}/0").text == "page 0"


@pytest.mark.parametrize(
    "path", ["/", "/0", "/secre/", "/secret1/0", "//secret/0", "/%C3%A4/", "/secret/1", "/secret/x"]
)
def test_nothing_else_is_there(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil"]
)
def test_another_host_is_refused(client, host):
    assert client.get(f"/{TOKEN}/", headers={"Host": host}).status_code == 403
    assert client.post(f"/{TOKEN}/0", json={}, headers={"Host": host}).status_code == 403


def test_localhost_is_this_computer(client):
    assert client.get(f"/{TOKEN}/", headers={"Host": "localhost:8000"}).status_code == 200


def test_what_the_page_sends_is_saved(client, desk):
    answer = client.post(f"/{TOKEN}/0", json={"what": 1}, headers={"Origin": HERE})
    assert (answer.status_code, answer.json(), desk.saved) == (200, {"version": "2"}, [{"what": 1}])


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Content-Type": "text/plain"}],
    ids=["another page", "a file", "a form"],
)
def test_what_another_page_sends_is_refused(client, desk, headers):
    answer = client.post(f"/{TOKEN}/0", content="{}", headers=JSON | headers)
    assert (answer.status_code, desk.saved) == (403, [])


def test_too_much_is_refused_whether_it_is_announced_or_not(client, desk, monkeypatch):
    monkeypatch.setattr(server, "MOST_BYTES", 100)
    parts = iter([b"{" + b" " * 60] * 3)
    codes = [client.post(f"/{TOKEN}/0", content=c, headers=JSON).status_code for c in (b" " * 101, parts)]
    assert (codes, desk.saved) == ([413, 413], [])


@pytest.mark.parametrize(
    ("body", "code"),
    [('{"what": "conflict"}', 409), ('{"what": "bad"}', 400), ("[1]", 400), ("{", 400), ("[" * 100_000, 400)],
)  # fmt: skip
def test_a_refusal_is_a_sentence(client, body, code):
    answer = client.post(f"/{TOKEN}/0", content=body, headers=JSON)
    assert answer.status_code == code
    assert answer.json()["error"]


def test_no_answer_is_kept_framed_or_read_by_another_origin(client):
    for answer in (client.get(f"/{TOKEN}/"), client.get("/")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "access-control-allow-origin" not in answer.headers


def test_tokens_are_long_and_never_the_same():
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) >= 32


def test_without_its_packages_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install 'cmrseg\[review\]'"):
        server.check_installed()
