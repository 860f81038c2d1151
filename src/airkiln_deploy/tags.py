"""Tags of an environment's stacks, which CloudFormation adds to their resources, instances included."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_KEY = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,128}")
"""EC2 launches no instance with tags in metadata that has another key; Airkiln's read their role there
(docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html). No tag's key has more than 128 characters."""
_RESERVED = (".", "..", "_index")
_VALUE = 256


def problems(tags: Mapping[str, Any]) -> list[str]:
    """What would prevent stacks or instances, in sentences, before anything is created.

    :param tags: airkiln_tags.
    """
    return [
        f"airkiln_tags: {key!r} {why}." for key, value in tags.items() if (why := _problem(str(key), value))
    ]


def _problem(key: str, value: Any) -> str:  # noqa: ANN401 - YAML
    if not _KEY.fullmatch(key) or key in _RESERVED:
        return (
            "would prevent every launch, because instances have their tags in metadata: use 1 to 128 "
            "letters, digits and - _ + = , . @ : such as cost-center"
        )
    if key.lower().startswith(("aws:", "airkiln:")):
        return "begins with a word that AWS or Airkiln keeps for itself: choose another key"
    if not isinstance(value, str) or len(value) > _VALUE:
        return f"has a value that is not a text of at most {_VALUE} characters: write it in quotes"
    return ""
