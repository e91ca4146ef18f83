"""Small examples for tests of pruning, splits and leakage."""

from phase8.chat.formats import Call
from phase8.corpus.mining.example import Example, Provenance, example_id
from phase8.corpus.split.quotas import Kind


def direct(query: str, symbol: str, phrasing: str = "doc-what", distribution: str | None = "Shop") -> Example:
    """A direct example about a symbol; without a distribution it is hand-written."""
    return _example("direct", query, symbol, phrasing, distribution)


def written(query: str, topic: str) -> Example:
    """A hand-written direct example."""
    return direct(query, topic, "hand-written", None)


def tool(query: str, symbol: str, phrasing: str = "class-where", command: str | None = None) -> Example:
    """A tool example about a symbol."""
    call = Call(name="run_command", arguments={"command": command or f"grep -rn 'class {symbol}' ."})
    made = _example("tool", query, symbol, phrasing, "Shop")
    return made.model_copy(update={"call": call, "result": f"shop/a.py:1:class {symbol}:", "output_sha256": "0" * 64})


def _example(kind: Kind, query: str, symbol: str, phrasing: str, distribution: str | None) -> Example:
    version = "1.0" if distribution else None
    origin = Provenance(
        distribution=distribution, version=version, file="shop/a.py", line=1, symbol=symbol, phrasing=phrasing
    )
    name = example_id(kind, query)
    return Example(id=name, kind=kind, group=symbol, query=query, answer="In shop/a.py, line 1.", provenance=origin)
