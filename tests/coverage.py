"""Adds up an lcov file by floor; with a second argument lists the lines that nothing executed."""

import collections, os, re, sys

FLOORS = ["src/bytes.rs", "src/codec", "src/format", "src/index", "src/segment", "src/storage"]


def floor_of(path):
    return next((floor for floor in FLOORS if path == floor or path.startswith(floor + "/")), None)


def first_line_of_tests(path):
    lines = open(path).read().split("\n")
    for at, line in enumerate(lines):
        if line == "#[cfg(test)]" and re.match(r"(pub\(\S+\) )?mod tests \{", lines[at + 1]):
            return at + 1
    return len(lines) + 1


def is_of_tests(path):
    """Whether the whole file is: declared so by the module above it."""
    folder, name = os.path.split(path[: -len(".rs")])
    for above in (f"{folder}/mod.rs", f"{folder}.rs", f"{folder}/lib.rs"):
        if os.path.exists(above):
            if re.search(rf"^#\[cfg\(test\)\]\n(pub\(\S+\) )?mod {name};", open(above).read(), re.M):
                return True
    return False


executed = collections.defaultdict(dict)
for line in open(sys.argv[1]):
    kind, _, rest = line.strip().partition(":")
    if kind == "SF":
        path = os.path.relpath(rest)
    elif kind == "DA":
        at, count = rest.split(",")[:2]
        lines = executed[path]
        lines[int(at)] = max(lines.get(int(at), 0), int(count))

totals = collections.defaultdict(lambda: [0, 0])
for path, lines in sorted(executed.items()):
    floor = floor_of(path)
    if floor is None or is_of_tests(path):
        continue
    tests = first_line_of_tests(path)
    lines = {at: count for at, count in lines.items() if at < tests}
    missed = sorted(at for at, count in lines.items() if count == 0)
    for name in (floor, path, "all"):
        totals[name][0] += len(lines) - len(missed)
        totals[name][1] += len(lines)
    if len(sys.argv) > 2 and missed:
        text = open(path).read().split("\n")
        for at in missed:
            print(f"{path}:{at}: {text[at - 1]}")

for name in FLOORS + ["all"]:
    done, of = totals[name]
    print(f"{name:14} {done:6} of {of:6} lines, {100 * done / max(of, 1):.2f}%")
