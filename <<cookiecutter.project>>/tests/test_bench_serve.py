"""How `bench serve` asks and what it shows; the servers themselves are started by the benchmark alone."""

import asyncio

import pytest

from bench.serve import Measured, table
from bench.serving import client
from bench.serving.chart import bars
from bench.serving.servers import MLFLOW, OURS, PLAIN, RAW, servers


def asked(status: bytes, body: bytes = b"{}") -> tuple[client.Load, set[bytes]]:
    """What the Python client measures of a server that always answers `status`, and the bodies that arrived there."""
    seen = set()

    async def answer(reader, writer) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                seen.add(await reader.readexactly(len(body)))
                writer.write(b"HTTP/1.1 " + status + b" -\r\nContent-Length: 2\r\n\r\nok")
        except asyncio.IncompleteReadError:
            writer.close()

    async def both() -> client.Load:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        return await client.ask(f"http://{host}:{port}/predict", body, 3, 1)

    return asyncio.run(both()), seen


@pytest.mark.parametrize(("status", "failed"), [(b"200", False), (b"503", True)])
def test_the_client_counts_answers_and_failures(status, failed) -> None:
    found, seen = asked(status)
    assert found.answers > 3
    assert found.failed == (found.answers if failed else 0)
    assert 0 < found.p50 <= found.p99
    assert seen == {b"{}"}


def test_the_table_shows_the_ratios() -> None:
    rates = {MLFLOW: 10, PLAIN: 50, OURS: 600, RAW: 800}
    lines = table([Measured(name, rate, 1, 2, 0, 100, 50) for name, rate in rates.items()]).splitlines()
    (ours,) = [line for line in lines if line.startswith(OURS)]
    assert ours.split()[-3:] == ["60.00", "12.00", "0.75"]
    assert len({len(line) for line in lines}) == 1


def test_every_server_is_its_own_command_on_the_port() -> None:
    commands = [server.command for server in servers(4711).values()]
    assert all("4711" in command for command in commands)
    assert len({tuple(command) for command in commands}) == len(commands)


def test_a_chart_shows_every_bar_to_scale() -> None:
    chart = bars("a < b", [("one", 100), ("two", 50)])
    assert "a &lt; b" in chart
    assert 'width="460.0"' in chart
    assert 'width="230.0"' in chart
