"""``find`` in pure Python: by name, type and depth, sorted."""

import fnmatch

from phase8.corpus.tools.tree import SourceTree, ToolRefused


def find(arguments: list[str], tree: SourceTree) -> list[str]:
    """The output lines of ``find`` with ``-name GLOB``, ``-type f|d`` and ``-maxdepth N``.

    Raises:
        ToolRefused: anything else, or a path outside the tree.
    """
    split = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    paths, tests = arguments[:split] or ["."], arguments[split:]
    wanted = dict(zip(tests[::2], tests[1::2], strict=False))
    if len(tests) % 2 or len(wanted) * 2 != len(tests) or not set(wanted) <= {"-name", "-type", "-maxdepth"}:
        raise ToolRefused(f"find: {' '.join(tests)!r} is not allowed. Use -name GLOB, -type f|d, -maxdepth N.")
    kind, depth = wanted.get("-type", "fd"), wanted.get("-maxdepth", "99")
    if kind not in ("f", "d", "fd") or not depth.isdecimal():
        raise ToolRefused(f"find: -type {kind} -maxdepth {depth}: the type is f or d, the depth a number.")
    found: list[str] = []
    for top in map(tree.locate, paths):
        names = [*tree.below(top), *(d for d in tree.directories if top == "." or f"{d}/".startswith(f"{top}/"))]
        found += [
            path for path in sorted(names) if _wanted(path, top, wanted.get("-name", "*"), kind, int(depth), tree)
        ]
    return found


def _wanted(path: str, top: str, glob: str, kind: str, depth: int, tree: SourceTree) -> bool:
    if not fnmatch.fnmatchcase(_name(path), glob) or ("f" if tree.is_file(path) else "d") not in kind:
        return False
    return _levels(path) - _levels(top) <= depth


def _levels(path: str) -> int:
    return 0 if path == "." else path.count("/") + 1


def _name(path: str) -> str:
    return path.rpartition("/")[2]
