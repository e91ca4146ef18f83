"""The regressions that are planted, each a real change to the clone: its models, sources, data, history."""

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.history_file import REPLIES, Summary, pack, read, write
from harness.power_record import Expected
from harness.power_site import BESIDE, JUDGED, Site, replace
from harness.record import VerdictFile

QUALITY = ("canonical", "accuracy", "calls", "held-out")
_RUN = "run"


@dataclass(frozen=True)
class Plant:
    """One regression: what somebody did wrong, the change, and what the gate must say.

    ``anew`` lets replies be asked for again, as a machine without this store would: the keys of the store know what
    a reply is made from, not the engine's code.
    """

    name: str
    what: str
    change: Callable[[Site], None] = field(repr=False)
    expected: Expected
    anew: bool = False


def _says(*checks: str, subject: str = JUDGED, about: str = "", refusal: str = "", near: bool = False) -> Expected:
    return Expected(checks=checks, subject=subject, about=about, refusal=refusal, may_be_inconclusive=near)


# Weights.


def _dropped(site: Site) -> None:
    site.fuse(site.materials.nothing)


def _scaled(factor: float) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        from harness.engine.plants import scale_adapter

        scale_adapter(site.materials.adapter, factor, scaled := site.fresh("scaled"))
        site.fuse(scaled)

    return change


def _fused(bits: int = 5, group_size: int = 64) -> Callable[[Site], None]:
    return lambda site: site.fuse(site.materials.adapter, bits, group_size)


def _expert(layer: int) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        from harness.engine.plants import zero_expert

        zero_expert(site.model, layer, 0)

    return change


def _router(site: Site) -> None:
    from harness.engine.plants import permute_router

    permute_router(site.model, 1)


WEIGHTS = (
    Plant("adapter-dropped", "the base quantised alike, without its adapter", _dropped, _says(*QUALITY)),
    Plant("adapter-half", "the adapter's scale x 0.5", _scaled(0.5), _says(*QUALITY)),
    Plant("adapter-twentieth", "the adapter's scale lost: 1 for 20", _scaled(0.05), _says(*QUALITY)),
    Plant("adapter-double", "the adapter added twice", _scaled(2.0), _says(*QUALITY)),
    Plant(
        "adapter-other-seed",
        "an adapter of the same training from another seed",
        lambda site: site.fuse(site.materials.other_seed),
        _says(*QUALITY),
    ),
    Plant("width-3", "fused at 3 bits instead of 5", _fused(bits=3), _says(*QUALITY)),
    Plant("width-4", "fused at 4 bits instead of 5", _fused(bits=4), _says(*QUALITY)),
    Plant("width-8", "fused at 8 bits instead of 5", _fused(bits=8), _says("size")),
    Plant("group-32", "fused with groups of 32 instead of 64", _fused(group_size=32), _says("size")),
    Plant("expert-zeroed-first", "one of 8 experts of the first layer zeroed", _expert(0), _says(*QUALITY)),
    Plant("expert-zeroed-last", "one of 8 experts of the last layer zeroed", _expert(3), _says(*QUALITY)),
    Plant("router-permuted", "the router's rows of one layer moved on by one", _router, _says(*QUALITY)),
)


# Text: tokenizer, template, profile.


def _fewer_merges(site: Site) -> None:
    path = site.model / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    del tokenizer["model"]["merges"][-600:]
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def _swapped_ids(site: Site) -> None:
    path = site.model / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    known = tokenizer["model"]["vocab"]
    known["Ġclass"], known["Ġdef"] = known["Ġdef"], known["Ġclass"]
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def _template(site: Site) -> None:
    replace(site.model / "chat_template.jinja", "<|im_start|>assistant\n{%", "<|im_start|>assistant{%")


def _no_stop_token(site: Site) -> None:
    path = site.model / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["added_tokens"] = [one for one in tokenizer["added_tokens"] if one["content"] != "<|im_end|>"]
    tokenizer["model"]["vocab"].pop("<|im_end|>", None)
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def _in_profile(old: str, new: str) -> Callable[[Site], None]:
    return lambda site: replace(site.folder / "power.toml", old, new)


_STOPS, _SYSTEM = 'stop_sequences = ["<|im_end|>"]', 'system = "You help with Python web code."'
_TERMINATION = ("termination", "runtime", "kernel agreement", *QUALITY)

