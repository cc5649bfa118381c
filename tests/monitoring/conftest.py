"""What these tests ask for: everything of tests/integration, and `prometheus`, which watches a gate."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

import harness  # noqa: E402
import houses  # noqa: E402
import tally  # noqa: E402
from prometheus import Prometheus  # noqa: E402

pytest_unconfigure = tally.pytest_unconfigure


@pytest.fixture
def house(tmp_path):
    yield from houses.kept(tmp_path)


@pytest.fixture
def make_gate(house):
    return lambda **options: harness.Gate(house, **options)


@pytest.fixture
def prometheus(house):
    """prometheus(gate) → a real Prometheus that watches it by our configuration, faster."""
    def watch(gate):
        return house.add(Prometheus(house.room("prometheus"), gate)).wait_ready()
    return watch
