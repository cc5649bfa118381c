"""What the demo prints on: colour and box drawing where the terminal takes them, plain text elsewhere."""

import locale
import os
import sys
import textwrap

COLOURS = {"green": "32", "red": "31", "bold": "1", "dim": "2"}
PLAIN = {"→": "->", "…": "...", "–": "-"}
UTF8_BOX = {"line": "─", "bar": "│", "top": "┌┬┐", "middle": "├┼┤", "bottom": "└┴┘"}
ASCII_BOX = {"line": "-", "bar": "|", "top": "+++", "middle": "+++", "bottom": "+++"}
VERDICT_COLOURS = {"accept": "green", "accepted": "green", "reject": "red", "rejected": "red"}


class Paper:
    def __init__(self) -> None:
        try:
            locale.setlocale(locale.LC_CTYPE, "")
        except locale.Error:
            pass  # named, but not installed here: plain text
        self.utf8 = locale.nl_langinfo(locale.CODESET).upper() == "UTF-8"
        self.colour = (sys.stdout.isatty() and not os.environ.get("NO_COLOR")
                       and os.environ.get("TERM", "dumb") != "dumb")
        sys.stdout.reconfigure(encoding="utf-8" if self.utf8 else "ascii", errors="replace",
                               line_buffering=True)

    def paint(self, text: str, colour: str) -> str:
        return f"\033[{COLOURS[colour]}m{text}\033[0m" if self.colour else text

    def verdict(self, text: str) -> str:
        """`text`, perhaps padded, in the colour of what it says."""
        colour = VERDICT_COLOURS.get(text.strip())
        return self.paint(text, colour) if colour else text

    def plain(self, text: str) -> str:
        """`text` as far as this terminal can show it."""
        if not self.utf8:
            for fancy, plain in PLAIN.items():
                text = text.replace(fancy, plain)
        return text

    def say(self, text: str = "") -> None:
        print(self.plain(text))

    def title(self, text: str) -> None:
        self.say()
        self.say(self.paint(text, "bold"))

    def table(self, heads: list[str], rows: list[list[str]], wide: int) -> None:
        """At most 100 columns: cells of column `wide` are broken into lines, the others never."""
        rows = [[self.plain(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *rows)]
        rest = sum(widths) - widths[wide] + 3 * len(heads) + 1
        widths[wide] = min(widths[wide], 100 - rest)
        box = UTF8_BOX if self.utf8 else ASCII_BOX

        self._rule(box, "top", widths)
        self._row(box, [self.paint(head.ljust(width), "bold") for head, width in zip(heads, widths)])
        self._rule(box, "middle", widths)
        for row in rows:
            lines = textwrap.wrap(row[wide], widths[wide]) or [""]
            for number, line in enumerate(lines):
                cells = list(row) if number == 0 else [""] * len(row)
                cells[wide] = line
                self._row(box, [self.verdict(cell.ljust(width)) for cell, width in zip(cells, widths)])
        self._rule(box, "bottom", widths)

    def _rule(self, box: dict[str, str], place: str, widths: list[int]) -> None:
        left, cross, right = box[place]
        self.say(left + cross.join(box["line"] * (width + 2) for width in widths) + right)

    def _row(self, box: dict[str, str], cells: list[str]) -> None:
        bar = box["bar"]
        self.say(f"{bar} " + f" {bar} ".join(cells) + f" {bar}")
