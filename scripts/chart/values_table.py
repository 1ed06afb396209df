"""The table of values in the chart's README, made from the comments in values.yaml."""

import re

import yaml

START = "<!-- values: made from values.yaml by `make render` -->\n"
END = "<!-- end of values -->\n"
_KEY = re.compile(r"^( *)([A-Za-z_][\w.]*):(?: (.*))?$")


def rows(text):
    """(dotted key, default, description) of every commented key, in the file's order."""
    values, found, comment, path = yaml.safe_load(text), [], [], []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.strip().lstrip("#").strip())
            continue
        match = _KEY.match(line)
        if match:
            path = path[: len(match[1]) // 2] + [match[2]]
            if comment:
                found.append((".".join(path), _at(values, path), " ".join(comment)))
        comment = []
    return found


def _at(values, path):
    for name in path:
        values = values[name]
    return values


def _default(name, value, names):
    # What its own rows tell is not told twice.
    if any(other.startswith(f"{name}.") for other in names):
        return ""
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).strip().removesuffix("\n...").strip()
    return f"`{text}`"


def table(text):
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    found = rows(text)
    names = [name for name, _, _ in found]
    for name, value, description in found:
        lines.append(f"| `{name}` | {_default(name, value, names)} | {description.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def with_table(readme, values):
    """The README with the table as it should be."""
    head, _, rest = readme.partition(START)
    _, _, tail = rest.partition(END)
    return head + START + "\n" + table(values) + "\n" + END + tail
