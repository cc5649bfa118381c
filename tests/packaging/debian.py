"""`make deb-test`: the Debian package is built, judged by lintian, installed and used on each release that it
is for, under a systemd of its own. Not among the tests of `make packaging`: it needs a Docker engine, Debian's
mirror and some minutes.
"""

import hmac
import io
import json
import re
import subprocess
import tarfile
import warnings

import pytest

import harness
from conftest import ROOT

# Each with what its lintian is told. Debian 12's asks for a script for another init, at the level of an information:
# how many workers run is systemd's to know.
RELEASES = {"bookworm": "--suppress-tags package-supports-alternative-init-but-no-init.d-script", "trixie": ""}
NAME = "tollgate-deb-test"
FAKE = "127.0.0.1:8999"
ANN = "ann@example.com"

# What the package needs comes before what changes with each commit: the engine keeps it.
DOCKERFILE = """
FROM {base} AS build
COPY scripts/deploy/debian/control /control
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends build-essential lintian && \\
    DEBIAN_FRONTEND=noninteractive apt-get satisfy -y --no-install-recommends \\
    "$(sed -n '/^Build-Depends:/,/^[^ ]/{{s/^Build-Depends://;/^[^ ]/d;p}}' /control | tr -d '\\n')"
COPY . /src
WORKDIR /src
RUN make deb
RUN lintian {lintian} --allow-root --display-info --pedantic --fail-on error,warning,info,pedantic build/deb/*.changes
RUN make build/release/fake-calcom

FROM {base}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \\
    systemd systemd-sysv dbus redis-server curl
COPY --from=build /src/build/deb/tollgate_*.deb /tollgate.deb
RUN DEBIAN_FRONTEND=noninteractive apt-get satisfy -y --no-install-recommends "$(dpkg-deb -f /tollgate.deb Depends)"
COPY --from=build /src/build/release/fake-calcom /usr/local/bin/
CMD ["/sbin/init"]
"""


def docker(*command, **options):
    done = subprocess.run(["docker", *command], capture_output=True, timeout=900, **options)
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")[-4000:]
    return done.stdout.decode(errors="replace")


def base_image(release):
    """Debian's image; made by debootstrap where it cannot be pulled."""
    image = f"debian:{release}-slim"
    for command in (["inspect"], ["pull", "--quiet"]):
        if subprocess.run(["docker", "image", *command, image], capture_output=True, timeout=120).returncode == 0:
            return image
    image = f"{NAME}:{release}-base"
    if subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode != 0:
        subprocess.run(f"""set -e; root=$(mktemp -d); debootstrap --variant=minbase {release} "$root/root" >"$root/log" ||
            {{ tail -n 5 "$root/log"; exit 1; }}; tar -C "$root/root" -c . | docker import - {image}; rm -rf "$root" """,
                       shell=True, check=True)
    return image


def source():
    """The repository as it would be committed, as a context for the engine."""
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True).stdout.decode().split("\0")
    return [name for name in names if name and (ROOT / name).exists()]


