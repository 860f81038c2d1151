"""The images of the emulated EC2: which AMI consists of which layers. They survive restarts of the daemon.

The catalogue is one JSON file. A layer is deleted with the last image that uses it, unless a machine runs on
it. Left out: EBS snapshots as objects of their own, sharing with other accounts, other regions.
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
from rehearsal.linux.mounts import remove_tree
from rehearsal.linux.rootfs import SUITE, architecture, rootfs_folder
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
    """The images of one rehearsal, in a file that each change replaces."""

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
        """Return every image, oldest first."""
        with self._lock:
            return sorted(self._images.values(), key=lambda image: image.created)

    def get(self, image_id: str) -> Image | None:
        """Return the image with this id, or None."""
        return self._images.get(image_id)

    def add(self, image: Image) -> None:
        """Add an image, or replace the one with its id."""
        with self._lock:
            self._images[image.id] = image
            self._save()

    def set_debian(self, image: Image) -> None:
        """Offer an image as Debian's and withdraw earlier ones."""
        with self._lock:
            self._images = {key: each for key, each in self._images.items() if each.owner != DEBIAN_OWNER}
            self.add(image)

    def tag(self, image_id: str, tags: dict[str, str]) -> None:
        """Replace an image's tags. An unknown id is ignored."""
        with self._lock:
            image = self._images.get(image_id)
            if image is not None:
                self.add(Image(**asdict(image) | {"tags": dict(tags)}))

    def remove(self, image_id: str) -> None:
        """Remove an image, and the layers that no other image or machine uses."""
        with self._lock:
            image = self._images.pop(image_id, None)
            self._save()
            if image is not None:
                self._delete_unused(image.layers)

    def layer_folder(self, image_id: str) -> Path:
        """Return the folder for the top layer of a new image."""
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
    """Return the root filesystem as an AMI of Debian's. The id follows from the recipe."""
    layer = rootfs_folder(region)
    made = datetime.fromtimestamp(layer.stat().st_mtime, UTC)
    return Image(
        id=f"ami-0{layer.name}0000",
        name=f"debian-13-{architecture()}-{made:%Y%m%d-%H%M}",
        layers=[str(layer)],
        owner=DEBIAN_OWNER,
        description=f"Debian 13 ({SUITE}) emulated by a rehearsal",
        created=made.isoformat(timespec="seconds"),
    )
