"""What the conftests' `house` is made of."""

from pathlib import Path
from typing import Iterator

import pytest

from harness import House


def kept(folder: Path) -> Iterator[House]:
    """Starts programs; reads what they left behind after the test, or whatever else the fixture is for."""
    house = House(folder)
    yield house
    complaints = house.close()
    if complaints:
        pytest.fail("\n".join(complaints), pytrace=False)
