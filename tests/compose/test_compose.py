"""docker-compose.yml and the images in a real engine: what README and the files themselves promise."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests

from certificates import Authority
from engine import BASE, ROOT, run
from harness import API_KEY, SECRET, wait_for
from stack import SERVICES, TAG, Bookers, before_calcom

LIMIT_MIB = 60  # what ingest's and worker's images may weigh above their base
UID = "64646"
PREVIOUS = f"{TAG}-previous"


# ---- The images ----

def size(image):
    return int(run("docker", "image", "inspect", "-f", "{{.Size}}", image).stdout) / 2**20


@pytest.mark.parametrize("program", ["tollgate-ingest", "tollgate-worker"])
def test_an_image_is_small_and_runs_as_nobody(engine, program):
    image = f"{program}:{TAG}"
    above = size(image) - size(BASE)
    print(f"{image}: {above:.1f} MiB above {BASE}")
    assert above < LIMIT_MIB
    user = run("docker", "image", "inspect", "-f", "{{.Config.User}}", image).stdout.strip()
    assert user == f"{UID}:{UID}"
    assert run("docker", "run", "--rm", image, "--version").stdout.startswith(program + " ")


def test_an_image_has_the_certificates_of_public_authorities(engine):
    """Else TLS to Cal.com would fail inside."""
    for program in ("tollgate-ingest", "tollgate-worker"):
        run("docker", "run", "--rm", "--entrypoint", "test", f"{program}:{TAG}", "-s", "/etc/ssl/certs/ca-certificates.crt")


# ---- The demo ----

def test_the_demo_settles_its_bookings(project):
    demo = project(TOLLGATE_CONSOLE_PORT="0")
    since = time.monotonic()
    demo.compose("--profile", "demo", "up", "-d")
    seen = wait_for(lambda: (text := demo.logs("demo")) and "accepted" in text and "rejected" in text and text, 120,
                    "the demo to tell of what was accepted and rejected")
    print(f"after {time.monotonic() - since:.0f} s")
    assert "Traceback" not in seen
    (ingest,) = demo.inspect("demo-ingest")
    (published,) = ingest["NetworkSettings"]["Ports"]["9464/tcp"]
    assert published["HostIp"] == "127.0.0.1"
    address = f"http://127.0.0.1:{published['HostPort']}/console/"
    with requests.Session() as browser:
        browser.headers["Sec-Fetch-Site"] = "same-origin"
        page = browser.post(address + "sign-in", data={"name": "ann", "secret": "demo", "to": "decisions"}, timeout=10)
        assert page.status_code == 200 and ">accept<" in page.text and ">reject<" in page.text
    assert demo.containers("ingest") == demo.containers("redis") == [], "the gate itself is not started"


# ---- What the gate's containers are ----

def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def program(container):
    """The process of the program in a container, as the host sees it: the first child of the init."""
    return children(container["State"]["Pid"])[0]


def test_containers_are_what_they_claim(open_club):
    c = open_club
    for service in SERVICES:
        (container,) = c.project.inspect(service)
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"] and host["Init"] and host["CapDrop"] == ["ALL"] and not host["CapAdd"], service
        assert "no-new-privileges:true" in host["SecurityOpt"] and not host["Privileged"], service
        assert host["Memory"] > 0 and 0 < host["PidsLimit"] <= 256, service
        assert host["LogConfig"]["Config"]["max-size"] and host["RestartPolicy"]["Name"] == "unless-stopped", service
        assert container["Config"].get("StopTimeout", 0) >= 20, f"{service}: longer than the drain"
        published = [port for port in (host["PortBindings"] or {}).values() if port]
        assert bool(published) == (service == "ingest"), f"{service}: only ingest is published"
        # And what the kernel says.
        seen = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{program(container)}/status").read_text(), re.M))
        assert int(seen["CapEff"], 16) == int(seen["CapBnd"], 16) == 0 and seen["NoNewPrivs"] == "1", service
        assert seen["Uid"].split()[0] != "0" and (service == "redis" or seen["Uid"].split()[0] == UID), service
        assert c.project.compose("exec", "-T", service, "sh", "-c", "echo > /x", check=False).returncode != 0, service
        c.project.compose("exec", "-T", service, "sh", "-c", "(sleep 0.1 &)")
        init = container["State"]["Pid"]
        wait_for(lambda: children(init) == [program(container)], 10, f"{service}: its init to reap what nobody waits for")
    config = dict(line.split("\t") for line in c.project.compose(
        "exec", "-T", "redis", "sh", "-c",
        "for n in appendonly appendfsync maxmemory-policy; do redis-cli config get $n | paste - -; done"
    ).stdout.strip().splitlines())
    assert config == {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


@pytest.mark.parametrize("service, name, value", [
    ("ingest", "WEBHOOK_SECRET", ""), ("worker", "CALCOM_API_URL", ""), ("worker", "CALCOM_API_KEY", ""),
    ("worker", "CALCOM_API_URL", "api.cal.com"), ("ingest", "TOLLGATE_THREADS", "many"),
])
def test_what_is_wrong_in_env_gets_its_sentence(project, service, name, value):
    values = {"WEBHOOK_SECRET": "s3cr3t-example", "CALCOM_API_URL": "https://api.cal.com/v2", "CALCOM_API_KEY": "cal_x",
              "TOLLGATE_PORT": "127.0.0.1:0", name: value}
    p = project(**values)
    p.up("--no-deps", service)
    said = wait_for(lambda: re.search(rf"tollgate-{service}: .*{name}.*", p.logs(service)), 30, "a sentence")
    print(said.group(0))


# ---- What a user does with it ----

def commands_of_readme():
    """The lines with docker-compose in the README's section on Docker, without what only a person can fill in."""
    section = (ROOT / "README.md").read_text().split("## With Docker", 1)[1].split("\n## ", 1)[0]
    lines = [line.split("  #")[0].strip() for line in re.findall(r"^    (docker-compose .*)$", section, re.M)]
    return [line for line in lines if "…" not in line]


