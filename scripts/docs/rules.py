"""The rules. Each takes a page, and yields the line and the words of every fault.

Code is what stands in backticks or in a code block.

1. Links. A relative link names a file or folder of the project, and its #anchor
   a heading of that page. Links to other sites are not followed.

2. Paths. `shared/events/src/message.rs`, which begins with a folder of the
   project's root, exists. `consumer.rs` and `store/read.rs` are the end of a
   path; on ARCHITECTURE.md in a crate that the section has named by then, by
   its heading (`Ingestion: …`) or by a whole path, elsewhere anywhere. `*` and
   `<name>` stand for anything. The reader's own files are left out: `<type>.json`,
   CSV files, and in commands all but whole paths.

3. Symbols. `file.rs` · `symbol` is defined in that file; further symbols follow
   with a comma or "and". `Type::member` and `tidemill_crate::item` exist
   somewhere, `other_crate::item` is not ours. On ARCHITECTURE.md `Type` does
   too, unless it stands in a table, where such words are headers and values;
   in a section with a crate of a service, other services' symbols do not count.
   A lone `function` is not told from any other word: name its file.

4. Settings. `section.key` is in docs/reference or among the values of the chart,
   if its first word is a section of either. Keys that follow a setting with a
   comma or "and" are of its section. So are variables, `TIDEMILL_SECTION__KEY`.

5. Targets. `make target` is in the Makefile.
"""

import posixpath
import re
from urllib.parse import unquote

WALK = "docs/ARCHITECTURE.md"
FILE = re.compile(r"[\w*<>.-]+\.(?:rs|py|js|css|toml|ya?ml|json|md|sh|sql|txt|lock|sum)")
PATH = re.compile(r"[\w.*@-][\w.*@<>-]*(?:/[\w.*@<>-]+)*/?")
SYMBOL = re.compile(r"[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*")
TYPE = re.compile(r"(?:[A-Z][a-z0-9]+)+")
SETTING = re.compile(r"([a-z]\w*)((?:\.(?:\w+|<\w+>))+)(?:\s*[=:].*)?")
KEY = re.compile(r"[a-z]\w*")
VARIABLE = re.compile(r"\b(TIDEMILL_[A-Z]+(?:_[A-Z]+)*__[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*)")
TARGET = re.compile(r"(?:^|[\s;&|(])make +([a-z][a-z-]*)")
# How a list goes on.
GOES_ON = {", ", " and ", ", and "}


def links(project, page):
    for line, target in page.links:
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(page.place), path)) if path else page.place
        if place != "." and place not in project.files and place not in project.folders:
            yield line, f"there is no {path}"
        elif anchor and place in project.pages and anchor not in project.pages[place].anchors:
            yield line, f"{place} has no heading #{anchor}"


def is_end_of_path(project, text):
    first, slash, _ = text.partition("/")
    last = text.rpartition("/")[2]
    return FILE.fullmatch(last) or (slash and "." not in last and first in project.folder_names)


def named_places(project, page):
    """Every span that is a path, with the files and folders that it may mean and
    the crates that its section has named by then; other spans with None."""
    crates = set()
    for span in page.spans:
        if span.opens_section:
            heading = re.match(r"([A-Z][a-z-]*):", span.heading)
            crates = {crate for crate in project.crates if heading and crate.endswith("/" + heading.group(1).lower())}
        places = None
        if PATH.fullmatch(span.text):
            first, slash, _ = span.text.partition("/")
            if slash and first in project.top:
                places = project.matches(span.text, anywhere=False)
                crates |= project.crates_of(places)
            elif is_end_of_path(project, span.text):
                places = project.matches(span.text)
                if page.place == WALK and crates:
                    places = {place for place in places if project.crates_of([place]) & crates}
        yield span, places, frozenset(crates)


def paths(project, page):
    for span, places, crates in named_places(project, page):
        if places is not None and not places:
            whole = span.text.partition("/")[0] in project.top
            where = f" in {', '.join(sorted(crates))}" if crates and not whole and page.place == WALK else ""
            yield span.line, f"there is no {span.text}{where}"
    commands = [(span.line, span.text) for span in page.spans if " " in span.text]
    for line, text in commands + page.code:
        for word in re.split(r"""[\s"'()\[\]{},;=`]+""", text):
            word = word.removeprefix("./")
            if PATH.fullmatch(word) and "/" in word and word.partition("/")[0] in project.top:
                if not project.matches(word, anywhere=False):
                    yield line, f"there is no {word}"


def symbols(project, page):
    # The last path, the files that it may mean, and whether symbols of it follow.
    path, files, listed = None, None, False
    for span, places, crates in named_places(project, page):
        if places is not None:
            path, files, listed = span.text, places & project.files, False
            continue
        if files is not None and SYMBOL.fullmatch(span.text):
            if span.between == " · " or (listed and span.between in GOES_ON):
                listed = True
                if files and not any(project.defines(file, span.text) for file in files):
                    yield span.line, f"{path} defines no {span.text}"
                continue
        files = None
        if not SYMBOL.fullmatch(span.text):
            continue
        owner = span.text.partition("::")[0]
        if owner.startswith("tidemill_") and owner != span.text:
            crate = project.package(owner)
            sources = project.sources(frozenset({crate})) if crate else set()
            symbol = span.text.rpartition("::")[2]
        elif TYPE.fullmatch(owner) and (owner != span.text or (page.place == WALK and not span.in_table)):
            services = crates - project.shared_crates if page.place == WALK else frozenset()
            sources = project.sources(services | project.shared_crates if services else project.crates)
            symbol = span.text
        else:
            continue
        if not any(project.defines(file, symbol) for file in sources):
            yield span.line, f"{span.text} is not defined"


def settings(project, page):
    section = None
    for span in page.spans:
        found = SETTING.fullmatch(span.text)
        if found and not FILE.fullmatch(span.text):
            first, rest = found.group(1), found.group(2)
            section = first if first in project.settings else None
            key = rest.removeprefix(".")
            value = re.sub(r"^services\.<\w+>", "serviceDefaults", first + rest)
            if section and key in project.settings[section] or value in project.values:
                continue
            if project.is_table(first, key.partition(".")[0]):
                section = None
                continue
            if section or first in project.values:
                yield span.line, f"there is no setting {first}{rest}"
        elif section and span.between in GOES_ON and KEY.fullmatch(span.text):
            if span.text not in project.settings[section] and span.text not in project.settings:
                yield span.line, f"there is no setting {section}.{span.text}"
        else:
            section = None
    for line, text in [(span.line, span.text) for span in page.spans] + page.code:
        for name in VARIABLE.findall(text):
            if name not in project.variables and name.removesuffix("_FILE") not in project.variables:
                yield line, f"there is no variable {name}"


def targets(project, page):
    for line, text in [(span.line, span.text) for span in page.spans] + page.code:
        for target in TARGET.findall(text):
            if target not in project.targets:
                yield line, f"make has no target {target}"


RULES = (links, paths, symbols, settings, targets)


def faults(project):
    for page in project.pages.values():
        found = {fault for rule in RULES for fault in rule(project, page)}
        for line, what in sorted(found):
            yield f"{page.place}:{line}: {what}"
