"""What tests ask for: `library` (the Redis library alone), `house` (start what you like), `make_gate`
and `gate` (everything wired together), `script` and `credit` (the operator's scripts)."""

import itertools
import os
import subprocess

import hypothesis
import pytest

import harness
import houses
from library import DEFAULT_POLICY, Library, load_library

NAMESPACES = itertools.count(1)

# CI tries the same cases each time, so that it is a change that fails; developers meet new ones.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


def pytest_collection_modifyitems(config, items):
    """The Redis library and the operator's scripts are the same in every build, so the sanitizers have nothing to see:
    what starts none of our programs runs with the release build only."""
    if harness.BUILD.name != "asan":
        return
    same = [item for item in items if "shared_redis" in item.fixturenames and "house" not in item.fixturenames]
    config.hook.pytest_deselected(items=same)
    items[:] = [item for item in items if item not in set(same)]


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory):
    """One Redis for all tests of the library: each has a namespace of its own."""
    server = harness.RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    load_library(server.client())
    yield server
    server.stop()


@pytest.fixture(scope="session")
def shared_client(shared_redis):
    return shared_redis.client()


@pytest.fixture
def bare_library(shared_client):
    """A fresh namespace without a policy, not checked afterwards: for tests that spoil it."""
    return Library(shared_client, f"t{next(NAMESPACES)}")


@pytest.fixture
def library(bare_library):
    """A fresh namespace with the default policy. Books, holds and places are checked afterwards."""
    bare_library.install(DEFAULT_POLICY, "default")
    yield bare_library
    bare_library.check()


@pytest.fixture
def house(tmp_path):
    yield from houses.kept(tmp_path)


@pytest.fixture
def make_gate(house):
    """make_gate(workers=2, dialect="v1", worker_env={…}, ingest_env={…}) → harness.Gate"""
    reason = harness.missing()
    if reason:
        pytest.fail(f"{reason}: run make first", pytrace=False)
    return lambda **options: harness.Gate(house, **options)


@pytest.fixture
def gate(make_gate):
    return make_gate()


@pytest.fixture
def script(bare_library, shared_redis):
    """script("credit", "show", …) → the finished process."""
    def run(name, *arguments, code=0, **options):
        env = {**os.environ, "REDIS_URL": shared_redis.url, "TOLLGATE_NAMESPACE": bare_library.namespace}
        done = subprocess.run([harness.ROOT / "scripts" / name, *map(str, arguments)], env=env, capture_output=True, text=True,
                              timeout=60, stdin=subprocess.DEVNULL, check=False, **options)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done
    return run


@pytest.fixture
def credit(script):
    return lambda *arguments, code=0: script("credit", *arguments, code=code)
