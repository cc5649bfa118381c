"""What scripts/doctor finds, and the settings that it shares with the programs."""

import os
from typing import NamedTuple, Tuple

OK, WARN, FAIL = "ok", "warn", "FAIL"


class Finding(NamedTuple):
    verdict: str
    text: str
    remedy: str = ""


def given(name: str) -> Tuple[str, str]:
    """A setting, from NAME or the file that NAME_FILE names, and what is wrong with that; '' each if nothing."""
    value, path = os.environ.get(name, ""), os.environ.get(name + "_FILE", "")
    if value and path:
        return "", f"{name} and {name}_FILE are both set; keep one"
    if not path:
        return value, ""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip(), ""
    except (OSError, UnicodeDecodeError) as error:
        return "", f"{name}_FILE: cannot read {path}: {error}"