def test_lines_of_the_readme_work_as_written(open_club, tmp_path):
    c = open_club
    (tmp_path / "members.csv").write_text("email,credits\ncarol@example.com,3\n")
    shutil.copy(ROOT / "common/redis/policy.lua", tmp_path / "mine.lua")
    c.fake.book(c.member(1), id=48213)  # the README's booking
    c.wait_settled()
    lines = commands_of_readme()
    assert any("LRANGE" in line for line in lines) and any("--scale worker=4" in line for line in lines)
    for line in lines:
        if " logs" in line or " down" in line:
            continue
        words = subprocess.run(["bash", "-c", f"printf '%s\\n' {line.split(' ', 1)[1]}"], capture_output=True,
                               text=True, check=True, cwd=tmp_path).stdout.splitlines()
        if words[0] in ("run", "exec"):  # nobody sits at a terminal
            words.insert(1, "-T")
            words += ["--yes"] if {"import", "install"} & set(words) else []
        print(line, "→", c.project.compose(*words).stdout[-200:])
        if "worker=4" in line:
            assert len(c.project.containers("worker")) == 4
    c.project.up("--scale", "worker=1")
    c.project.compose("rm", "-sf", "second-ingest")


def test_the_operators_scripts_need_no_installation(open_club):
    c = open_club
    granted = c.project.tools("credit", "grant", "zoe@example.com", "5", "--note", "June dues").stdout
    assert "zoe@example.com: balance 5" in granted
    id = c.fake.book("zoe@example.com")["id"]
    c.wait_settled()
    assert "accepted" in c.project.tools("explain", id).stdout
    assert "waiting" in c.project.tools("queue").stdout
    c.project.tools("policy", "show")
    assert f" {id} " in " ".join(c.project.tools("tollgate", "decisions", "--member", "zoe@example.com").stdout.split())
    assert "nobody is slow" in c.project.tools("status").stdout
    doctor = c.project.tools("doctor", check=False)
    assert doctor.returncode in (0, 1) and "ok    api: the key is taken" in doctor.stdout, doctor
    wrong = c.project.tools("nonsense", check=False)
    assert wrong.returncode == 2 and "nonsense" in wrong.stderr


