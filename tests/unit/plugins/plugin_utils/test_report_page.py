# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of a report, as its reader's browser takes it apart."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import report_inputs as given
from conftest import import_plugin
from reports import VARIANTS, back, report, stuck

pytestmark = pytest.mark.patient

report_of = import_plugin("module_utils._report.document")
html = import_plugin("plugin_utils.report_page.page")


class Page(HTMLParser):
    """What a reader of the page finds: elements, text, and values by their place in the JSON."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.values: dict[str, str] = {}
        self.shown: dict[str, str] = {}
        self.text = ""
        self._open: list[str] = []
        self._key: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.elements.append((tag, named))
        if tag not in ("meta", "link", "br"):
            self._open.append(tag)
        if "data-key" in named:
            self._key = str(named["data-key"])
            self.values[self._key] = str(named["value"])
            self.shown[self._key] = ""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"</{tag}> closes something else"
        if tag == "data":
            self._key = None

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "style":
            return
        self.text += data
        if self._key is not None:
            self.shown[self._key] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def value_at(found: Any, path: str) -> Any:
    for key in path.split("."):
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_number_of_the_page_is_that_of_the_json(variant: str) -> None:
    found = VARIANTS[variant]()
    page = Page(html.render(found))
    assert {"figures.duration_seconds", "figures.alerts", "figures.pod_restarts"} <= set(page.values)
    for key, value in page.values.items():
        wanted = value_at(found, key)
        assert value == ("" if wanted is None else str(wanted)), key
        assert page.shown[key], key


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_page_makes_no_request_and_is_well_formed(variant: str) -> None:
    text = html.render(VARIANTS[variant]())
    page = Page(text)
    assert {tag for tag, _attributes in page.elements}.isdisjoint(
        {"script", "link", "iframe", "object", "img", "form", "base"}
    )
    assert not [
        attributes
        for _tag, attributes in page.elements
        if any(name.startswith("on") or name == "src" for name in attributes)
    ]
    parts = {f"#{section['id']}" for section in page.all("section")}
    assert {str(link["href"]) for link in page.all("a")} == parts | {"migration-report.json"}
    assert "url(" not in text
    assert "@import" not in text
    assert any(
        meta.get("http-equiv") == "Content-Security-Policy" and "default-src 'none'" in str(meta["content"])
        for meta in page.all("meta")
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_page_can_be_read_without_seeing_it(variant: str) -> None:
    page = Page(html.render(VARIANTS[variant]()))
    assert page.all("html")[0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("h1", "main", "header", "footer", "nav")] == [1, 1, 1, 1, 1]
    for heading in page.all("th"):
        assert heading["scope"] in ("col", "row")
    ids = [str(attributes["id"]) for _tag, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    drawings = [svg for svg in page.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(drawings) >= 2
    for svg in drawings:
        assert svg["role"] == "img"
        assert set(str(svg["aria-labelledby"]).split()) <= set(ids)
    for section in page.all("section"):
        assert section["aria-labelledby"] in ids


def test_what_others_wrote_is_never_markup() -> None:
    evil = '<script>alert("1")</script>'
    hosts = {evil if name == "pi-1" else name: info for name, info in given.migrated().items()}
    hosts[evil]["journal"]["phases"]["cutover"]["facts"]["content_digest"] = evil
    hosts[evil]["manifest"]["members"][0]["id"] = evil
    kube = given.kube(mode="pods")
    kube["pods"][0]["images"] = [evil]
    kube["faults"] = [evil]
    alerts = given.alert(message=f'"><img src=x onerror=1>{evil}')
    led = [{**sample, "leader": evil} for sample in given.samples()]
    verdict = given.verdict()
    verdict["findings"][0]["text"] = evil
    found = report("migrated", hosts, kube, alerts=alerts, samples=led, witness=verdict, versions={evil: evil},
                   failure={"phase": evil, "task": evil, "message": evil})  # fmt: skip
    text = html.render(found)
    assert "<script" not in text
    assert "<img" not in text
    assert Page(text).text.count(evil) >= 10


def test_the_same_facts_give_the_same_page() -> None:
    assert html.render(report()) == html.render(report())


def test_secrets_are_left_out_everywhere() -> None:
    config = {
        "a": {"auth_token": "hunter2", "list": [{"PI_CONTROLLER_API_KEY": "k3y"}]},
        "password": "",
        "monkey": "kept",
        "private": True,
    }
    reported = report_of.without_secrets(config)
    assert "hunter2" not in str(reported)
    assert "k3y" not in str(reported)
    assert reported["monkey"] == "kept"
    assert reported["private"] is True
    assert "hunter2" not in html.render(report())


def test_a_rolled_back_run_says_what_happened_and_what_serves() -> None:
    page = Page(html.render(back()))
    first = page.text[: page.text.index("Time line")].replace("\u00a0", " ")
    for text in ("Rolled back to systemd", "phase cutover failed on pi-2", "iptables-restore failed", "The daemons under systemd serve all clients.",
                 "leader pi-1, term 2, 3 of 3 voters answering"):  # fmt: skip
        assert text in first, text


def test_a_failed_run_names_both_commands() -> None:
    found = stuck()
    assert found["verdict"]["now"][0] == (
        "Clients of pi-2 and pi-3 reach the daemons under systemd; clients of pi-1 reach the pods."
    )
    assert found["failure"]["task"] == "Flip | Redirect each Pi to its pod"
    text = Page(html.render(found)).text
    assert "pi_controller.raft_migration.migrate -i INVENTORY --tags cutover -e confirm=true" in text
    assert "pi_controller.raft_migration.rollback -i INVENTORY" in text


HOSTILE = "\x1b[2J\x1b[H\r\x1b[1A10:00:00  Cleanup done after 3 s\x00\x9b31m\u202eecho\u2066\ud800\uffff\u2028"
UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\u2028\u2029\uffff]")


def test_m4_the_page_has_no_control_character() -> None:
    failure = {"phase": "cutover", "task": HOSTILE, "message": HOSTILE, "host": "pi-1"}
    page = html.render(
        report("failed", failure=failure, alerts=given.alert(message=HOSTILE), versions={HOSTILE: HOSTILE})
    )
    assert "\\x1b[2J" in page
    assert not UNFIT.search(page)
    page.encode()


@pytest.mark.parametrize("url", ["http://u:p%40l4nted@h:1/x", "https://h/x?a=1&access_token=l4nted&b=2"])
def test_m6_passwords_in_urls_never_reach_the_page(url: str) -> None:
    hosts = given.migrated()
    hosts["pi-2"]["faults"] = [f"cannot reach {url} now"]
    failure = {"phase": "cutover", "task": "x", "message": f"{url} did not answer", "host": "pi-1"}
    page = html.render(report("failed", hosts, failure=failure, versions={"ansible_core": url}))
    assert "did not answer" in page
    assert "l4nted" not in page
