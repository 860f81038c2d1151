"""Replaces parts of moto at run time, and restores them.

moto has no extension points: an emulated service replaces moto's classes and methods. Everything that is
replaced goes through ``Substitutions``, so that installing twice is harmless and moto can be had back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

Moto: TypeAlias = Any
"""What moto passes between its own functions. Most of it has no useful types."""

MOTO_VERSION = "5.2.5"
"""The version of moto in which every ``Patch`` below this package was found to be needed."""


class Substitutions:
    """Attributes and items that were replaced, with what stood there before the first replacement."""

    def __init__(self) -> None:
        self._restore: dict[tuple[int, str], Callable[[], None]] = {}

    def attribute(self, owner: Moto, name: str, value: Moto) -> None:
        """Replace an attribute of a class, module or object; ``restore`` deletes one that was not there."""
        own = vars(owner)
        undo = partial(setattr, owner, name, own[name]) if name in own else partial(delattr, owner, name)
        self._restore.setdefault((id(owner), name), undo)
        setattr(owner, name, value)

    def item(self, mapping: MutableMapping[str, Moto], key: str, value: Moto) -> None:
        """Replace the value of a key that exists."""
        self._restore.setdefault((id(mapping), key), partial(mapping.__setitem__, key, mapping[key]))
        mapping[key] = value

    def restore(self) -> None:
        """Put back what stood there first. Without replacements it does nothing."""
        while self._restore:
            self._restore.popitem()[1]()


@dataclass(frozen=True)
class Patch:
    """The correction of one method of moto.

    ``tests/unit/rehearsal/aws/services/test_patches.py`` holds a case for each patch. The case fails as soon
    as moto is right without the patch; then delete the patch.
    """

    owner: type
    method: str
    correct: Callable[[Moto], Moto]
    """Takes moto's own method, or None where moto has none, and returns the corrected one."""
    upstream: str
    """Where the method is in moto's repository, with the issue or pull request if there is one."""
    problem: str
    """What moto does, and what AWS does."""

    @property
    def name(self) -> str:
        """``Class.method``, as test reports show it."""
        return f"{self.owner.__name__}.{self.method}"


class Patches:
    """Patches that are installed and removed together."""

    def __init__(self, patches: Iterable[Patch]) -> None:
        self.patches = tuple(patches)
        self._installed = False
        self._substitutions = Substitutions()

    def install(self) -> None:
        """Correct moto. A second call changes nothing."""
        if self._installed:
            return
        self._installed = True
        for patch in self.patches:
            original = getattr(patch.owner, patch.method, None)
            self._substitutions.attribute(patch.owner, patch.method, patch.correct(original))

    def uninstall(self) -> None:
        """Restore moto's own methods."""
        self._substitutions.restore()
        self._installed = False