def build_image(release):
    context = io.BytesIO()
    dockerfile = DOCKERFILE.format(base=base_image(release), lintian=RELEASES[release]).encode()
    # The engine knows a tar by its first block, which of a newer format is a header to the header.
    with tarfile.open(fileobj=context, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in source():
            if name not in ("Dockerfile", ".dockerignore"):
                tar.add(ROOT / name, arcname=name)
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        tar.addfile(entry, io.BytesIO(dockerfile))
    image = f"{NAME}:{release}"
    docker("build", "--quiet", "--label", f"project={NAME}", "--tag", image, "-", input=context.getvalue())
    return image


class Machine:
    """A host of one release with a systemd, no network but its loopback, and no Tollgate yet."""

    def __init__(self, image):
        # What systemd needs to set up cgroups, and the name spaces of units; not --privileged, which wants more than
        # some engines may give. The variable lets Debian 13's systemd run where cgroups are of version 1.
        self.name = docker(
            "run", "--detach", "--tty", "--label", f"project={NAME}", "--network", "none", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN",
            "--cap-add", "SYS_PTRACE",
            "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
            "--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup", "--tmpfs", "/run", "--tmpfs", "/run/lock",
            "--tmpfs", "/tmp", "--env", "container=docker", "--env", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1", image).strip()

    def end(self):
        docker("rm", "--force", self.name)

    def try_sh(self, command):
        return subprocess.run(["docker", "exec", self.name, "sh", "-c", command], capture_output=True, text=True, timeout=120)

    def sh(self, command):
        done = self.try_sh(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}\n" + self.journal()
        return done.stdout

    def journal(self):
        """All of it: the last words of a process that ended at once are not always known as its unit's."""
        return self.try_sh("journalctl --no-pager --lines 80").stdout

    def until(self, command, what):
        try:
            harness.wait_for(lambda: self.try_sh(command).returncode == 0, what=what, every=0.2, timeout=60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal()}") from None

    def set(self, **settings):
        for name, value in settings.items():
            self.sh(f"sed -i 's|^#*{name}=.*|{name}={value}|' /etc/tollgate/tollgate.env")

    def process(self, unit):
        return int(self.sh(f"systemctl show --property MainPID --value {unit}"))


@pytest.fixture(scope="module", params=RELEASES)
def machine(request):
    image = build_image(request.param)
    machine = Machine(image)
    machine.until("systemctl is-system-running", "the boot")
    yield machine
    machine.end()


def is_installed_and_starts_nothing(machine):
    machine.sh("dpkg --install /tollgate.deb")
    assert machine.try_sh("systemctl is-enabled tollgate-ingest").stdout == "disabled\n"
    assert machine.sh("systemctl list-units --plain --no-legend 'tollgate-*.service'") == ""
    assert machine.sh("stat -c '%A %U %G' /etc/tollgate /etc/tollgate/tollgate.env") == (
        "drwxr-x--- root tollgate\n-rw-r----- root tollgate\n")


def names_what_is_missing(machine):
    assert machine.try_sh("systemctl start tollgate-ingest").returncode != 0
    machine.until("journalctl --no-pager | grep -q 'WEBHOOK_SECRET is not set'", "a word about what is missing")
    machine.sh("systemctl stop tollgate-ingest; systemctl reset-failed")


def book(machine):
    """Books as a member does, and waits until it is settled."""
    booked = json.loads(machine.sh(f"curl -s {FAKE}/control/book -d '{{\"email\": \"{ANN}\"}}'"))
    machine.until(f"tollgate-explain {booked['id']} | grep -q accepted && "
                  f"curl -s '{FAKE}/control/bookings?id={booked['id']}' | grep -q ACCEPTED", "the booking's yes")


def settles_bookings(machine):
    machine.sh(f"systemd-run --unit fake-calcom fake-calcom --listen {FAKE} --webhook-url http://127.0.0.1:8080/webhook "
               f"--secret {harness.SECRET} --api-key {harness.API_KEY} --event-type 1207:requires-confirmation")
    machine.set(WEBHOOK_SECRET=harness.SECRET, CALCOM_API_URL=f"http://{FAKE}/v2", CALCOM_API_KEY=harness.API_KEY)
    machine.sh("systemctl enable --now tollgate-ingest tollgate-worker@1 tollgate-worker@2")
    for port in (9464, 9465):
        machine.until(f"curl -sf 127.0.0.1:{port}/readyz", f"port {port}")
    machine.sh(f"tollgate-credit grant {ANN} 9")
    book(machine)


def is_confined(machine):
    for unit in ("tollgate-ingest", "tollgate-worker@2"):
        status = machine.sh(f"cat /proc/{machine.process(unit)}/status")
        uids = set(re.search(r"^Uid:\s+(.*)$", status, re.M).group(1).split())
        assert uids.isdisjoint({"0"}) and len(uids) == 1
        for name, value in (("CapEff", "0" * 16), ("CapBnd", "0" * 16), ("NoNewPrivs", "1"), ("Seccomp", "2")):
            assert re.search(rf"^{name}:\s+{value}$", status, re.M), (unit, name, status)


def spools(machine):
    """What came while Redis was away is settled, also when ingest was restarted, as another user, in between."""
    machine.sh("systemctl stop redis-server")
    booked = json.loads(machine.sh(f"curl -s {FAKE}/control/book -d '{{\"email\": \"{ANN}\"}}'"))
    machine.sh("systemctl restart tollgate-ingest")
    machine.sh("test -s /var/lib/tollgate/spool/spool.db && systemctl start redis-server")
    machine.until(f"curl -s '{FAKE}/control/bookings?id={booked['id']}' | grep -q ACCEPTED", "the spooled booking's yes")


def is_up(machine):
    machine.until("curl -sf 127.0.0.1:9464/readyz && curl -sf 127.0.0.1:9465/readyz", "a start")
    for unit in ("tollgate-ingest", "tollgate-worker@1"):
        environment = machine.sh(f"cat /proc/{machine.process(unit)}/environ")
        assert harness.SECRET not in environment and harness.API_KEY not in environment
    book(machine)


SECRETS = [("WEBHOOK_SECRET", "webhook-secret", harness.SECRET), ("CALCOM_API_KEY", "calcom-api-key", harness.API_KEY)]


def takes_secrets_from_files(machine):
    """Which the group may read, and a reload reads anew."""
    for name, file, value in SECRETS:
        machine.sh(f"umask 077; echo {value} >/etc/tollgate/{file}; chgrp tollgate /etc/tollgate/{file}; "
                   f"chmod 640 /etc/tollgate/{file}; sed -i 's|^{name}=.*|{name}_FILE=/etc/tollgate/{file}|' /etc/tollgate/tollgate.env")
    machine.sh("systemctl restart tollgate.target")
    is_up(machine)
    before = machine.process("tollgate-ingest")
    machine.sh(f"echo another,{harness.SECRET} >/etc/tollgate/webhook-secret; systemctl reload tollgate-ingest tollgate-worker@1")
    signature = hmac.new(b"another", b"{}", "sha256").hexdigest()
    machine.until(f"curl -s -o /dev/null -w '%{{http_code}}' 127.0.0.1:8080/webhook -H 'X-Cal-Signature-256: {signature}' "
                  "-d '{}' | grep -q 400", "the new secret")
    assert machine.process("tollgate-ingest") == before


def takes_credentials(machine):
    """Root's files; not where this engine's containers cannot hand out any credential, whatever the unit."""
    machine.sh("chown root:root /etc/tollgate/webhook-secret /etc/tollgate/calcom-api-key")
    machine.sh("chmod 600 /etc/tollgate/webhook-secret /etc/tollgate/calcom-api-key; sed -i '/_FILE=/d' /etc/tollgate/tollgate.env")
    for unit, name in (("tollgate-ingest.service", "ingest"), ("tollgate-worker@.service", "worker")):
        machine.sh(f"mkdir -p /etc/systemd/system/{unit}.d && cp /usr/share/doc/tollgate/examples/credentials-{name}.conf "
                   f"/etc/systemd/system/{unit}.d/credentials.conf")
    machine.sh("systemctl daemon-reload && systemctl restart tollgate.target")
    is_up(machine)


def can_hand_out_credentials(machine):
    return machine.try_sh("systemd-run --quiet --wait --pipe --property User=redis --property LoadCredential=it:/etc/shadow "
                          "sh -c 'cat $CREDENTIALS_DIRECTORY/it'").returncode == 0


def is_upgraded(machine):
    units = ("tollgate-ingest", "tollgate-worker@1", "tollgate-worker@2")
    before = [machine.process(unit) for unit in units]
    machine.sh("dpkg --install /tollgate.deb")
    machine.until("systemctl is-active " + " ".join(units), "a restart with the new version")
    assert all(now not in (0, old) for old, now in zip(before, (machine.process(unit) for unit in units)))
    book(machine)


def is_removed(machine):
    machine.sh("dpkg --remove tollgate")
    assert machine.sh("systemctl list-units --plain --no-legend --state=active 'tollgate-*.service'") == ""
    assert machine.try_sh("pgrep -x 'tollgate-.*'").stdout == ""
    machine.sh("rm /etc/tollgate/webhook-secret /etc/tollgate/calcom-api-key && dpkg --purge tollgate")
    assert machine.sh("ls -d /etc/tollgate /usr/lib/tollgate /usr/bin/tollgate* "
                      "/etc/systemd/system/multi-user.target.wants/tollgate-* 2>/dev/null || true") == ""


def test_a_hosts_life(machine):
    is_installed_and_starts_nothing(machine)
    names_what_is_missing(machine)
    settles_bookings(machine)
    is_confined(machine)
    spools(machine)
    takes_secrets_from_files(machine)
    if can_hand_out_credentials(machine):
        takes_credentials(machine)
    else:
        warnings.warn("systemd cannot hand out credentials in this engine's containers: not tried")
    is_upgraded(machine)
    is_removed(machine)
