"""Reading Parameter Store through the real client, when all goes well and when it does not."""

from __future__ import annotations

import threading
import time

import pytest
from botocore.exceptions import ConnectTimeoutError

from airkiln.errors import DeniedError, UnavailableError
from airkiln.parameters.rules import Parameter
from airkiln.parameters.ssm import Patience, SsmSource, _reason_to_retry, create_client
from tests.unit.airkiln.parameters import fake_ssm
from tests.unit.airkiln.parameters.fake_ssm import FakeSsm, Fault
from tests.unit.airkiln.systemd.environment_values import EVERY_UTF8_BYTE, PRINTABLE_ASCII

COMMON = "/airkiln/prod/common"


def some(count: int, folder: str = "common", value: str = "v") -> dict[str, str]:
    return {f"/airkiln/prod/{folder}/V{number:04}": f"{value}{number}" for number in range(count)}


class Waits(list[float]):
    """Instead of sleeping: the seconds that would have been slept."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def source(
    waits: Waits | None = None, patience: Patience | None = None, read_timeout: float = 5
) -> SsmSource:
    client = create_client("eu-west-1", read_timeout=read_timeout)
    return SsmSource(client, patience, sleep=Waits() if waits is None else waits)


def read(*folders: str, **options: object) -> dict[str, str]:
    found: list[Parameter] = source(**options).read("prod", folders or ("common",))  # type: ignore[arg-type]
    return {parameter.name: parameter.value for parameter in found}


def by_name(parameters: dict[str, str]) -> dict[str, str]:
    return {path.rpartition("/")[2]: value for path, value in parameters.items()}


@pytest.mark.parametrize("count", [1, 9, 10, 11, 100, 1000])
@pytest.mark.parametrize("empty_pages", [False, True])
def test_every_parameter_is_read_over_all_pages_also_empty_ones(
    store: FakeSsm, count: int, empty_pages: bool
) -> None:
    store.parameters = some(count, value=PRINTABLE_ASCII + EVERY_UTF8_BYTE)
    store.empty_pages = empty_pages
    assert read() == by_name(store.parameters)
    assert len(store.requests) == -(-count // 10) * (3 if empty_pages else 1)


def test_values_are_asked_for_decrypted_and_only_of_direct_children(store: FakeSsm) -> None:
    store.parameters = {**some(1), f"{COMMON}/deeper/SECRET": "x"}
    assert read() == {"V0000": "v0"}
    assert store.requests[0]["WithDecryption"] is True
    assert not store.requests[0].get("Recursive", False)


def test_folders_come_in_their_order_so_that_the_last_is_in_force(store: FakeSsm) -> None:
    store.parameters = {f"/airkiln/prod/{folder}/X": folder for folder in ("worker", "common", "all")}
    found = source().read("prod", ("common", "webserver", "worker", "all"))
    assert [parameter.value for parameter in found] == ["common", "worker", "all"]
    assert found[0].origin == f"{COMMON}/X"


def test_a_path_with_nothing_below_it_is_named(store: FakeSsm) -> None:
    store.parameters = some(3, folder="worker")
    with pytest.raises(DeniedError, match="/airkiln/prod/common: no parameters there"):
        read("common", "worker")


PASSING = {
    "throttled": fake_ssm.throttled,
    "internal error": fake_ssm.internal_error,
    "a clock not yet synchronised": fake_ssm.error(400, "InvalidSignatureException", "Signature expired"),
    "a 503 that is no JSON": fake_ssm.page_of_errors,
    "dropped before an answer": fake_ssm.dropped_before_an_answer,
    "dropped in the answer": fake_ssm.dropped_in_the_answer,
    "cut off without a length": fake_ssm.cut_off_without_a_length,
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
@pytest.mark.parametrize("page", [0, 1, 2])
def test_a_passing_fault_repeats_its_page_and_no_other(store: FakeSsm, fault: Fault, page: int) -> None:
    store.parameters = some(25)
    store.faults = [*[None] * page, fault, fault]
    waits = Waits()
    assert read(waits=waits) == by_name(store.parameters)
    asked = [request.get("NextToken", "0") for request in store.requests]
    assert asked == sorted(asked)
    assert asked.count(str(page)) == 3
    assert len(asked) == 5
    assert len(waits) == 2


def test_an_answer_that_is_too_late_is_asked_for_again(store: FakeSsm) -> None:
    store.parameters = some(12)
    store.faults = [None, fake_ssm.slow(0.6)]
    assert read(read_timeout=0.2) == by_name(store.parameters)


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_lasting_fault_ends_after_eight_attempts_and_names_the_path(store: FakeSsm, fault: Fault) -> None:
    store.parameters = some(25)
    store.faults = [None]
    store.always = fault
    with pytest.raises(UnavailableError, match=f"{COMMON}: .* attempts: 8: check"):
        read()
    assert len(store.requests) == 1 + 8


def test_waits_grow_at_random_below_a_doubling_bound(store: FakeSsm) -> None:
    store.always = fake_ssm.throttled
    client = create_client("eu-west-1")
    waits = [Waits() for _ in range(20)]
    for wait in waits:
        with pytest.raises(UnavailableError):
            SsmSource(client, sleep=wait).read("prod", ("common",))
    for position, bound in enumerate((0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)):
        drawn = [wait[position] for wait in waits]
        assert all(0 <= seconds <= bound for seconds in drawn)
        assert max(drawn) > bound / 2
        assert min(drawn) < bound / 2


def test_the_deadline_ends_the_retries_before_their_number_does(store: FakeSsm) -> None:
    store.always = fake_ssm.throttled
    with pytest.raises(UnavailableError, match="attempts: 1:"):
        read(patience=Patience(deadline=0))
    assert len(store.requests) == 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (fake_ssm.access_denied, r"access denied \(AccessDeniedException\): User: arn:aws:sts::123456789012"),
        (fake_ssm.error(400, "InvalidKeyId", "key"), r"access denied \(InvalidKeyId\)"),
        (fake_ssm.not_found, r"refused the request \(ParameterNotFound\)"),
        (fake_ssm.error(400, "ValidationException"), r"refused the request \(ValidationException\)"),
        (fake_ssm.error(400, "UnrecognizedClientException"), r"\(UnrecognizedClientException\)"),
        (fake_ssm.error(400, "ExpiredTokenException"), r"\(ExpiredTokenException\)"),
    ],
)
def test_a_no_is_final_at_once_and_names_the_path(store: FakeSsm, fault: Fault, words: str) -> None:
    store.parameters = some(25)
    store.faults = [None]
    store.always = fault
    waits = Waits()
    with pytest.raises(DeniedError, match=f"{COMMON}: .*{words}"):
        read(waits=waits)
    assert waits == []
    assert len(store.requests) == 2


def test_a_denial_of_one_folder_names_that_folder(store: FakeSsm) -> None:
    def denied(exchange: fake_ssm.Exchange, request: dict[str, object]) -> None:
        if request["Path"] == "/airkiln/prod/worker":
            fake_ssm.access_denied(exchange, request)
        else:
            exchange.reply(200, exchange.server.fake.page(request))

    store.parameters = some(25)
    store.always = denied
    with pytest.raises(DeniedError, match="/airkiln/prod/worker: access denied"):
        read("common", "worker")


def test_a_denied_folder_ends_the_retries_of_the_others(store: FakeSsm) -> None:
    denied = threading.Event()

    def fault(exchange: fake_ssm.Exchange, request: dict[str, object]) -> None:
        if request["Path"] == COMMON:
            fake_ssm.access_denied(exchange, request)
            denied.set()
        else:
            denied.wait(5)
            time.sleep(0.2)  # the denial arrives first
            fake_ssm.throttled(exchange, request)

    store.always = fault
    with pytest.raises(DeniedError):
        read("common", "worker")
    assert len(store.requests) < 1 + 8


def test_no_connection_at_all_ends_after_eight_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    with pytest.raises(UnavailableError, match=f"{COMMON}: .*no connection, attempts: 8"):
        read()


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def test_credentials_that_never_come_are_waited_for_and_then_named(store: FakeSsm, no_keys: None) -> None:
    waits = Waits()
    with pytest.raises(UnavailableError, match="AWS credentials: none found, attempts: 8: give the instance"):
        create_client("eu-west-1", sleep=waits)
    assert len(waits) == 7
    assert store.requests == []


def test_credentials_that_come_late_are_used(
    store: FakeSsm, no_keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attach_the_profile(_: float) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "late")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "late")

    store.parameters = some(3)
    client = create_client("eu-west-1", sleep=attach_the_profile)
    assert len(SsmSource(client).read("prod", ("common",))) == 3


def test_no_region_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(DeniedError, match="no AWS region is known"):
        create_client(None)


def test_a_message_from_the_service_cannot_forge_lines_of_the_journal(store: FakeSsm) -> None:
    store.always = fake_ssm.error(400, "AccessDeniedException", "a\n<3>b\x1b[31m" + "x" * 1000)
    with pytest.raises(DeniedError) as denied:
        read()
    assert "\n" not in str(denied.value)
    assert "\x1b" not in str(denied.value)
    assert len(str(denied.value)) < 700


def test_a_connection_that_times_out_is_tried_again() -> None:
    late = ConnectTimeoutError(endpoint_url="http://ssm")
    assert _reason_to_retry("/airkiln/prod/common", late) == "a failed connection (ConnectTimeoutError)"
