"""Reads a line of the programs' log."""

import json
import re
from typing import Dict

LOGFMT = re.compile(r'([^\s="]+)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')


def parse_logfmt(line: str) -> Dict[str, str]:
    fields = {}
    for name, quoted, plain in LOGFMT.findall(line):
        # The log escapes as JSON does.
        fields[name] = json.loads(f'"{quoted}"', strict=False) if quoted else plain
    return fields
