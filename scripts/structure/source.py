"""Reads Rust sources: which module uses which, and what each defines."""

import re
from dataclasses import dataclass, field
from pathlib import Path

TOKEN = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/                       # comments
  | b?r(\#*)".*?"\1                            # raw strings
  | b?"(?:\\.|[^"\\])*"                        # strings
  | b?'(?:\\.[^']*|[^'\\])'                    # characters, not lifetimes
    """,
    re.X | re.S,
)
USE = re.compile(r"\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);")
PATH = re.compile(r"\b(?:crate|self|super)(?:::[A-Za-z_]\w*)+")
TEST_ONLY = re.compile(r"#\[cfg\((?:any\()?test\b[^\]]*\]")
TYPE = re.compile(r"^(?:pub(?:\([^)]*\))?\s+)?(?:unsafe\s+)?(?:struct|enum|trait|type|union)\s+([A-Z]\w*)", re.M)
FUNCTION = re.compile(r"\bfn\s+([a-z_]\w*)")


@dataclass
class Module:
    """A file of a crate: its path in the crate, and what it uses and defines."""

    name: tuple
    file: Path
    code: str
    uses: dict = field(default_factory=dict)
    """Names that `use` brings in: name to the path behind it."""
    paths: list = field(default_factory=list)
    """Every path that the file names, as tuples from the crate's root."""

    def types(self):
        return TYPE.findall(self.code)

    def functions(self):
        """Each function's name and its lines of code, without blank ones."""
        for match in FUNCTION.finditer(self.code):
            opening = body(self.code, match.end())
            if opening is not None:
                text = self.code[match.start() : closing(self.code, opening) + 1]
                yield match.group(1), sum(1 for line in text.splitlines() if line.strip())


@dataclass
class Crate:
    folder: str
    modules: dict


def blank(text):
    """The text as blanks, line for line."""
    return re.sub(r"[^\n]", " ", text)


def code_of(text):
    """A source without comments, strings and what only tests see."""
    code = TOKEN.sub(lambda match: blank(match.group()), text)
    while match := TEST_ONLY.search(code):
        end = item_end(code, match.end())
        code = code[: match.start()] + blank(code[match.start() : end]) + code[end:]
    return code


def closing(code, opening):
    """Where the brace that opens there is closed."""
    depth = 0
    for index in range(opening, len(code)):
        if code[index] == "{":
            depth += 1
        elif code[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    return len(code) - 1


def item_end(code, start):
    """The end of the item that begins there: its semicolon or closing brace."""
    for index in range(start, len(code)):
        if code[index] == ";":
            return index + 1
        if code[index] == "{":
            return closing(code, index) + 1
    return len(code)


def body(code, start):
    """Where the function's body opens; none where it has no body."""
    depth = 0
    for index in range(start, len(code)):
        char = code[index]
        if char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == "{" and depth == 0:
            return index
        elif char == ";" and depth == 0:
            return None
    return None


def leaves(tree):
    """The paths of a use tree, each with the name that it brings in."""
    tree = tree.strip()
    if tree.endswith("}"):
        prefix, _, inner = tree.partition("{")
        depth, part = 0, ""
        for char in inner[:-1] + ",":
            if char == "," and depth == 0:
                if part.strip():
                    for path, name in leaves(prefix.strip() + part.strip()):
                        yield path, name
                part = ""
                continue
            depth += (char == "{") - (char == "}")
            part += char
        return
    path, _, alias = tree.partition(" as ")
    steps = tuple(step.strip() for step in path.split("::") if step.strip())
    if steps and steps[-1] == "self":
        steps = steps[:-1]
    if steps:
        yield steps, (alias.strip() or steps[-1])


def absolute(module, steps, children):
    """A path from the crate's root; none where it leads out of the crate."""
    if steps[0] == "crate":
        return steps[1:]
    if steps[0] == "self":
        return module + steps[1:]
    here = module
    if steps[0] == "super":
        while steps and steps[0] == "super":
            here, steps = here[:-1], steps[1:]
        return here + steps
    return module + steps if module + steps[:1] in children else None


def read(root):
    """The modules of a crate, by their paths."""
    modules = {}
    for file in sorted(root.rglob("*.rs")):
        parts = file.relative_to(root).with_suffix("").parts
        if "tests" in parts or parts[0] == "bin" or parts[-1] in ("testing", "main"):
            continue
        if parts[-1] in ("lib", "mod"):
            parts = parts[:-1]
        modules[parts] = Module(parts, file, code_of(file.read_text(encoding="utf-8")))
    alone = [name for name in modules if test_only(modules, name)]
    for name in alone:
        del modules[name]
    for module in modules.values():
        link(module, modules)
    return modules


def test_only(modules, name):
    """Whether nobody declares the module, or a test build alone does."""
    for depth in range(1, len(name) + 1):
        parent, own = modules.get(name[: depth - 1]), name[depth - 1]
        if parent and not re.search(rf"\bmod\s+{own}\b", parent.code):
            return True
    return False


def link(module, modules):
    rest = module.code
    for match in USE.finditer(module.code):
        for steps, name in leaves(" ".join(match.group(2).split())):
            path = absolute(module.name, steps, modules)
            if path is not None:
                module.uses[name] = path
                module.paths.append(path)
        rest = rest.replace(match.group(), blank(match.group()), 1)
    for match in PATH.finditer(rest):
        path = absolute(module.name, tuple(match.group().split("::")), modules)
        if path is not None:
            module.paths.append(path)
    # `store::open()`, where the module itself or a `use` names `store`.
    for match in re.finditer(r"(?<![:\w])([a-z_]\w*)::[A-Za-z_]", rest):
        name = match.group(1)
        if module.name + (name,) in modules:
            module.paths.append(module.name + (name,))


def crates(root):
    """Every crate of the services and of what they share."""
    found = []
    for home in ("services", "shared"):
        for manifest in sorted((root / home).glob("*/Cargo.toml")):
            folder = manifest.parent
            found.append(Crate(folder.relative_to(root).as_posix(), read(folder / "src")))
    return found