TRUSTING = """\
    volumes: ["{folder}/authority.crt:/etc/ssl/certs/ca-certificates.crt:ro"]
  redis:
    command: [redis-server, --dir, /data, --appendonly, "yes", --appendfsync, always, --protected-mode, "no",
              --tls-port, "6380", --tls-cert-file, /tls/redis.crt, --tls-key-file, /tls/redis.key, --tls-auth-clients, "no"]
    volumes: ["{folder}:/tls:ro"]
"""


def test_secrets_as_files_and_tls_on_both_sides(club, tmp_path):
    """The two additions in scripts/deploy/compose, as they say themselves; Cal.com's authority stands for a public one."""
    root, tls = tmp_path / "root", tmp_path / "tls"
    shutil.copytree(ROOT / "scripts/deploy/compose", root / "scripts/deploy/compose")
    shutil.copy(ROOT / "docker-compose.yml", root)
    tls.mkdir()
    authority = Authority(tls)
    for path in authority.issue("redis", "DNS:redis"):
        path.chmod(0o644)  # the container's own user reads it
    (root / "secrets").mkdir(0o700)
    for name, value in (("webhook_secret", SECRET), ("calcom_api_key", API_KEY)):
        path = root / "secrets" / name
        path.write_text(value)
        path.chmod(0o400)
        os.chown(path, int(UID), int(UID))
    c = club(root=root, files=["scripts/deploy/compose/secrets.yml", "scripts/deploy/compose/authority.yml"],
             override=TRUSTING.format(folder=tls), REDIS_URL="rediss://redis:6380/0", TOLLGATE_AUTHORITY=authority.certificate,
             WEBHOOK_SECRET="", CALCOM_API_KEY="")
    door = before_calcom(tmp_path / "door", c.fake.url, *authority.issue("calcom", "DNS:calcom"))
    try:
        c.open(CALCOM_API_URL=f"https://calcom:{door.port}/v2")
        assert c.fake.book(c.member(1)) and set(c.wait_settled().values()) == {"accepted"}
    finally:
        door.stop()
    assert "waiting" in c.project.tools("queue").stdout
    for service, secret in (("ingest", SECRET), ("worker", API_KEY)):
        assert secret not in json.dumps(c.project.inspect(service)), f"{service}: docker inspect shows no secret"


# ---- Under load ----

