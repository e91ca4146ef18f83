"""One conversation of the corpus before it is put into chat form."""

import hashlib

from phase8.chat.formats import Call
from phase8.core.values import Frozen
from phase8.corpus.split.quotas import Kind


class Provenance(Frozen):
    """Where an example comes from; hand-written ones have no distribution."""

    distribution: str | None
    version: str | None
    file: str
    line: int
    symbol: str
    phrasing: str


class Example(Frozen):
    """A query with its call, result and closing answer, or with its direct answer.

    ``group`` is the topic, which must stay in one split. ``result`` is the executed output as the model
    sees it, cut where it is long; ``output_sha256`` is of the whole output.
    """

    id: str
    kind: Kind
    group: str
    query: str
    call: Call | None = None
    result: str | None = None
    output_sha256: str | None = None
    answer: str
    provenance: Provenance

    @property
    def preferred(self) -> bool:
        """Hand-written examples are taken before mined ones."""
        return self.provenance.distribution is None


def example_id(kind: Kind, query: str) -> str:
    """The id of an example: its kind and a hash of its query."""
    return f"{kind}-{hashlib.sha256(query.encode()).hexdigest()[:10]}"
