"""An authority of our own and certificates for servers, made with the openssl command."""

import subprocess
from pathlib import Path
from typing import List

NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def _openssl(*arguments: object) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Authority:
    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder, self.name = folder, name
        self.certificate = folder / f"{name}.crt"  # what a client has to trust
        _openssl("req", "-x509", *NEW_KEY, "-days", 2, "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign",
                 "-keyout", self.folder / f"{name}.key", "-out", self.certificate)

    def issue(self, name: str, alternatives: str, days: int = 2) -> List[Path]:
        """A certificate and its key. alternatives: "DNS:localhost,IP:127.0.0.1"; days: 0 for one that is over."""
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={alternatives}\nauthorityKeyIdentifier=keyid\n")
        _openssl("req", "-new", *NEW_KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        _openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.folder / f"{self.name}.key",
                 "-CAcreateserial", "-days", days, "-extfile", extensions, "-out", certificate)
        return [certificate, key]
