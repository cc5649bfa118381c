"""How it is served: headers, below a prefix of a proxy, fast."""

import re
import socket
import statistics
import subprocess
import time

import pytest
import requests

from browser import PAGES, TOKEN, Inline
from club import FIRST, NAMESPACE, member, seed
from conftest import CONSOLE
from harness import ROOT, free_port, http, wait_for

ALL = [*PAGES, f"booking?name={FIRST + 5}", f"member?account={member(5)}", "login", "nowhere"]
POLICY = {"default-src": "'none'", "style-src": "'self'", "script-src": "'self'", "img-src": "'self' data:", "connect-src": "'self'",
          "form-action": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'"}


def sign_in(session, base):
    reply = session.post(f"{base}/console/sign-in", data={"name": "hans", "secret": TOKEN, "to": "overview"},
                         headers={"Sec-Fetch-Site": "same-origin"}, timeout=10)
    assert reply.status_code == 200 and "Sign out" in reply.text
    return session


@pytest.fixture(scope="module")
def signed_in(club):
    """Signed in once: more than a few times a minute nobody is let in."""
    with sign_in(http(), club.ingest.admin) as session:
        yield session


@pytest.mark.parametrize("page", ALL)
def test_each_page_forbids_what_it_does_not_need(club, signed_in, page):
    reply = signed_in.get(f"{club.ingest.admin}/console/{page}", timeout=10, headers={"Connection": "close"})
    assert reply.status_code == (404 if page == "nowhere" else 200)
    given = dict(part.strip().split(" ", 1) for part in reply.headers["Content-Security-Policy"].split(";") if part.strip())
    assert given == POLICY
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in reply.headers["Cache-Control"]
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert not Inline(reply.text).found
    assert not re.search(r"""(href|src|action)="/""", reply.text), "a link that a prefix would break"


def test_style_and_script_are_in_the_program(club):
    for name, kind in (("console.css", "text/css"), ("console.js", "text/javascript")):
        reply = http().get(f"{club.ingest.admin}/console/{name}", timeout=10, headers={"Connection": "close"})
        assert reply.status_code == 200 and reply.headers["Content-Type"].startswith(kind)
        assert reply.text == (ROOT / "ingest" / "console" / "assets" / name).read_text()


# ---- Behind a proxy ----

NGINX = """
daemon off; pid nginx.pid; error_log error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  server {{
    listen 127.0.0.1:{port};
    location /club/gate/ {{
      proxy_pass http://{admin}/;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Prefix /club/gate;
    }}
  }}
}}
"""


@pytest.fixture
def proxy(club, tmp_path):
    """The address below which nginx serves the console."""
    port = free_port()
    (tmp_path / "nginx.conf").write_text(NGINX.format(port=port, admin=club.ingest.admin.removeprefix("http://")))
    (tmp_path / "tmp").mkdir(mode=0o777)
    tmp_path.chmod(0o755)
    with open(tmp_path / "out", "wb") as out:
        process = subprocess.Popen(["nginx", "-p", str(tmp_path), "-e", "error.log", "-c", "nginx.conf"], stdout=out, stderr=out)

    def is_open():
        assert process.poll() is None, (tmp_path / "out").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0
    try:
        wait_for(is_open, what="nginx")
        yield f"http://127.0.0.1:{port}/club/gate"
    finally:
        process.terminate()
        process.wait()


def test_below_a_prefix_every_step_stays_below_it(open_console, club, proxy):
    console = open_console(club.ingest)
    console.base = proxy
    console.forget()
    console.driver.get(proxy + "/")
    assert console.driver.current_url.startswith(proxy + "/console/login"), console.driver.current_url
    console.sign_in("pat")
    assert console.driver.current_url == proxy + "/console/overview"
    cookie = console.driver.get_cookie("tollgate_session")
    assert cookie["path"].rstrip("/") in ("/club/gate", "/club/gate/console"), cookie
    for name in PAGES:
        console.click(f"nav-{name}")
        assert console.driver.current_url.startswith(proxy + "/console/" + name)
    console.open(f"member?account={member(160)}")
    console.fill("grant-credits", "1")
    console.fill("grant-note", "by proxy")
    console.press("grant", "Grant")
    assert "1" in console.good() and console.driver.current_url.startswith(proxy + "/console/member?")
    console.open("attention?text=gave up")
    console.css("[data-pick]")[0].click()
    console.press("act", "Discard…")
    console.go(console.at("confirm-no").click)
    assert console.driver.current_url.startswith(proxy + "/console/attention")
    console.open("overview")
    wait_for(lambda: console.text("live") == "Live", what="live numbers through the proxy")
    console.click("sign-out")
    assert console.driver.current_url.startswith(proxy + "/console/login")


# ---- Fast ----

PATHS = ("decisions", "decisions?outcome=accept", "members", "attention")


def times(session, url, count=40):
    """Seconds of the quicker half: the machine does other things as well."""
    taken = []
    while len(taken) < count:
        began = time.perf_counter()
        try:
            reply = session.get(url, timeout=10)
        except requests.ConnectionError:  # a kept connection may close under the request
            continue
        taken.append(time.perf_counter() - began)
        assert reply.status_code == 200 and reply.text.count("<tr data-testid=") == 50, url
    return sorted(taken)[:count // 2]


def test_fifty_rows_take_less_than_20_ms_however_many_bookings(club, signed_in, house):
    """Both stores in one run, in turn, so that a busy machine is busy for both."""
    server = house.redis()
    seed(server.client(), bookings=2000)
    small = house.ingest(server.url, NAMESPACE, **CONSOLE).wait_ready()
    with sign_in(http(), small.admin) as of_small:
        for path in PATHS:
            pairs = [(times(of_small, f"{small.admin}/console/{path}"), times(signed_in, f"{club.ingest.admin}/console/{path}"))
                     for _ in range(2)]
            few, many = (statistics.median(sum(halves, [])) * 1000 for halves in zip(*pairs))
            print(f"{path}: {few:.1f} ms with 2 000 bookings, {many:.1f} ms with 100 000")
            assert many < 20, f"{path}: {many:.1f} ms"
            assert many < 2 * few + 2, f"{path}: {few:.1f} ms with 2 000 bookings, {many:.1f} ms with 100 000"
