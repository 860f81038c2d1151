"""Which stacks need no request, because CloudFormation would find nothing to update."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from airkiln_deploy import environment
from airkiln_deploy import plan as planning
from airkiln_deploy import template as templates
from airkiln_deploy.unchanged import unchanged
from tests.unit.deploy.planned import CLOUDFORMATION, plan

TEMPLATES = templates.templates(str(CLOUDFORMATION))
TAGS = {"airkiln:environment": "prod"}
PREFIX = "airkiln-prod-"
Present = dict[str, dict[str, Any]]


def deployed() -> Present:
    """What AWS holds after a deployment: every stack of the plan, with made-up outputs."""
    present: Present = {}
    outputs: dict[str, dict[str, str]] = {}
    for stack in plan()["stacks"]:
        if not stack["wanted"] or stack["kind"] == planning.DATABASE_STEP:
            continue
        form = TEMPLATES[stack["kind"]]
        made = {name: f"{stack['short']}-{name}" for name in form["outputs"]}
        outputs[stack["short"]] = made
        given = planning.parameters(stack, outputs)["all"]
        present[stack["name"]] = {
            "status": "CREATE_COMPLETE",
            "parameters": {
                name: templates.as_text(given.get(name, one.get("Default")))
                for name, one in form["parameters"].items()
            },
            "outputs": made,
            "tags": dict(TAGS),
            "template": form["digest"],
        }
    return present


def kept(
    present: Present,
    forms: Mapping[str, Any] = TEMPLATES,
    tags: Mapping[str, str] = TAGS,
    **changes: object,
) -> set[str]:
    stacks = plan(present=present, **changes)["stacks"]
    return set(unchanged(stacks, present, forms, tags, {}))


EVERY = {name.removeprefix(PREFIX) for name in deployed()}


def test_after_a_deployment_every_stack_is_up_to_date_and_its_outputs_are_known() -> None:
    present = deployed()
    found = unchanged(plan(present=present)["stacks"], present, TEMPLATES, TAGS, {})
    assert {PREFIX + short: outputs for short, outputs in found.items()} == {
        name: stack["outputs"] for name, stack in present.items()
    }
    assert len(EVERY) > 10


def test_the_database_step_is_never_up_to_date() -> None:
    assert "database-step" not in kept(deployed())


@pytest.mark.parametrize(
    "change",
    [
        lambda stack: stack.update(status="UPDATE_ROLLBACK_COMPLETE"),
        lambda stack: stack.update(status="UPDATE_IN_PROGRESS"),
        lambda stack: stack.update(template="another"),
        lambda stack: stack.update(template=""),
        lambda stack: stack.pop("template"),
        lambda stack: stack.update(tags={}),
        lambda stack: stack.update(tags=TAGS | {"team": "data"}),
        lambda stack: stack["parameters"].update(LogRetentionDays="30"),
        lambda stack: stack["parameters"].pop("LogRetentionDays"),
    ],
    ids=["rolled back", "moving", "another template", "not read", "not asked", "no tags", "a tag more",
         "another value", "a parameter less"],
)  # fmt: skip
def test_one_in_which_anything_differs_is_not(change: Callable[[dict[str, Any]], object]) -> None:
    present = deployed()
    change(present[f"{PREFIX}data"])
    found = kept(present)
    assert "data" not in found
    assert {"network", "edge", "webserver"} <= found


def test_one_that_takes_an_output_of_it_is_not_either() -> None:
    present = deployed()
    present[f"{PREFIX}security"]["template"] = "another"
    takes_it = {
        stack["short"]
        for stack in plan()["stacks"]
        if any(source == "security" for source, _ in stack["inputs"].values())
    }
    assert not kept(present) & {"security", *takes_it}
    assert {"network", "firewall"} <= kept(present)


def test_one_that_is_not_there_or_that_a_variable_changes_is_not() -> None:
    present = deployed()
    del present[f"{PREFIX}operations"]
    found = kept(present, pools={"default": {"MaxSize": 5}, "batch": {}})
    assert EVERY - found == {"operations", "worker-default"}


@pytest.mark.parametrize(
    "form",
    [{"Type": "AWS::SSM::Parameter::Value<String>"}, {"Type": "String", "NoEcho": True}],
    ids=["looked up", "not shown"],
)
def test_a_value_that_is_not_known_before_an_update_is_not_taken_for_the_same(form: dict[str, Any]) -> None:
    present = deployed()
    present[f"{PREFIX}edge"]["parameters"]["New"] = "value"
    edge = TEMPLATES["edge"]
    changed = edge | {"parameters": edge["parameters"] | {"New": form | {"Default": "value"}}}
    same = edge | {"parameters": edge["parameters"] | {"New": {"Type": "String", "Default": "value"}}}
    assert "edge" in kept(present, TEMPLATES | {"edge": same})
    assert "edge" not in kept(present, TEMPLATES | {"edge": changed})


class TestTheTemplate:
    """Read from AWS as it was given, and compared by a digest."""

    @pytest.fixture
    def stubs(self) -> Stubber:
        client = botocore.session.get_session().create_client(
            "cloudformation", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        return Stubber(client)

    def test_the_digest_of_what_ansible_sends_is_that_of_the_file(self, stubs: Stubber) -> None:
        text = (CLOUDFORMATION / "edge.yaml").read_text().rstrip()
        asked = {"StackName": "one", "TemplateStage": "Original"}
        stubs.add_response("get_template", {"TemplateBody": text}, asked)
        with stubs:
            assert environment.template_digest(stubs.client, "one") == TEMPLATES["edge"]["digest"]

    @pytest.mark.parametrize("code", ["AccessDenied", "ValidationError"])
    def test_one_that_cannot_be_read_is_not_known(self, stubs: Stubber, code: str) -> None:
        stubs.add_client_error("get_template", code)
        with stubs:
            assert environment.template_digest(stubs.client, "one") == ""

    def test_no_template_of_ours_has_a_letter_that_cloudformation_returns_as_another(self) -> None:
        """GetTemplate returns a question mark for what is not ASCII: the digests would always differ."""
        foreign = [path.name for path in CLOUDFORMATION.glob("*.yaml") if not path.read_text().isascii()]
        assert foreign == []
