"""What is refused, each with one sentence and before anything changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.stacks.deploy.conftest import Environment, make_environment
from tests.stacks.deploy.local_aws import LocalAws, playbook


@pytest.fixture
def environment(
    aws: LocalAws, image: str, certificate: str, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    return make_environment(aws, tmp_path_factory.mktemp("refused"), "refused", image, certificate)


def without(name: str) -> Callable[[Environment], None]:
    def change(environment: Environment) -> None:
        del environment.variables[name]
        environment.write()

    return change


def having(**variables: object) -> Callable[[Environment], None]:
    return lambda environment: environment.write(**variables)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(
            without("airkiln_account_id"),
            "airkiln_account_id is not given for the environment refused. Copy inventory/",
            id="a variable that is missing",
        ),
        pytest.param(
            having(airkiln_account_id="210987654321"),
            "refused belongs to the account 210987654321, and arn:aws:",
            id="the credentials of another account",
        ),
        pytest.param(
            having(airkiln_image_id="ami-0fedcba9876543210"),
            "The image ami-0fedcba9876543210 is not available in eu-west-1",
            id="an image that is not there",
        ),
        pytest.param(
            having(
                airkiln_stack_parameters={"edge": {"InternalHostName": "airflow"}, "schedular": {}},
                airkiln_pools={"Default-Pool": {"OnDemandPercent": 50}},
                airkiln_parameters={"Brokr": "redis"},
            ),
            (
                "airkiln_stack_parameters.schedular: there is no such stack",
                "airkiln_parameters.Brokr: no stack takes it",
                "airkiln_pools.Default-Pool: a pool s name is",
                "edge.InternalHostName is airflow and must be a host name",
                "edge.InternalCertificateArn is missing",
                "worker-Default-Pool: With OnDemandPercent below 100, SecondInstanceType is needed",
            ),
            id="several mistakes, all at once",
        ),
        pytest.param(
            having(airkiln_pools={"default": {"InstanceType": "m99.24xlarge"}}),
            "worker-default: m99.24xlarge not offered in eu-west-1a, eu-west-1b, eu-west-1c: choose another",
            id="an instance type that the zones do not have",
        ),
    ],
)
def test_a_mistake_is_named_and_nothing_is_changed(
    environment: Environment, change: Callable[[Environment], None], sentence: str | tuple[str, ...]
) -> None:
    before = environment.aws.traces(environment.name)
    change(environment)
    run = environment.run("deploy")
    assert run.code != 0
    for part in (sentence,) if isinstance(sentence, str) else sentence:
        assert part in run.said
    assert environment.aws.traces(environment.name) == before


def test_a_name_that_does_not_fit_is_refused(environment: Environment) -> None:
    run = playbook(environment.aws, environment.inventory, "deploy", "-e", "environment_name=prod-eu")
    assert run.code != 0
    assert "environment_name is prod-eu" in run.said


def test_without_a_name_the_question_says_how_to_answer(environment: Environment) -> None:
    run = playbook(environment.aws, environment.inventory, "deploy")
    assert run.code != 0
    assert "environment_name is missing. Give it, such as -e environment_name=prod" in run.said


def test_without_credentials_aws_is_not_even_asked(environment: Environment) -> None:
    run = environment.run(
        "deploy", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_EC2_METADATA_DISABLED="true"
    )
    assert run.code != 0
    assert "There are no AWS credentials" in run.said


def test_destruction_refuses_a_pool_that_is_still_wanted(environment: Environment) -> None:
    run = environment.run("destroy", "-e", "destroy=refused", "-e", "pool=default")
    assert run.code != 0
    assert "airkiln_pools still names the pool default" in run.said
