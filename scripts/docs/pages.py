"""A page of Markdown, as far as the checks need it: its headings, its links,
what stands in inline code, and the lines of its code blocks."""

import re
from bisect import bisect_right
from dataclasses import dataclass

FENCE = re.compile(r"^\s*(```+|~~~+)")
HEADING = re.compile(r"^#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
# As many backticks behind the code as before it; a blank line ends a paragraph, and any code.
SPAN = re.compile(r"(?<!`)(`+)(?!`)((?:(?!\n[ \t]*\n).)+?)(?<!`)\1(?!`)", re.DOTALL)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|^[ \t]*\[[^\]]+\]:[ \t]*(\S+)", re.MULTILINE)


@dataclass
class Span:
    """Inline code."""

    text: str
    line: int
    # What stands between the span before and this one, runs of white space as one space.
    between: str
    in_table: bool
    # The heading that it stands under; "" before the first one.
    heading: str
    # Whether it is the first span under that heading.
    opens_section: bool


class Page:
    def __init__(self, place, text):
        self.place = place
        prose, self.code = without_code_blocks(text)
        prose = COMMENT.sub(blank, prose)
        self._starts = [0] + [found.end() for found in re.finditer("\n", prose)]
        self._headings = [(found.start(), found.group(1)) for found in HEADING.finditer(prose)]
        self.anchors = anchors(heading for _, heading in self._headings)
        self.spans = list(self._spans(prose))
        # A link's text may be code; its target is not.
        self.links = [
            (self._line(found.start()), found.group(1) or found.group(2))
            for found in LINK.finditer(SPAN.sub(blank, prose))
        ]

    def _line(self, offset):
        return bisect_right(self._starts, offset)

    def _spans(self, prose):
        end, section = 0, None
        for found in SPAN.finditer(prose):
            start = found.start()
            number = bisect_right(self._headings, (start, "\U0010ffff"))
            first = self._starts[self._line(start) - 1]
            yield Span(
                text=" ".join(found.group(2).split()),
                line=self._line(start),
                between=re.sub(r"\s+", " ", prose[end:start]),
                in_table=prose[first:start].lstrip().startswith("|"),
                heading=self._headings[number - 1][1] if number else "",
                opens_section=number != section,
            )
            end, section = found.end(), number


def blank(found):
    """Spaces in place of a match, so that offsets and lines stay."""
    return re.sub(r"[^\n]", " ", found.group())


def without_code_blocks(text):
    """The text with its code blocks blanked, and their lines with their numbers."""
    prose, code, fence = [], [], None
    for number, line in enumerate(text.split("\n"), start=1):
        mark = FENCE.match(line)
        if fence is None and mark:
            fence = mark.group(1)
            line = ""
        elif fence is not None:
            if mark and mark.group(1).startswith(fence) and not line.strip(" \t`~"):
                fence = None
            else:
                code.append((number, line))
            line = ""
        prose.append(line)
    return "\n".join(prose), code


def anchors(headings):
    """The anchors that GitHub gives to headings, in their order."""
    taken, found = {}, set()
    for heading in headings:
        # A link counts by its text, code and emphasis without their marks.
        heading = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        heading = re.sub(r"[`*]", "", heading)
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        count = taken.get(anchor, 0)
        taken[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found
