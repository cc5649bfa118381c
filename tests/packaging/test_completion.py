"""Completion as it is installed, in a real bash and a real zsh with somebody at the keyboard."""

import os
import pty
import re
import select
import subprocess
import time

import pytest

WAIT_S = 15


class Shell:
    """One at a prompt `ready> `. `type` answers what it then shows of that line."""

    def __init__(self, command, setup, path):
        self.master, slave = pty.openpty()
        env = {"PATH": f"{path}:{os.environ['PATH']}", "TERM": "dumb", "HOME": "/nonexistent", "LANG": "C.UTF-8", "COLUMNS": "200"}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True)
        os.close(slave)
        self.send(setup + "; echo se''t-up\n")
        self.read_until("set-up\r\n")

    def send(self, text):
        os.write(self.master, text.encode())

    def read_until(self, text="", quiet_s=None):
        """Until this text comes, or nothing more for so long."""
        seen, end = "", time.monotonic() + WAIT_S
        while time.monotonic() < end:
            if select.select([self.master], [], [], quiet_s or 0.1)[0]:
                seen += os.read(self.master, 65536).decode(errors="replace")
            elif quiet_s:
                break
            if text and text in seen:
                return seen
        assert not text, f"{text!r} did not come, but {seen!r}"
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\x07|.\x08", "", seen)

    def complete(self, text, wanted):
        """What is shown after this was typed and TAB pressed twice; the line is then taken back."""
        self.send(text + "\t")
        seen, end = "", time.monotonic() + WAIT_S
        while time.monotonic() < end and not all(word in seen for word in wanted):
            seen += self.read_until(quiet_s=0.4)
            if not all(word in seen for word in wanted):
                self.send("\t")
        self.send("\x15\n")  # Ctrl-U: some shells ask whether to show many
        self.read_until(quiet_s=0.3)
        return seen

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture(params=["bash", "zsh"], scope="module")
def shell(request, installed):
    share, bin = installed.root / "usr/share", installed.root / "usr/bin"
    if request.param == "bash":
        files = " ".join(str(path) for path in sorted((share / "bash-completion/completions").iterdir()))
        one = Shell(["bash", "--norc", "--noprofile", "-i"], f"PS1='ready> '; for f in {files}; do . $f; done; "
                    "bind 'set page-completions off' 'set completion-query-items 0' 'set bell-style none'", bin)
    else:
        one = Shell(["zsh", "-f", "-i"], f"PS1='ready> '; fpath=({share}/zsh/site-functions $fpath); "
                    "autoload -U compinit; compinit -u -D; LISTMAX=9999; unsetopt beep", bin)
    yield one
    one.close()


@pytest.mark.parametrize("typed, wanted", [
    ("tollgate st", ["status "]),
    ("tollgate cre", ["credit "]),
    ("tollgate ", ["decisions", "doctor", "explain", "watch"]),
    ("tollgate credit grant-e", ["grant-each "]),
    ("tollgate credit history ann@example.com --mo", ["--month "]),
    ("tollgate queue list de", ["dead "]),
    ("tollgate decisions --outcome ", ["accept", "reject"]),
    ("tollgate help pol", ["policy "]),
    ("tollgate-credit hi", ["history "]),
    ("tollgate-queue requeue --re", ["--reason"]),
    ("tollgate-doctor --off", ["--offline "]),
    ("tollgate credit import /etc/hostn", ["/etc/hostname "]),
])
def test_completion(shell, typed, wanted):
    seen = shell.complete(typed, wanted)
    assert all(word in seen for word in wanted), seen
    assert "command not found" not in seen and "bad" not in seen


@pytest.mark.parametrize("folder, begins, shell_name", [("bash-completion/completions", "", "bash"), ("zsh/site-functions", "_", "zsh")])
def test_each_command_has_its_completion(installed, folder, begins, shell_name):
    names = {path.name for path in (installed.root / "usr/bin").iterdir()} - {"tollgate-ingest", "tollgate-worker"}
    files = {path.name: path for path in (installed.root / "usr/share" / folder).iterdir()}
    assert set(files) == {begins + name for name in names}
    for path in files.values():
        done = subprocess.run([shell_name, "-n", path], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
