"""What a template means for given parameters, as far as that is known before AWS has created anything."""

from __future__ import annotations

from pathlib import Path

from airkiln_deploy import template as templates

CLOUDFORMATION = Path(__file__).parents[3] / "cloudformation"


def test_conditions_that_hang_on_what_is_not_known_stay_open() -> None:
    data = templates.templates(str(CLOUDFORMATION))["data"]
    assert templates.made(data, {"ZoneCount": "3"})["MountTargetC"] == "AWS::EFS::MountTarget"
    assert "MountTargetC" not in templates.made(data, {"ZoneCount": "2"})
    open_one = templates.made(data, {}, ["ZoneCount"])["MountTargetC"]
    assert open_one == "AWS::EFS::MountTarget (if HasThirdZone, not known yet)"
