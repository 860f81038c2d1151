"""Unit tests of what runs inside Airflow: without a real AWS, and without the caller's systemd."""

from tests.unit.airkiln.conftest import no_real_aws

__all__ = ["no_real_aws"]