TEXT = (
    Plant(
        "tokenizer-merges",
        "a third of the tokenizer's merges lost: the same text in more tokens",
        _fewer_merges,
        _says("query", *QUALITY),
    ),
    Plant("tokenizer-ids", "two tokens of the tokenizer change their ids", _swapped_ids, _says("query", *QUALITY)),
    Plant("chat-template", "the newline after the role is lost", _template, _says("query", *QUALITY)),
    Plant(
        "stop-token-other",
        "replies no longer end at <|im_end|>",
        _in_profile(_STOPS, _STOPS.replace("im_end", "endoftext")),
        _says(*_TERMINATION),
    ),
    Plant(
        "stop-token-lost",
        "<|im_end|> is no token of the tokenizer any more",
        _no_stop_token,
        _says(*_TERMINATION, refusal="<|im_end|>"),
    ),
    Plant("system-prompt-lost", "the system prompt is empty", _in_profile(_SYSTEM, 'system = ""'), _says("query")),
)


# Sources of the engine.

_READ = "        times.append(time.perf_counter())\n        if token in stops:"
_STEP_END = "        mx.synchronize()\n        return first_s, time.perf_counter() - start, ended"
_LOAD_END = "    model.eval()\n    mx.eval(model.parameters())\n    return model, tokenizer\n\n\ndef load_fast"


def _engine(file: str, *changes: tuple[str, str]) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        for old, new in changes:
            replace(site.repo / "harness" / "engine" / file, old, new)

    return change


def _slower(share: float) -> Callable[[Site], None]:
    """Every decoded token takes ``share`` longer, in both loops that write tokens under the stopwatch."""
    spin = "{0}held = time.perf_counter() + {1} * (time.perf_counter() - {2})\n"
    spin += "{0}while time.perf_counter() < held:\n{0}    pass\n"
    last = "(times[-1] if times else start)"
    return _engine(
        "latency.py",
        (_STEP_END, "        mx.synchronize()\n" + spin.format(" " * 8, share, "start") + _STEP_END.partition("\n")[2]),
        (_READ, "        mx.synchronize()\n" + spin.format(" " * 8, share, last) + _READ),
    )


def _slower_load(share: float) -> Callable[[Site], None]:
    spin = f"    held = time.perf_counter() + {share} * (time.perf_counter() - began)\n"
    spin += "    while time.perf_counter() < held:\n        pass\n"
    begin = "    model, tokenizer = read_model(folder), read_tokenizer(folder)\n    if adapter is not None:"
    kept, _, returned = _LOAD_END.partition("    return")
    return _engine(
        "models.py",
        ("import json\n", "import json\nimport time\n"),
        (begin, "    began = time.perf_counter()\n" + begin),
        (_LOAD_END, f"{kept}{spin}    return{returned}"),
    )


_HELD = '_ADAPTER_LEAVES = {"lora_a", "lora_b", "m"}\n'

ENGINE = (
    Plant(
        "prompt-cache-off-by-one",
        "replies: the last cached token of the prompt is read twice",
        _engine("generate.py", ("[self._prompts[row][self._shared :]", "[self._prompts[row][self._shared - 1 :]")),
        _says("runtime", "kernel agreement", *QUALITY),
        anew=True,
    ),
    Plant(
        "prompt-cache-short",
        "replies: one token of the shared beginning is never read",
        _engine("generate.py", ("prompts[0][: self._shared])", "prompts[0][: self._shared - 1])")),
        _says("runtime", "kernel agreement", *QUALITY),
        anew=True,
    ),
    Plant(
        "timed-cache-off-by-one",
        "timed queries: one token of the prompt is skipped after the cache",
        _engine(
            "latency.py",
            (
                "generate_timed(self.model, prompt[self.shared :], stops",
                "generate_timed(self.model, prompt[self.shared + 1 :], stops",
            ),
        ),
        _says("kernel agreement"),
    ),
    Plant(
        "timed-cache-shared",
        "timed queries: the prompt cache is not copied, so that each goes on after the last",
        _engine("latency.py", ("return copy.deepcopy(self._cache)\n", "return self._cache\n")),
        _says("kernel agreement"),
    ),
    *(
        Plant(
            f"decode-slowed-{percent}",
            f"every decoded token takes {percent} % longer",
            _slower(percent / 100),
            _says("latency", about="token_s", near=percent == 3),
        )
        for percent in (3, 7, 15)
    ),
    Plant("load-slowed-15", "loading takes 15 % longer", _slower_load(0.15), _says("latency", about="load_s")),
    Plant(
        "memory-held",
        "the engine keeps 30 MB that it does not need",
        _engine("models.py", (_HELD, _HELD + '_HELD = b"\\x01" * 30_000_000\n')),
        _says("memory"),
    ),
)


