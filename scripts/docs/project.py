"""The project, as far as the documentation speaks of it: its files and crates,
the symbols in them, settings, values of the chart, and targets of make."""

import os
import re
from functools import cached_property, lru_cache
from pathlib import Path

from pages import Page

# What tools leave in a checkout.
NOT_OURS = {".git", "target", "node_modules", "__pycache__"}
DEFINED = r"\b(?:fn|struct|enum|trait|type|const|static|mod|macro_rules!)\s+{name}\b"
# From `impl … Type … {` to the brace that stands as far to the left.
BLOCK = (
    r"^(?P<indent>[ \t]*)(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(?:impl|enum|trait)\b[^;{{]*\b{owner}\b[^;{{]*"
    r"\{{(?P<body>.*?)^(?P=indent)\}}"
)
MEMBER = r"(?:\b(?:fn|const|type)\s+{name}\b|^\s*{name}\s*(?:[,({{=]|$))"


class Project:
    def __init__(self, root):
        self.root = Path(root)
        self.files = set()
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if name not in NOT_OURS]
            self.files |= {(Path(folder) / name).relative_to(self.root).as_posix() for name in files}
        self.folders = {parent.as_posix() for file in self.files for parent in Path(file).parents} - {"."}
        self.folder_names = {Path(folder).name for folder in self.folders}
        self.top = {folder for folder in self.folders if "/" not in folder}
        self.crates = frozenset(
            Path(file).parent.as_posix()
            for file in self.files
            if file.endswith("/Cargo.toml") and "[package]" in self.text(file)
        )
        self.shared_crates = frozenset(crate for crate in self.crates if crate.startswith("shared/"))

    @cached_property
    def pages(self):
        return {
            file: Page(file, self.text(file))
            for file in sorted(self.files)
            if file.endswith(".md")
        }

    @lru_cache(maxsize=None)
    def text(self, file):
        return (self.root / file).read_text(encoding="utf-8")

    def matches(self, name, anywhere=True):
        """The files and folders of that name: its whole path, or the end of one.

        `*` and `<anything>` stand for any part of a name.
        """
        pattern = "".join(
            "[^/]*" if part == "*" or part.startswith("<") else re.escape(part)
            for part in re.split(r"(\*|<[^>]*>)", name.rstrip("/"))
        )
        pattern = re.compile((r"(?:.*/)?" if anywhere else "") + pattern)
        return {place for place in self.files | self.folders if pattern.fullmatch(place)}

    def crates_of(self, places):
        """The crates that these files and folders belong to."""
        return {crate for crate in self.crates for place in places if place == crate or place.startswith(crate + "/")}

    @lru_cache(maxsize=None)
    def sources(self, crates):
        """The Rust files of these crates."""
        return {file for file in self.files if file.endswith(".rs") and self.crates_of([file]) & crates}

    def package(self, name):
        """The crate that code calls `name`, or None."""
        name = name.replace("_", "-")
        for crate in self.crates:
            if re.search(rf'^name\s*=\s*"{re.escape(name)}"', self.text(f"{crate}/Cargo.toml"), re.MULTILINE):
                return crate
        return None

    @lru_cache(maxsize=None)
    def defines(self, file, symbol):
        """Whether a source file defines `name`, or `Type::member`."""
        owner, _, name = symbol.rpartition("::")
        text = self.text(file)
        if not file.endswith(".rs"):
            return re.search(rf"\b{re.escape(name)}\b", text) is not None
        if not owner:
            return re.search(DEFINED.format(name=name), text) is not None
        blocks = re.finditer(BLOCK.format(owner=owner.rpartition("::")[2]), text, re.DOTALL | re.MULTILINE)
        member = re.compile(MEMBER.format(name=name), re.MULTILINE)
        return any(member.search(block.group("body")) for block in blocks)

    @cached_property
    def settings(self):
        """Every setting of any service and of the all-in-one: section to keys."""
        sections = {}
        for file in self.files:
            if file.startswith("docs/reference/") and file.endswith(".settings.md"):
                section = None
                for line in self.text(file).splitlines():
                    if heading := re.match(r"## `(\w+)`", line):
                        section = sections.setdefault(heading.group(1), set())
                    elif section is not None and (row := re.match(r"\| `(\w+)` \|", line)):
                        section.add(row.group(1))
            elif file == "docs/reference/tidemill.toml":
                section = None
                for line in self.text(file).splitlines():
                    if heading := re.fullmatch(r"\[(\w+)\]", line):
                        section = sections.setdefault(heading.group(1), set())
                    elif section is not None and (key := re.match(r"#?(\w+) = ", line)):
                        section.add(key.group(1))
        return sections

    def is_table(self, layer, name):
        """Whether the lake has a table, or makes one of a metric."""
        tables = "shared/lake/src/tables/"
        declared = {"bronze": tables, "silver": tables, "gold": "shared/batch-views/src/"}
        made = layer == "gold" and f"shared/definitions/metrics/{name}.yaml" in self.files
        folder = declared.get(layer)
        named = re.compile(rf'"(gold/)?{re.escape(name)}"')
        return made or bool(folder) and any(named.search(self.text(f)) for f in self.files if f.startswith(folder))

    @cached_property
    def variables(self):
        """Every variable of the environment that is a setting."""
        pages = [file for file in self.files if re.fullmatch(r"docs/reference/\w+\.settings\.md", file)]
        return {name for file in pages for name in re.findall(r"`(TIDEMILL_[A-Z0-9_]+)`", self.text(file))}

    @cached_property
    def values(self):
        """Every value of the chart, and every group of them, by the table in its README."""
        table = "helm/tidemill/README.md"
        rows = re.findall(r"^\| `([\w.]+)` \|", self.text(table), re.MULTILINE) if table in self.files else []
        parts = [row.split(".") for row in rows]
        return {".".join(part[:length]) for part in parts for length in range(1, len(part) + 1)}

    @cached_property
    def targets(self):
        return set(re.findall(r"^([a-z][a-z-]*):", self.text("Makefile"), re.MULTILINE))
