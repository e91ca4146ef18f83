"""Regressions by absence: queries, rows and variants that are gone, renamed, copied, or can no longer fail."""

import json
from collections.abc import Callable

from phase8.proofs.power.plant import Plant, in_profile, says
from phase8.proofs.power.site import BESIDE, JUDGED, Site


def _queries(change: Callable[[list[dict]], object]) -> Callable[[Site], None]:
    def changed(site: Site) -> None:
        path = site.repo / "data" / "cases" / "canonical.jsonl"
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
        change(rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    return changed


def _rename_query(rows: list[dict]) -> None:
    rows[0]["id"] += "-renamed"


def _relabel_query(rows: list[dict]) -> None:
    rows[0]["label"] = "direct" if rows[0]["label"] == "tool" else "tool"


def _drop_row(site: Site) -> None:
    path = site.folder / "held-out.jsonl"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")


def _model(name: str, role: str) -> str:
    return f'[[models]]\nname = "{name}"\npath = "{name}"\nrole = "{role}"\n'


_JUDGED, _BESIDE = _model(JUDGED, "production"), _model(BESIDE, "candidate")

DATA = (
    Plant(
        "query-renamed", "a canonical query gets another id", _queries(_rename_query), says("query", about="renamed")
    ),
    Plant("query-dropped", "a canonical query is taken out", _queries(lambda rows: rows.pop()), says("query")),
    Plant(
        "query-duplicated",
        "a canonical query is asked again under a second id",
        _queries(lambda rows: rows.append(rows[0] | {"id": "once-more"})),
        says("duplicated query"),
    ),
    Plant("query-relabelled", "a canonical query's label is turned round", _queries(_relabel_query), says("query")),
    Plant("row-dropped", "one of the held-out conversations is gone", _drop_row, says("query")),
    Plant(
        "probes-dropped",
        "the profile no longer names the hard probes",
        in_profile('[queries]\nprobes = "probes.jsonl"\n', ""),
        says("suite", about="probe"),
    ),
    Plant(
        "variant-missing",
        "a variant is taken out of the profile",
        in_profile(_BESIDE, ""),
        says("variant", subject=BESIDE),
    ),
    Plant(
        "variant-renamed",
        "the judged variant gets another name",
        in_profile(f'name = "{JUDGED}"', f'name = "{JUDGED}-v2"'),
        says("variant"),
    ),
    Plant(
        "variant-demoted",
        "the judged variant becomes a candidate, which cannot fail",
        in_profile(_JUDGED, _model(JUDGED, "candidate")),
        says("role"),
    ),
)