# Queries and variants.


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
        "query-renamed", "a canonical query gets another id", _queries(_rename_query), _says("query", about="renamed")
    ),
    Plant("query-dropped", "a canonical query is taken out", _queries(lambda rows: rows.pop()), _says("query")),
    Plant(
        "query-duplicated",
        "a canonical query is asked again under a second id",
        _queries(lambda rows: rows.append(rows[0] | {"id": "once-more"})),
        _says("duplicated query"),
    ),
    Plant("query-relabelled", "a canonical query's label is turned round", _queries(_relabel_query), _says("query")),
    Plant("row-dropped", "one of the held-out conversations is gone", _drop_row, _says("query")),
    Plant(
        "probes-dropped",
        "the profile no longer names the hard probes",
        _in_profile('[queries]\nprobes = "probes.jsonl"\n', ""),
        _says("suite", about="probe"),
    ),
    Plant(
        "variant-missing",
        "a variant is taken out of the profile",
        _in_profile(_BESIDE, ""),
        _says("variant", subject=BESIDE),
    ),
    Plant(
        "variant-renamed",
        "the judged variant gets another name",
        _in_profile(f'name = "{JUDGED}"', f'name = "{JUDGED}-v2"'),
        _says("variant"),
    ),
    Plant(
        "variant-demoted",
        "the judged variant becomes a candidate, which cannot fail",
        _in_profile(_JUDGED, _model(JUDGED, "candidate")),
        _says("role"),
    ),
)


# History.


def _accepted(site: Site) -> Path:
    (found,) = site.history.glob("*/*.json")
    return found


def _other_machine(site: Site) -> None:
    """The accepted run of another machine, whole and sound, copied into this lane's folder."""
    path = _accepted(site)
    stored = read(path)
    lane = stored.record.lane.rpartition("-")[0] + "-elsewhere"
    told = stored.summary
    verdict = VerdictFile(exit_code=told.exit_code, outcome=told.outcome, reasons=(), partial=told.partial)
    path.unlink()
    path.with_name(path.stem + REPLIES).unlink()
    record = stored.record.model_copy(update={"lane": lane})
    write(pack(record, verdict, stored.benchmarks, told.accepted), path.parent)


def _flipped_byte(site: Site) -> None:
    path = _accepted(site)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def _changed_replies(site: Site) -> None:
    path = _accepted(site)
    beside = path.with_name(path.stem + REPLIES)
    told = gzip.decompress(beside.read_bytes()).replace(b'"correct":true', b'"correct":false', 1)
    beside.write_bytes(gzip.compress(told, mtime=0))


def _no_replies(site: Site) -> None:
    path = _accepted(site)
    path.with_name(path.stem + REPLIES).unlink()


def _never_accepted(site: Site) -> None:
    """A run of this lane put there by hand, without anybody's reason."""
    path = _accepted(site)
    stored = read(path)
    told: Summary = stored.summary
    verdict = VerdictFile(exit_code=told.exit_code, outcome=told.outcome, reasons=(), partial=told.partial)
    path.unlink()
    path.with_name(path.stem + REPLIES).unlink()
    write(pack(stored.record, verdict, stored.benchmarks, None), path.parent)


def _no_baseline(site: Site) -> None:
    path = _accepted(site)
    path.with_name(path.stem + REPLIES).unlink()
    path.unlink()


def _input(about: str) -> Expected:
    return _says("input", subject=_RUN, about=about)


HISTORY = (
    Plant("baseline-other-machine", "the baseline is another machine's", _other_machine, _input("another lane")),
    Plant("history-byte-flipped", "a byte of the accepted run is flipped", _flipped_byte, _input("damaged")),
    Plant("history-replies-changed", "a reply of the accepted run is changed", _changed_replies, _input("damaged")),
    Plant("history-replies-gone", "the accepted run's replies are deleted", _no_replies, _input("are missing")),
    Plant(
        "baseline-never-accepted",
        "a run nobody accepted is in the baseline's place",
        _never_accepted,
        _input("never accepted"),
    ),
    Plant("baseline-gone", "the accepted run is deleted", _no_baseline, _input("no baseline")),
)

PLANTS = (*WEIGHTS, *TEXT, *ENGINE, *DATA, *HISTORY)
