"""Each way to a device, as a fixture that tests take unchanged."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edgegen.device.testing import Adbd
from edgegen.device.transports import connect
from tests.device.doubles import (
    Reached,
    Server,
    free_port,
    plain_environment,
    require_adb,
    running_server,
)

Reach = Callable[..., Reached]

# What a transport may stand on. Old devices have neither shell protocol 2 nor 64-bit sizes, and
# want checksums; older ones no `exec:` and a terminal behind `shell:`.
WAYS: dict[str, dict[str, Any]] = {
    "adb-direct": {},
    "adb-direct, old device": {"features": (), "version": 0x01000000, "payload_bytes": 4096},
    "adb-direct, older device": {
        "features": (),
        "version": 0x01000000,
        "payload_bytes": 4096,
        "refused_services": ("exec",),
        "terminal_line_ends": True,
    },
    "adb-server": {},
    "adb-server, old device": {"features": (), "version": 0x01000000},
    "local": {},
}


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home without keys, which the first connection makes."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[Server]:
    """An adb server for the tests alone."""
    with running_server(require_adb(), home) as running:
        yield running


def make_reach(stack: ExitStack, base: Path, home: Path, request: pytest.FixtureRequest) -> Reach:
    """Return what makes a device and a way to it, by the name of the way."""

    def made(way: str, **options: Any) -> Reached:
        root = base / f"device-{len(list(base.iterdir()))}"
        root.mkdir()
        name = way.partition(",")[0]
        if name == "local":
            return Reached(connect(transport="local"), root, None, {})
        options = {"authorized_keys": [], "accept_new_keys": True, **WAYS[way], **options}
        double = stack.enter_context(Adbd(root, **options))
        environment = plain_environment(home, free_port())
        if name == "adb-server":
            server = request.getfixturevalue("server")
            server.attach(double)
            stack.callback(server, "disconnect", double.serial)
            environment = server.environment
        transport = connect(double.serial, transport=name, environment=environment)
        stack.enter_context(transport)
        return Reached(transport, root, double, environment)

    return made


@pytest.fixture
def reach(tmp_path: Path, home: Path, request: pytest.FixtureRequest) -> Iterator[Reach]:
    """Make a device and a way to it; options go to the double."""
    with ExitStack() as stack:
        yield make_reach(stack, tmp_path, home, request)


@pytest.fixture(scope="module", params=WAYS)
def shared(
    tmp_path_factory: pytest.TempPathFactory, home: Path, request: pytest.FixtureRequest
) -> Iterator[Reached]:
    """A device by each way in turn, for all tests of a file."""
    with ExitStack() as stack:
        yield make_reach(stack, tmp_path_factory.mktemp("devices"), home, request)(request.param)


@pytest.fixture
def reached(shared: Reached) -> Reached:
    """A device by each way in turn, with a folder of its own."""
    root = shared.root / f"test-{len(list(shared.root.iterdir()))}"
    root.mkdir()
    return dataclasses.replace(shared, root=root)
