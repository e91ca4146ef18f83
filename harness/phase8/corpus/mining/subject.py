"""One thing that tool queries can be about, with the fields that phrasings are filled from."""

from pathlib import PurePosixPath

from phase8.core.values import Frozen
from phase8.corpus.mining.example import Provenance
from phase8.corpus.mining.templates import About
from phase8.corpus.sources.symbols import Asset, Part, Symbol


class Subject(Frozen):
    """Something that can be asked about. ``group`` keeps all questions about it in one split."""

    about: About
    group: str
    fields: dict[str, str | int]
    distribution: str
    version: str
    file: str
    line: int
    symbol: str

    @property
    def length(self) -> int:
        """Characters that a question about it cannot do without."""
        return len(self.symbol) + len(self.file)

    def provenance(self, phrasing: str) -> Provenance:
        """The origin of an example about this subject."""
        return Provenance(
            distribution=self.distribution,
            version=self.version,
            file=self.file,
            line=self.line,
            symbol=self.symbol,
            phrasing=phrasing,
        )


def make_subject(
    about: About, group: str, origin: Symbol | Asset | Part, name: str, line: int, **fields: str | int
) -> Subject:
    """A subject with the fields of its origin and further ones; ``name`` is empty where the file is asked about."""
    path = PurePosixPath(origin.file)
    known = {
        "name": name,
        "file": origin.file,
        "line": line,
        "top": path.parts[0],
        "dist": origin.distribution,
        "base": path.name,
        "one": 1,
    }
    return Subject(
        about=about,
        group=group,
        fields=known | fields,
        distribution=origin.distribution,
        version=origin.version,
        file=origin.file,
        line=line,
        symbol=name or origin.file,
    )