def settle_rate(club, count):
    """Bookings per second, of so many that come at once, from Cal.com's first call to its last."""
    ids = {booking["id"] for number in range(20) for booking in club.fake.book(club.member(number), count=count // 20)["bookings"]}
    club.wait_settled()
    calls = [call for call in club.fake.calls() if call["booking"] in ids]
    return count / (max(call["end_ms"] for call in calls) - min(call["t_ms"] for call in calls)) * 1000


def test_scaling_up_speeds_up_and_scaling_down_loses_nothing(club, full):
    c = club(TOLLGATE_CONCURRENCY="16", CALCOM_TIMEOUT_MS="10000")
    c.open()
    c.fake.config(latencyMs=200)
    count = 1600 if full else 800
    one = settle_rate(c, count)
    c.project.up("--scale", "worker=4")
    c.project.wait_healthy("worker")
    four = settle_rate(c, count)
    print(f"{count} bookings: one worker {one:.0f}/s, four {four:.0f}/s: {four / one:.2f} times")
    assert four / one >= (3.6 if full else 2.5)
    with Bookers(c, 40):
        time.sleep(3)
        c.project.up("--scale", "worker=1")
        time.sleep(2)
    assert len(c.project.containers("worker")) == 1
    print(c.judge())


def test_what_is_killed_loses_nothing(club):
    c = club()
    c.open()
    with Bookers(c, 50):
        for service in SERVICES:
            time.sleep(2)
            run("docker", "kill", *c.project.containers(service))
            time.sleep(1)
            c.project.up()  # a container that a person killed is not started again by the engine
        time.sleep(2)
        c.project.compose("restart", "redis")
        time.sleep(2)
    c.project.wait_healthy()
    print(c.judge())


def test_the_engine_starts_again_what_dies(open_club):
    c = open_club
    for service in ("ingest", "worker"):
        (container,) = c.project.inspect(service)
        os.kill(program(container), signal.SIGKILL)
        wait_for(lambda: c.project.inspect(service)[0]["RestartCount"] > container["RestartCount"], 30, "a restart")
    c.project.wait_healthy("ingest", "worker")
    c.fake.book(c.member(1))
    c.wait_settled()


# ---- Upgrades ----

@pytest.fixture(scope="module")
def previous(engine, tmp_path_factory):
    """The images of an older version: the same sources, with an older library. Answers that library's version."""
    tree = tmp_path_factory.mktemp("previous")
    for name in ("common", "ingest", "worker", "scripts", "tests/fake_calcom", "tests/samples"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "Dockerfile", ".dockerignore", "docker-compose.yml"):
        shutil.copy(ROOT / name, tree / name)
    head = tree / "common/redis/head.lua"
    version = int(re.search(r"^local VERSION = (\d+)$", head.read_text(), re.M).group(1))
    head.write_text(head.read_text().replace(f"VERSION = {version}", f"VERSION = {version - 1}"))
    makefile = (tree / "Makefile").read_text()
    (tree / "Makefile").write_text(re.sub(r"^VERSION = .*$", "VERSION = 0.0.0", makefile, flags=re.M))
    for target in ("ingest", "worker"):
        run("docker", "build", "--target", target, "-t", f"tollgate-{target}:{PREVIOUS}", tree)
    assert "0.0.0" in run("docker", "run", "--rm", f"tollgate-worker:{PREVIOUS}", "--version").stdout
    yield version - 1
    run("docker", "image", "rm", *(f"tollgate-{target}:{PREVIOUS}" for target in ("ingest", "worker")), check=False)


def versions(project):
    return {service: project.compose("exec", "-T", service, "tollgate-" + service, "--version").stdout.split()[-1]
            for service in ("ingest", "worker")}


def test_an_upgrade_under_load_loses_nothing(club, previous, full):
    rate, seconds = (200, 60) if full else (50, 12)
    c = club()
    c.open(TOLLGATE_TAG=PREVIOUS)
    assert versions(c.project) == {"ingest": "0.0.0", "worker": "0.0.0"}
    assert c.project.redis().fcall("tollgate_version", 0) == previous
    with Bookers(c, rate):
        begin = time.monotonic()
        time.sleep(seconds / 4)
        c.project.up("--no-deps", "worker")
        time.sleep(seconds / 8)
        c.project.up("--no-deps", "ingest")
        time.sleep(seconds / 8)
        c.project.up("--no-deps", "--force-recreate", "redis")
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
    c.project.wait_healthy()
    assert "0.0.0" not in versions(c.project).values()
    assert c.project.redis().fcall("tollgate_version", 0) == previous + 1
    refused = [row["sent_ms"] for row in c.fake.control("GET", "webhooks") if not 200 <= row["status"] < 300]
    gap_s = (max(refused) - min(refused)) / 1000 if refused else 0.0
    told = c.judge()
    print(f"{told}; ingest was away for {gap_s:.2f} s")
    assert told["bookings"] >= 0.9 * rate * seconds
    assert gap_s < (1 if full else 3), "full: on a machine that does nothing else"


def test_two_ingests_behind_a_proxy_refuse_nothing(club, previous, full):
    """The README's three commands."""
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (scripts/install-deps compose)")
    rate, seconds = (200, 30) if full else (50, 10)
    c = club(proxy=True, COMPOSE_PROFILES="gate,pair")
    c.open(TOLLGATE_TAG=PREVIOUS)
    c.project.wait_healthy("second-ingest")
    with Bookers(c, rate):
        begin = time.monotonic()
        time.sleep(1)
        c.project.up("--no-deps", "ingest")
        c.project.wait_healthy("ingest")
        c.project.up("--no-deps", "second-ingest")
        c.project.up()
        time.sleep(max(0.0, begin + seconds - time.monotonic()))
    for service in ("ingest", "second-ingest"):
        assert c.project.inspect(service)[0]["Config"]["Image"] == f"tollgate-ingest:{TAG}"
    told = c.judge()
    print(told)
    assert told["not acknowledged"] == 0 and told["bookings"] >= 0.9 * rate * seconds
