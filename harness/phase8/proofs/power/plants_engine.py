"""Regressions of the runtime: caches reused wrongly, tokens and loads that take longer, memory that is kept."""

from collections.abc import Callable

from phase8.proofs.power.plant import QUALITY, Plant, says
from phase8.proofs.power.site import Site, replace

_READ = "        times.append(time.perf_counter())\n        if token in stops:"
_STEP_END = "        mx.synchronize()\n        return first_s, time.perf_counter() - start, ended"
_LOAD_END = "    model.eval()\n    mx.eval(model.parameters())\n    return model, tokenizer\n\n\ndef load_fast"


def _engine(file: str, *changes: tuple[str, str]) -> Callable[[Site], None]:
    def change(site: Site) -> None:
        for old, new in changes:
            replace(site.repo / "harness" / "phase8" / "engine" / file, old, new)

    return change


def _slower(share: float) -> Callable[[Site], None]:
    """Every decoded token takes ``share`` longer, in both loops that write tokens under the stopwatch."""
    spin = "{0}held = time.perf_counter() + {1} * (time.perf_counter() - {2})\n"
    spin += "{0}while time.perf_counter() < held:\n{0}    pass\n"
    last = "(times[-1] if times else start)"
    return _engine(
        "timing/latency.py",
        (_STEP_END, "        mx.synchronize()\n" + spin.format(" " * 8, share, "start") + _STEP_END.partition("\n")[2]),
        (_READ, "        mx.synchronize()\n" + spin.format(" " * 8, share, last) + _READ),
    )


def _slower_load(share: float) -> Callable[[Site], None]:
    spin = f"    held = time.perf_counter() + {share} * (time.perf_counter() - began)\n"
    spin += "    while time.perf_counter() < held:\n        pass\n"
    begin = "    model, tokenizer = read_model(folder), read_tokenizer(folder)\n    if adapter is not None:"
    kept, _, returned = _LOAD_END.partition("    return")
    return _engine(
        "load/models.py",
        ("import json\n", "import json\nimport time\n"),
        (begin, "    began = time.perf_counter()\n" + begin),
        (_LOAD_END, f"{kept}{spin}    return{returned}"),
    )


_HELD = '_ADAPTER_LEAVES = {"lora_a", "lora_b", "m"}\n'

ENGINE = (
    Plant(
        "prompt-cache-off-by-one",
        "replies: the last cached token of the prompt is read twice",
        _engine(
            "generate/batched.py", ("[self._prompts[row][self._shared :]", "[self._prompts[row][self._shared - 1 :]")
        ),
        says("runtime", "kernel agreement", *QUALITY),
    ),
    Plant(
        "prompt-cache-short",
        "replies: one token of the shared beginning is never read",
        _engine("generate/batched.py", ("prompts[0][: self._shared])", "prompts[0][: self._shared - 1])")),
        says("runtime", "kernel agreement", *QUALITY),
    ),
    Plant(
        "timed-cache-off-by-one",
        "timed queries: one token of the prompt is skipped after the cache",
        _engine(
            "timing/latency.py",
            (
                "generate_timed(self.model, prompt[self.shared :], stops",
                "generate_timed(self.model, prompt[self.shared + 1 :], stops",
            ),
        ),
        says("kernel agreement"),
    ),
    Plant(
        "timed-cache-shared",
        "timed queries: the prompt cache is not copied, so that each goes on after the last",
        _engine("timing/latency.py", ("return copy.deepcopy(self._cache)\n", "return self._cache\n")),
        says("kernel agreement"),
    ),
    *(
        Plant(
            f"decode-slowed-{percent}",
            f"every decoded token takes {percent} % longer",
            _slower(percent / 100),
            says("latency", about="token_s", near=percent == 3),
        )
        for percent in (3, 7, 15)
    ),
    Plant("load-slowed-15", "loading takes 15 % longer", _slower_load(0.15), says("latency", about="load_s")),
    Plant(
        "memory-held",
        "the engine keeps 30 MB that it does not need",
        _engine("load/models.py", (_HELD, _HELD + '_HELD = b"\\x01" * 30_000_000\n')),
        says("memory"),
    ),
)
