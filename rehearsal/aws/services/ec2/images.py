"""The images of the played EC2: which AMI is made of which layers, remembered across restarts of the daemon.

The catalogue is one JSON file. A layer goes with the last image that has it, unless a machine runs on it.
Left out: EBS snapshots as objects of their own, sharing with other accounts, other regions.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rehearsal.aws.account import ACCOUNT, DEBIAN_OWNER
from rehearsal.linux.machine import machines
from rehearsal.linux.rootfs import SUITE, architecture, base_layer, remove_tree
from rehearsal.region import Region

EC2_ARCHITECTURE = {"amd64": "x86_64", "arm64": "arm64"}


@dataclass(frozen=True)
class Image:
    """One AMI."""

    id: str
    name: str
    layers: list[str]
    """Folders from top to bottom."""
    owner: str = ACCOUNT
    description: str = ""
    encrypted: bool = False
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    tags: dict[str, str] = field(default_factory=dict)


class Catalogue:
    """The images of one rehearsal, in a file that is rewritten whole at each change."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self._path = region.images / "catalogue.json"
        self._lock = threading.RLock()
        self._images: dict[str, Image] = {}
        if self._path.exists():
            self._images = {record["id"]: Image(**record) for record in json.loads(self._path.read_text())}
            lost = [
                image.id for image in self.all() if not all(Path(layer).is_dir() for layer in image.layers)
            ]
            for image_id in lost:
                self._images.pop(image_id)

    def all(self) -> list[Image]:
        """Every image, oldest first."""
        with self._lock:
            return sorted(self._images.values(), key=lambda image: image.created)

    def get(self, image_id: str) -> Image | None:
        """The image with this id."""
        return self._images.get(image_id)

    def add(self, image: Image) -> None:
        """Remember an image, or what has changed of it."""
        with self._lock:
            self._images[image.id] = image
            self._save()

    def set_debian(self, image: Image) -> None:
        """Offer this one as Debian's image; earlier ones, of an older recipe, are offered no more."""
        with self._lock:
            self._images = {key: each for key, each in self._images.items() if each.owner != DEBIAN_OWNER}
            self.add(image)

    def tag(self, image_id: str, tags: dict[str, str]) -> None:
        """Remember an image's tags, all of them."""
        with self._lock:
            image = self._images.get(image_id)
            if image is not None:
                self.add(Image(**asdict(image) | {"tags": dict(tags)}))

    def remove(self, image_id: str) -> None:
        """Forget an image and delete those of its layers that nothing else is made of."""
        with self._lock:
            image = self._images.pop(image_id, None)
            self._save()
            if image is not None:
                self._delete_unused(image.layers)

    def layer_folder(self, image_id: str) -> Path:
        """Where the top layer of a new image goes."""
        return self.region.images / image_id

    def _delete_unused(self, layers: Iterable[str]) -> None:
        used = {layer for image in self._images.values() for layer in image.layers}
        for machine in machines(self.region):
            used.update(machine.specification.layers)
        for layer in layers:
            if layer not in used and Path(layer).parent == self.region.images:
                remove_tree(Path(layer))

    def _save(self) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps([asdict(image) for image in self.all()], indent=2) + "\n")
        temporary.replace(self._path)


def debian_image(region: Region) -> Image:
    """The base image as the AMI that Debian would have published; its id follows from its recipe."""
    layer = base_layer(region)
    made = datetime.fromtimestamp(layer.stat().st_mtime, UTC)
    return Image(
        id=f"ami-0{layer.name}0000",
        name=f"debian-13-{architecture()}-{made:%Y%m%d-%H%M}",
        layers=[str(layer)],
        owner=DEBIAN_OWNER,
        description=f"Debian 13 ({SUITE}) played by a rehearsal",
        created=made.isoformat(timespec="seconds"),
    )
