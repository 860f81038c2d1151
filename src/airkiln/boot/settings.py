"""What this instance is, and where its parameters are: boot.toml first, then instance metadata."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from airkiln.errors import RefusedError
from airkiln.host.instance import Instance
from airkiln.host.layout import Layout
from airkiln.host.metadata import Imds, NoImdsError, made_by_amazon
from airkiln.parameters.source import LOCAL_FILE
from airkiln.systemd.journal import say

LOCAL_ENVIRONMENT = "local"
"""The environment of a host whose parameters are a file and that was given no other."""
TAGS_WITHIN, TAGS_EVERY = 60, 2
"""Seconds within which a group's instance gets its tags, and between two requests for them."""
LIFECYCLE = "meta-data/autoscaling/target-lifecycle-state"
_INSTANCE_KEYS = ("role", "environment", "region", "pool")
_KEYS = ("source", "file", *_INSTANCE_KEYS)


@dataclass(frozen=True)
class Settings:
    """The source of the parameters ("ssm" or "file"), and what this instance is."""

    source: str = "ssm"
    file: Path = LOCAL_FILE
    instance: Instance = field(default_factory=Instance)


def read_overrides(path: Path) -> Settings:
    """The settings in boot.toml; the defaults where the file does not exist.

    Raises RefusedError, which names everything that is wrong in it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RefusedError(
            [f"{path}: cannot be read as TOML ({type(error).__name__}): correct or remove it"]
        ) from None
    problems = [
        f"{path}: unknown key {key!r}: use only {', '.join(_KEYS)}" for key in content if key not in _KEYS
    ]
    problems += [f"{path}: {key}: not a text" for key in _KEYS if not isinstance(content.get(key, ""), str)]
    if not problems and content.get("source", "ssm") not in ("ssm", "file"):
        problems.append(f'{path}: source: must be "ssm" or "file"')
    if problems:
        raise RefusedError(problems)
    given = {key: value for key, value in content.items() if value}
    return Settings(
        source=given.get("source", "ssm"),
        file=Path(given.get("file", LOCAL_FILE)),
        instance=Instance(**{key: given[key] for key in _INSTANCE_KEYS if key in given}),
    )


def complete(
    settings: Settings,
    layout: Layout,
    imds: Callable[[bool], Imds],
    sleep: Callable[[float], None] = time.sleep,
) -> Settings:
    """Fill in from instance metadata what boot.toml leaves open.

    Metadata is not read on a host whose boot.toml gives everything, or whose parameters are a file.

    :param imds: connects to metadata; its argument is whether this host is an EC2 instance.
    """
    given = settings.instance
    if given.role and given.environment and given.region:
        return settings
    if settings.source == "file" and given.role:
        return replace(settings, instance=replace(given, environment=given.environment or LOCAL_ENVIRONMENT))
    try:
        with imds(made_by_amazon(layout)) as metadata:
            found = metadata.identity()
            # A group may tag its instance after the launch, so that metadata has no tags at first.
            for waited in range(0, TAGS_WITHIN, TAGS_EVERY):
                if found.role or given.role or metadata.get(LIFECYCLE) is None:
                    break
                if not waited:
                    say("no airkiln:role tag yet, and this instance belongs to a group: asking again")
                sleep(TAGS_EVERY)
                found = metadata.identity()
    except NoImdsError as error:
        say(f"no instance metadata: {error}")
        return settings
    overrides = {name: value for name, value in asdict(given).items() if value}
    return replace(settings, instance=replace(found, **overrides))
