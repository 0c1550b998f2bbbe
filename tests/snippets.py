"""The snippets of README.md and of the documentation: fenced blocks of Python and of commands, as a
reader meets them.

A block is run as it stands unless the line before it says `<!-- not run: REASON -->`; then its
commands are still read by their own parsers.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?"
    r"^(?P<indent> *)```(?P<language>\w+)(?P<title>[^\n]*)\n(?P<text>.*?)\n(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)

LANGUAGES = ("python", "sh", "console", "text", "yaml")
"""What a block may be: `console` holds commands after `$` and what they print."""


@dataclass(frozen=True)
class Snippet:
    """A fenced block.

    Attributes:
      reason: why it is not run; empty where it is.
      file: the name that a reader saves it by, as its title says; empty for none.
    """

    language: str
    text: str
    reason: str = ""
    file: str = ""

    @property
    def commands(self) -> list[list[str]]:
        """Its lines as words, without the shell's own (`$`, comments, and what is no command)."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def snippets(text: str) -> list[Snippet]:
    """The fenced blocks of a page, in order."""
    return [
        Snippet(
            match["language"],
            match["text"],
            (match["reason"] or "").strip(),
            "".join(re.findall(r'title="([^"]+)"', match["title"])),
        )
        for match in _BLOCK.finditer(text)
    ]


def pages() -> dict[str, str]:
    """README and every written page of the documentation, by its place in the project."""
    written = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in written}


def python_block(page: str, holding: str) -> str:
    """The one Python block of a page that holds a text."""
    (found,) = [
        one.text
        for one in snippets((ROOT / page).read_text())
        if one.language == "python" and holding in one.text
    ]
    return found
