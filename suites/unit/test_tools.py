"""The tools answer like grep, find and ls, and never leave the source tree."""

from pathlib import Path

import pytest

from phase8.chat.formats import Call
from phase8.corpus.tools.run import MAX_LINES, is_cut, run, shorten
from phase8.corpus.tools.tree import SourceTree, ToolRefused

CART = """import json

class Cart:
    def add(self):
        return Cart

class CartError(Exception): ...
"""


@pytest.fixture
def tree(tmp_path: Path) -> SourceTree:
    """Two packages, one of which is allowed."""
    files = {
        "shop/__init__.py": "",
        "shop/cart.py": CART,
        "shop/pay/card.py": "from shop.cart import Cart\n",
        "shop/templates/base.html": "<h1>{% block title %}{% endblock %}</h1>\n",
        "shop/__pycache__/cart.txt": "class Cart\n",
        "shop/logo.png": "class Cart\n",
        "shop/.hidden/cart.py": "class Cart\n",
        "secret/keys.py": "class Cart: ...\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return SourceTree(tmp_path, ["shop"])


def command(tree: SourceTree, text: str) -> str:
    """The output of a command line."""
    return run(Call(name="run_command", arguments={"command": text}), tree)


PRINTED = [
    ("grep -rn 'class Cart' shop", "shop/cart.py:3:class Cart:\nshop/cart.py:7:class CartError(Exception): ..."),
    ("grep -rn 'class Cart' .", "shop/cart.py:3:class Cart:\nshop/cart.py:7:class CartError(Exception): ..."),
    ("grep -rnw 'class Cart' shop", "shop/cart.py:3:class Cart:"),
    ("grep -rl Cart shop", "shop/cart.py\nshop/pay/card.py"),
    ("grep -c '^class ' shop/cart.py", "2"),
    ("grep -n CART -i shop/pay/card.py", "1:from shop.cart import Cart"),
    ("grep -rhE '(def|import) [aj]' shop", "import json\n    def add(self):"),
    ("grep -rnF '(Exception)' shop", "shop/cart.py:7:class CartError(Exception): ..."),
    ("grep -rl block . --include=*.html", "shop/templates/base.html"),
    ("grep -rn '{% block' shop", "shop/templates/base.html:1:<h1>{% block title %}{% endblock %}</h1>"),
    (r"grep -rn 'import\|[[:space:]]return' shop/cart.py", "1:import json\n5:        return Cart"),
    ("grep -rn nothing shop", ""),
    ("find shop -name '*.html'", "shop/templates/base.html"),
    ("find . -name 'car*'", "shop/cart.py\nshop/pay/card.py"),
    ("find shop -type d", "shop\nshop/pay\nshop/templates"),
    ("find shop -maxdepth 1 -type f", "shop/__init__.py\nshop/cart.py"),
]


def test_a_command_prints_what_grep_or_find_would(subtests: pytest.Subtests, tree: SourceTree) -> None:
    """Flags, patterns and paths, over text sources only."""
    for text, output in PRINTED:
        with subtests.test(text=text, output=output):
            assert command(tree, text) == output


FORBIDDEN = [
    ("rm -rf shop", "Allowed: grep, find"),
    ("", "Allowed: grep, find"),
    ("grep -rn Cart shop | head", "shell operator"),
    ("grep -rn Cart shop; ls", "shell operator"),
    ("grep -rn Cart shop > out", "shell operator"),
    ("find shop -delete", "not allowed"),
    ("find shop -exec rm", "not allowed"),
    ("find shop -type l", "the type is f or d"),
    ("grep -P Cart shop", "Allowed: -r"),
    ("grep Cart shop", "Add -r"),
    ("grep -r", "exactly one pattern"),
    ("grep Cart", "no path"),
    ("grep -rn '[a' shop", "open '\\['"),
    ("grep -rnE '(a' shop", "not valid"),
    ("grep -rn 'Cart shop", "cannot be read"),
]


def test_a_command_that_is_not_allowed_is_refused(subtests: pytest.Subtests, tree: SourceTree) -> None:
    """The error says why, and what is allowed."""
    for text, reason in FORBIDDEN:
        with subtests.test(text=text, reason=reason), pytest.raises(ToolRefused, match=reason):
            command(tree, text)


def test_a_path_outside_the_tree_is_refused(subtests: pytest.Subtests, tree: SourceTree) -> None:
    """No tool takes it."""
    for path in ["../x", "shop/../secret/keys.py", "/etc/passwd", "C:/x", "shop\\cart.py", "~", "secret"]:
        with subtests.test(path=path):
            for call in (
                Call(name="read_file", arguments={"path": path}),
                Call(name="list_directory", arguments={"path": path}),
                Call(name="run_command", arguments={"command": f"grep -r x '{path}'"}),
                Call(name="run_command", arguments={"command": f"find '{path}'"}),
            ):
                with pytest.raises(ToolRefused, match="leaves the source tree|no such file"):
                    run(call, tree)


def test_a_link_out_of_the_tree_is_not_followed(tree: SourceTree, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither to a file nor to a directory."""
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.py").write_text("class Cart: ...\n")
    try:
        (tree.root / "shop" / "link.py").symlink_to(outside / "secret.py")
        (tree.root / "shop" / "linked").symlink_to(outside)
    except OSError:
        pytest.skip("this machine does not allow links")
    assert SourceTree(tree.root, ["shop"]).files == tree.files


def test_read_file_gives_the_lines_asked_for(tree: SourceTree) -> None:
    """Both ends are included, counted from 1."""
    call = Call(name="read_file", arguments={"path": "shop/cart.py", "start": 3, "end": 4})
    assert run(call, tree) == "class Cart:\n    def add(self):"


@pytest.mark.parametrize("lines", [{"start": 5, "end": 4}, {"start": 99}])
def test_read_file_refuses_lines_that_do_not_exist(tree: SourceTree, lines: dict[str, int]) -> None:
    """The error tells how long the file is."""
    with pytest.raises(ToolRefused, match="has 7 lines"):
        run(Call(name="read_file", arguments={"path": "shop/cart.py", **lines}), tree)


def test_list_directory_marks_directories(tree: SourceTree) -> None:
    """Entries are sorted; caches and binary files are left out."""
    listing = run(Call(name="list_directory", arguments={"path": "shop"}), tree)
    assert listing == "__init__.py\ncart.py\npay/\ntemplates/"


@pytest.mark.parametrize(
    "call",
    [Call(name="delete_file", arguments={"path": "shop"}), Call(name="read_file", arguments={"file": "shop/cart.py"})],
)
def test_an_unknown_tool_or_argument_is_refused(tree: SourceTree, call: Call) -> None:
    """Before anything is read."""
    with pytest.raises(ToolRefused, match="unknown|not its arguments"):
        run(call, tree)


def test_a_long_output_says_how_much_is_missing(tree: SourceTree) -> None:
    """The limit cuts whole lines."""
    (tree.root / "shop" / "long.txt").write_text("x\n" * (MAX_LINES + 5))
    output = run(Call(name="read_file", arguments={"path": "shop/long.txt"}), SourceTree(tree.root, ["shop"]))
    assert output.split("\n")[-1] == "[+5 more]"
    assert is_cut(output)
    assert not is_cut("x")


def test_shorten_leaves_a_visible_mark(subtests: pytest.Subtests) -> None:
    """Two lines and ten characters are allowed."""
    for output, short in [
        ("a\nb", "a\nb"),
        ("a\nb\nc", "a\nb\n[+1 more]"),
        ("a" * 12, "a" * 10 + "..."),
        ("a" * 8 + "\nbbb", "a" * 8 + "\n[+1 more]"),
    ]:
        with subtests.test(output=output, short=short):
            assert shorten(output, 2, 10) == short
