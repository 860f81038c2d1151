"""The documents are true and readable.

What they name exists: links and their anchors, paths of the repository, commands of `make`. What they repeat
is equal to its source: defaults of the templates, timings of the failover. Their prose is wrapped, says for
whom it is, and has no idiom that reads translated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from airkiln.failover.config import Timings

ROOT = Path(__file__).resolve().parents[2]
OWN = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "cloudformation/README.md",
    *sorted((ROOT / "rehearsal").rglob("README.md")),
]
DOCUMENTS = [*OWN, ROOT / "packer/README.md", *sorted((ROOT / "roles").glob("*/README.md"))]
WIDTH = 110

FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
MAKE = re.compile(r"^ *make((?: +[^\s#]+)+)", re.MULTILINE)
PATH = re.compile(r"[A-Za-z0-9._*-]+(?:/[A-Za-z0-9._*-]+)*/?")
DEFAULT = re.compile(r"`([a-z-]+\.yaml): ([A-Za-z]+) = ([^`]+)`")
"""A template's default, as the README's table of costs names it."""
TRANSLATED = {
    r"[Mm]end(?:s|ed|ing)?": "fix",
    r"(?<![Tt]here )(?:is|are) no (?!longer\b)[a-z]+": "is not a",
    r"one an? [a-z]+": "one for each",
    r"tells? of": "describes",
    r"(?:is|are) told": "receives, learns",
    r"what people operate with": "tools for operators",
    r"knows? no": "does not know",
    r"in vain": "without success",
    r"go(?:es)? astray|astray": "degraded",
    r"hand-?overs?": "switchover",
    r"stand-?ins?": "stub",
    r"ordeals?": "scenario",
    r"verdicts?": "result",
    r"strangers?|farewells?|glimpses?|sightings?": "plain words",
}
"""Idiom that reads translated, and private words, with what to write instead."""
IDIOM = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in TRANSLATED))
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {
    "build"
}
"""Folders of the repository; build/ is made by commands, so it may be empty."""


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name)


def prose(text: str) -> str:
    """The text without code blocks."""
    return FENCE.sub("", text)


def spans(text: str) -> list[str]:
    """The texts in backticks."""
    return SPAN.findall(prose(text))


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives to headings."""
    titles = (title.lower().replace("`", "") for title in HEADING.findall(prose(text)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


def dead_links(text: str, folder: Path, own: set[str]) -> Iterator[str]:
    """Relative links to a file or an anchor that is not there."""
    for link in LINK.findall(SPAN.sub("", prose(text))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        there = (folder / target).exists()
        known = anchors((folder / target).read_text("utf-8")) if anchor and target and there else own
        if not there or (anchor and anchor not in known):
            yield link


def missing_paths(text: str, folder: Path) -> Iterator[str]:
    """Paths in backticks that begin with a folder of the repository, or are named like a file of its top."""
    for span in spans(text):
        top, slash, _ = span.partition("/")
        looks = PATH.fullmatch(span) and ((slash and top in FOLDERS) or span in {"Makefile", "ansible.cfg"})
        if looks and not any(any(place.glob(span.rstrip("/"))) for place in (ROOT, folder)):
            yield span


def make_targets() -> set[str]:
    """Every target of the Makefile and of what it includes."""
    files = [ROOT / "Makefile", *ROOT.glob("packer/*.mk")]
    return {
        target
        for path in files
        for target in re.findall(r"^([a-z-]+):", path.read_text("utf-8"), re.MULTILINE)
    }


def idiom(text: str) -> list[str]:
    """Idiom in the prose of a document. Code may be named as it likes."""
    return IDIOM.findall(" ".join(SPAN.sub("", COMMENT.sub("", prose(text))).split()))


def defaults(text: str) -> list[tuple[str, str, str]]:
    """What a document says of the templates' defaults: template, parameter, default."""
    return DEFAULT.findall("\n".join(f"`{span}`" for span in spans(text)))


def unknown_commands(text: str) -> Iterator[str]:
    """Targets of `make` that stand in code and not in the Makefile."""
    for code in [*FENCE.findall(COMMENT.sub("", text)), *spans(text)]:
        for words in MAKE.findall(code):
            yield from (word for word in words.split() if "=" not in word and word not in make_targets())


@every_document
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    assert list(dead_links(text, document.parent, anchors(text))) == []


@every_document
def test_every_path_of_the_repository_exists(document: Path) -> None:
    assert list(missing_paths(document.read_text("utf-8"), document.parent)) == []


@every_document
def test_every_make_command_exists(document: Path) -> None:
    assert list(unknown_commands(document.read_text("utf-8"))) == []


@pytest.mark.parametrize("document", OWN, ids=name)
def test_prose_is_wrapped(document: Path) -> None:
    lines = prose(document.read_text("utf-8")).splitlines()
    assert [line for line in lines if len(line) > WIDTH and not re.match(r" *[|<]", line)] == []


@pytest.mark.parametrize("document", [path for path in OWN if path != ROOT / "README.md"], ids=name)
def test_every_document_says_for_whom_it_is(document: Path) -> None:
    text = COMMENT.sub("", document.read_text("utf-8")).lstrip()
    assert re.match(r"# .+\n\n\*For people who ", text), "begin with whom it is for and what they can do"


def test_a_newcomer_finds_each_answer_in_five_files() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    _, *parts = re.split(r"^\*\*(.+\?)\*\*", contributing, flags=re.MULTILINE)
    files = {
        question: re.findall(r"^\d\. `([^`]+)`", answer, re.MULTILINE)
        for question, answer in zip(parts[::2], parts[1::2], strict=True)
    }
    assert len(files) >= 3
    assert {question: len(named) for question, named in files.items() if not 0 < len(named) <= 5} == {}


@every_document
def test_no_document_reads_translated(document: Path) -> None:
    assert idiom(document.read_text("utf-8")) == [], f"write instead: {TRANSLATED}"


def test_the_costs_name_the_defaults_of_the_templates() -> None:
    named = defaults((ROOT / "README.md").read_text("utf-8"))
    assert len(named) > 10
    for template, parameter, default in named:
        parameters = yaml.load((ROOT / "cloudformation" / template).read_text("utf-8"), yaml.BaseLoader)[
            "Parameters"
        ]
        assert parameters[parameter]["Default"] == default, f"{template}: {parameter}"


def test_the_failover_document_lists_every_timing_with_its_default() -> None:
    text = (ROOT / "docs/failover.md").read_text("utf-8").partition("## Configure it")[2]
    listed = {key: float(value) for key, value in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", text, re.M)}
    of_the_scheduler = {"scheduler_heartbeat"}  # follows a parameter, and is no key
    assert listed == {key: value for key, value in asdict(Timings()).items() if key not in of_the_scheduler}


def test_the_glossary_stays_short() -> None:
    text = (
        (ROOT / "docs/architecture.md").read_text("utf-8").partition("## Glossary")[2].partition("\n## ")[0]
    )
    _, _, *terms = [line for line in text.splitlines() if line.startswith("|")]
    assert 0 < len(terms) <= 25


@pytest.mark.parametrize("path", sorted(ROOT.glob("roles/*/templates/etc/systemd/system/*.j2")), ids=name)
def test_the_documents_that_units_name_exist(path: Path) -> None:
    ours = re.findall(
        r"^Documentation=https://github\.com/airkiln/airkiln/blob/main/(\S+)", path.read_text(), re.M
    )
    assert [named for named in ours if not (ROOT / named).exists()] == []


def test_a_dead_link_is_found() -> None:
    text = "# Here\n[a](no/such.md) [b](README.md#no-such-part) [c](#there) [d](#here) [e](README.md) [f](https://x.y)"
    assert list(dead_links(text, ROOT, anchors(text))) == ["no/such.md", "README.md#no-such-part", "#there"]


def test_a_missing_path_is_found() -> None:
    text = "`roles/no_such/x.yml`, `src/*/no_such.py`, `roles/base`, `src/*/__init__.py`, `/etc/hosts`"
    assert list(missing_paths(text, ROOT)) == ["roles/no_such/x.yml", "src/*/no_such.py"]


def test_an_unknown_command_is_found() -> None:
    text = (
        "`make nothing`, make something, `make rehearse PORT=1`\n```sh\nmake setup oops  # make more\n```\n"
    )
    assert sorted(unknown_commands(text)) == ["nothing", "oops"]


def test_idiom_that_reads_translated_is_found() -> None:
    text = "Mend it, one a\nlifetime. It is no\nsecret; there is no hurry, and it is no longer `hand-over`."
    assert idiom(text) == ["Mend", "one a lifetime", "is no secret"]
