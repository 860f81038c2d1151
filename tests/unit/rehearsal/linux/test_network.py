"""Names of network interfaces."""

from __future__ import annotations

from rehearsal.linux.network import port_name


def test_a_port_name_fits_the_kernel_and_tells_instances_apart() -> None:
    names = {port_name("i-0123456789abcdef0"), port_name("i-0123456789abcdef1"), port_name("postgres")}
    assert len(names) == 3
    assert all(len(name) <= 15 for name in names)
