"""What the demo asks Redis and the fake Cal.com."""

import json
import subprocess
import urllib.error
import urllib.request
from typing import Any

from waiting import Trouble


class Asking:
    """Where both are. A port of 0 and an empty URL: not known yet."""

    def __init__(self, redis_host: str, redis_port: int, calcom_url: str, api_key: str) -> None:
        self.redis_host = redis_host
        self.redis_port = redis_port
        self.calcom_url = calcom_url
        self.api_key = api_key
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def _cli(self, *arguments: str) -> list[str]:
        return ["redis-cli", "-h", self.redis_host, "-p", str(self.redis_port), *arguments]

    def redis(self, *arguments: str) -> list[str]:
        """A command's answer, line by line."""
        answer = subprocess.run(self._cli("-e", *arguments), capture_output=True, text=True,
                                stdin=subprocess.DEVNULL, start_new_session=True)
        if answer.returncode != 0:
            raise Trouble(f"redis-cli {' '.join(arguments)}: {answer.stdout}{answer.stderr}".strip())
        return answer.stdout.splitlines()

    def redis_hash(self, key: str) -> dict[str, str]:
        """As JSON: a value may have several lines, as a booking's calls do."""
        return json.loads("\n".join(self.redis("--json", "HGETALL", key)))

    def calcom(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(self.calcom_url + path, method=method, headers={
            "Authorization": f"Bearer {self.api_key}", "cal-api-version": "2024-08-13",
            "Content-Type": "application/json"})
        if body is not None:
            request.data = json.dumps(body).encode()
        try:
            with self.opener.open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Trouble(f"Cal.com: {method} {path}: {error.code} {error.read().decode()}") from None
        except OSError as error:
            raise Trouble(f"Cal.com: {method} {path}: {error}") from None
