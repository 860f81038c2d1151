"""The catalogue of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal import region as settings
from rehearsal.aws.account import DEBIAN_OWNER
from rehearsal.aws.services.ec2.images import Catalogue, Image
from rehearsal.region import Region


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Region:
    monkeypatch.setattr(settings, "REPOSITORY", tmp_path)
    made = Region()
    made.prepare()
    return made


def layer(region: Region, name: str) -> str:
    folder = region.images / name
    folder.mkdir()
    return str(folder)


def test_images_and_their_tags_are_known_to_the_next_daemon(region: Region) -> None:
    first = Catalogue(region)
    first.add(Image("ami-1", "one", [layer(region, "ami-1")]))
    first.tag("ami-1", {"Name": "x"})
    found = Catalogue(region).get("ami-1")
    assert found is not None
    assert (found.name, found.tags) == ("one", {"Name": "x"})


def test_an_image_whose_layer_is_gone_is_not_offered(region: Region) -> None:
    Catalogue(region).add(Image("ami-1", "one", [str(region.images / "gone")]))
    assert Catalogue(region).get("ami-1") is None


def test_a_layer_goes_with_its_last_image(region: Region) -> None:
    shared = layer(region, "ami-1")
    catalogue = Catalogue(region)
    catalogue.add(Image("ami-1", "one", [shared]))
    catalogue.add(Image("ami-2", "copy", [shared]))
    catalogue.remove("ami-1")
    assert Path(shared).exists()
    catalogue.remove("ami-2")
    assert not Path(shared).exists()


def test_a_layer_outside_the_images_folder_is_never_deleted(region: Region, tmp_path: Path) -> None:
    catalogue = Catalogue(region)
    catalogue.add(Image("ami-1", "one", [str(tmp_path)]))
    catalogue.remove("ami-1")
    assert tmp_path.exists()


def test_only_the_newest_debian_image_is_offered(region: Region, tmp_path: Path) -> None:
    catalogue = Catalogue(region)
    catalogue.set_debian(Image("ami-old", "debian-13-amd64-1", [str(tmp_path)], owner=DEBIAN_OWNER))
    catalogue.set_debian(Image("ami-new", "debian-13-amd64-2", [str(tmp_path)], owner=DEBIAN_OWNER))
    assert [image.id for image in catalogue.all()] == ["ami-new"]
