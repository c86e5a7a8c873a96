"""One process that forks commands, for all tests of this folder."""

import pytest
from support.forked_commands import Commands


@pytest.fixture(scope="session")
def commands():
    """Runs commands of the command line, each with limits."""
    running = Commands()
    yield running
    running.close()
