"""The line that CI adds up: a conftest takes over pytest_unconfigure."""

from typing import Any


def pytest_unconfigure(config: Any) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):  # one of several processes
        return
    passed, failed, error, skipped = (len(reporter.stats.get(what, [])) for what in ("passed", "failed", "error", "skipped"))
    print(f"{passed} passed, {failed + error} failed" + (f", {skipped} skipped" if skipped else ""))
