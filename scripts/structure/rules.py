"""What the structure must keep to."""

from collections import defaultdict

# Names that play the same part in each crate that has one.
PARTS = {"Api", "Config", "Error", "Handle", "Stage", "Store", "Telemetry"}
FILE_LINES = 400
FUNCTION_LINES = 60


def home(modules, path, seen=()):
    """The module that defines what a path names; re-exports are followed."""
    for length in range(len(path), -1, -1):
        module = modules.get(path[:length])
        if module is None:
            continue
        if length < len(path):
            behind = module.uses.get(path[length])
            if behind and behind != path and behind not in seen:
                return home(modules, behind + path[length + 1 :], (*seen, path))
        return module.name
    return None


def arrows(modules):
    """Which modules each module uses. A parent that declares a child, or
    hands on its names, does not use it."""
    drawn = {name: set() for name in modules}
    for module in modules.values():
        handed_on = handed(module)
        for path in module.paths:
            target = home(modules, path)
            if target is None or target == module.name or path in handed_on:
                continue
            drawn[module.name].add(target)
    return drawn


def handed(module):
    """What `pub use` alone brings in, and nothing in the file names."""
    import source

    found = set()
    for match in source.USE.finditer(module.code):
        if not match.group(1):
            continue
        rest = source.re.sub(r"\bmod\s+\w+\s*;", "", module.code.replace(match.group(), "", 1))
        for steps, name in source.leaves(" ".join(match.group(2).split())):
            if not source.re.search(rf"\b{name}\b", rest):
                path = module.uses.get(name)
                if path:
                    found.add(path)
    return found


def circles(drawn):
    """Groups of modules that use each other (Tarjan's components)."""
    index, low, stack, groups = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(drawn[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while True:
                member = stack.pop()
                group.append(member)
                if member == node:
                    break
            if len(group) > 1:
                groups.append(sorted(group))

    for node in sorted(drawn):
        if node not in index:
            visit(node)
    return groups


def defined_twice(crates):
    places = defaultdict(set)
    for crate in crates:
        for module in crate.modules.values():
            for name in module.types():
                places[name].add(module.file)
    for name, files in sorted(places.items()):
        if len(files) > 1 and name not in PARTS:
            yield name, sorted(files)


def too_long(crates):
    for crate in crates:
        for module in crate.modules.values():
            lines = len(module.file.read_text(encoding="utf-8").splitlines())
            if lines > FILE_LINES:
                yield f"{crate.folder}: {module.file.name} has {lines} lines, at most {FILE_LINES}", module.file
            for name, length in module.functions():
                if length > FUNCTION_LINES:
                    yield f"{crate.folder}: fn {name} has {length} lines, at most {FUNCTION_LINES}", module.file


def label(name):
    return "::".join(name) or "lib"


def problems(crates):
    for crate in crates:
        drawn = arrows(crate.modules)
        for group in circles(drawn):
            inner = set(group)
            ties = ", ".join(
                f"{label(name)} -> {label(other)}" for name in group for other in sorted(drawn[name] & inner)
            )
            yield f"{crate.folder}: a circle of modules: {ties}"
    for name, files in defined_twice(crates):
        yield f"{name} is defined {len(files)} times: {', '.join(short(file) for file in files)}"
    for text, file in too_long(crates):
        yield f"{text} ({short(file)})"


def short(file):
    parts = file.parts
    start = max((i for i, part in enumerate(parts) if part in ("services", "shared")), default=0)
    return "/".join(parts[start:])


def figures(crates):
    everything = [module for crate in crates for module in crate.modules.values()]
    files = sorted(((len(m.file.read_text(encoding="utf-8").splitlines()), short(m.file)) for m in everything))
    functions = sorted((length, name, short(m.file)) for m in everything for name, length in m.functions())
    yield "circles of modules", sum(len(circles(arrows(crate.modules))) for crate in crates)
    yield "type names defined more than once", sum(1 for _ in defined_twice(crates))
    yield "source files", len(files)
    yield "longest file", f"{files[-1][1]}, {files[-1][0]} lines"
    yield "longest function", f"{functions[-1][1]} in {functions[-1][2]}, {functions[-1][0]} lines"
    yield f"files above {FILE_LINES} lines", sum(1 for lines, _ in files if lines > FILE_LINES)
    yield f"functions above {FUNCTION_LINES} lines", sum(1 for length, *_ in functions if length > FUNCTION_LINES)
