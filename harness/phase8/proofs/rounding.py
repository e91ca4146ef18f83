"""Integrity tells rounding from loss: folders of stock mlx-lm from other BLAS libraries, instructions and dtypes.

Stock mlx-lm fuses and quantises the profile's model and small ones in processes of their own, each with another
arithmetic: MLX's own BLAS, MKL kept to older instructions or in its compatible mode, one thread and two, OpenBLAS;
products in half precision, weights in float32, scales in float16. ``integrity`` judges all of them in this process, by
base and adapter as they are. A sound folder must be equal, or equal up to rounding; of one with planted losses every
loss must be named with its module, and no other module.
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from rich.console import Console

from phase8.core.blas import THREADS, blas
from phase8.core.errors import InvalidInput
from phase8.core.machine import this_machine
from phase8.core.project import ROOT
from phase8.proofs.mlx_lm_cli import stock_convert, stock_fuse, stock_session
from phase8.record.integrity import FolderIntegrity, ModuleIntegrity
from phase8.stages.flow import Flow

if TYPE_CHECKING:
    from phase8.engine.losses import Loss

_GROUP_SIZE = 64
_WIDTHS = (None, 4, 8)  # None is the float model
_NOTHING = 0.01  # a share of the delta: less is none of it
_RIGHT = ("equal", "rounding")
_OPENBLAS = ("libopenblas.so.0", "libopenblas.so")


class Setting(NamedTuple):
    """An arithmetic: a BLAS to load (None: MLX's own), environment variables, threads, and what is cast beforehand."""

    name: str
    library: str | None
    environment: tuple[tuple[str, str], ...] = ()
    threads: int = 2
    cast: Literal["", "products", "weights", "scales"] = ""


@dataclass(frozen=True)
class Model:
    """What is fused: base and adapter, the adapter with planted losses, and those."""

    name: str
    base: Path
    adapter: Path
    lost: Path
    losses: "list[Loss]"
    dtype: str


class Judged(NamedTuple):
    """A sound folder and one with losses, of one model, arithmetic and width."""

    model: Model
    setting: Setting
    bits: int | None
    sound: FolderIntegrity
    lost: FolderIntegrity

    @property
    def unnamed(self) -> list[str]:
        """The losses that nobody is told of, and modules that are blamed for nothing."""
        wrong = {one.path: one for one in self.lost.modules if one.outcome not in _RIGHT}
        missed = [
            f"{loss.what} in {loss.module}" for loss in self.model.losses if not _is_named(loss, wrong.get(loss.module))
        ]
        planted = {loss.module for loss in self.model.losses}
        return missed + [f"nothing planted in {path}, and yet {wrong[path].outcome}" for path in wrong.keys() - planted]

    @property
    def good(self) -> bool:
        """Whether the sound folder is right and every loss of the other one is named."""
        return self.sound.outcome in _RIGHT and not self.unnamed


def _is_named(loss: "Loss", found: ModuleIntegrity | None) -> bool:
    """Whether what is wrong with a module is that loss; a missing adapter is called so."""
    if found is None:
        return False
    if loss.expert is not None:
        return found.experts_missing == (loss.expert,)
    if loss.what == "adapter missing":  # DoRA's magnitude stays, and turns the base by a rounding error
        return found.outcome == "adapter missing" or abs(found.delta_share or 0.0) < _NOTHING
    return found.outcome != "adapter missing"


def prove_rounding(flow: Flow, console: Console) -> int:
    """Print a row for each model, arithmetic and width; 1 where a sound folder is red or a loss is not named."""
    console.print(f"judged here with {blas().name} {blas().version}".rstrip(), highlight=False)
    settings, absent = _settings()
    for name in absent:
        console.print(f"{name}: not here", highlight=False)
    judged: list[Judged] = []
    with flow.store.workspace("prove") as work:
        models = _models(flow, work)
        for setting in settings:
            for one in _judged(models, setting, work / "folders"):
                console.print(_line(one), highlight=False, soft_wrap=True)
                judged.append(one)
    wrong = sum(not one.good for one in judged)
    losses = sum(len(one.model.losses) for one in judged)
    rounded = sum(one.sound.outcome == "rounding" for one in judged)
    said = f"{wrong} of {len(judged)} WRONG" if wrong else "every sound folder is right, every loss is named"
    console.print(
        f"rounding: {len(judged)} sound folders, {rounded} of them not bit for bit, {losses} planted losses: {said}",
        highlight=False,
        soft_wrap=True,
    )
    return 1 if wrong or not judged else 0


def _settings() -> tuple[list[Setting], list[str]]:
    """The arithmetics of this machine, and the names of those that it has not."""
    found, absent = [Setting("MLX's own BLAS", None), Setting("MLX's own BLAS, 1 thread", None, threads=1)], []
    mkl = next(iter(sorted((Path(sys.prefix) / "lib").glob("libmkl_rt.so*"))), None)
    if mkl:
        library = str(mkl)
        found += [
            Setting("MKL", library),
            Setting("MKL, 1 thread", library, threads=1),
            Setting("MKL, SSE4.2", library, (("MKL_ENABLE_INSTRUCTIONS", "SSE4_2"),)),
            Setting("MKL, AVX2", library, (("MKL_ENABLE_INSTRUCTIONS", "AVX2"),)),
            Setting("MKL, compatible", library, (("MKL_CBWR", "COMPATIBLE"),)),
        ]
    openblas = next((name for name in _OPENBLAS if _loads(name)), None)
    found += [Setting("OpenBLAS", openblas)] if openblas else []
    absent += [name for name, there in (("MKL", mkl), ("OpenBLAS", openblas)) if not there]
    found += [
        Setting("products in half", None, cast="products"),
        Setting("weights in float32", None, cast="weights"),
        Setting("scales in float16", None, cast="scales"),
    ]
    return found, absent


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name, mode=os.RTLD_LOCAL)
    except OSError:
        return False
    return True


def _models(flow: Flow, work: Path) -> list[Model]:
    """The profile's own model and the small ones, each with an adapter that has lost something."""
    from phase8.engine.load.families import FAMILIES, make_family
    from phase8.engine.losses import dtype_of, plant_losses

    made = [(flow.profile.name, flow.path(flow.base), flow.path(flow.adapter))]
    made += [(one.name, *make_family(one, work / one.name)) for one in FAMILIES]
    found = []
    for name, base, adapter in made:
        if not (base / "model.safetensors").is_file():
            raise InvalidInput(f"prove rounding: {base} has more than one weight file. Choose a smaller --profile")
        lost = work / f"{name} lost"
        found.append(Model(name, base, adapter, lost, plant_losses(adapter, lost), dtype_of(base)))
    return found


def _judged(models: Sequence[Model], setting: Setting, work: Path) -> Iterator[Judged]:
    """Every model and width; one process of stock mlx-lm writes all folders of an arithmetic."""
    from phase8.engine.integrity.check import integrity
    from phase8.engine.losses import damage

    fitting = [model for model in models if _fits(model, setting)]
    _run(setting, [command for model in fitting for command in _commands(model, setting, work)])
    for model in fitting:
        for bits in _WIDTHS:
            damage(_folder(work, model, "lost", bits), model.losses)
        folders = [_folder(work, model, kind, bits) for bits in _WIDTHS for kind in ("sound", "lost")]
        found = integrity(model.base, model.adapter, folders)
        for bits, sound, lost in zip(_WIDTHS, found[::2], found[1::2], strict=True):
            yield Judged(model, setting, bits, sound, lost)
    shutil.rmtree(work)


def _fits(model: Model, setting: Setting) -> bool:
    """Whether a cast changes anything; DoRA's product and norm are not cast apart."""
    if setting.cast in ("products", "weights"):
        return model.dtype in ("bfloat16", "float16") and "DoRA" not in model.name
    return setting.cast != "scales" or model.dtype != "float16"


def _folder(work: Path, model: Model, kind: str, bits: int | None) -> Path:
    return work / f"{model.name} {kind} {bits or 'float'}"


def _commands(model: Model, setting: Setting, work: Path) -> Iterator[list[str]]:
    """Fuse and convert, the sound adapter and the lost one."""
    from phase8.engine.losses import cast_adapter, cast_base

    work.mkdir(exist_ok=True)
    base = cast_base(model.base, "float32", work / f"{model.name} wide") if setting.cast == "weights" else model.base
    dtype = {"weights": model.dtype, "scales": "float16"}.get(setting.cast)
    for kind, adapter in (("sound", model.adapter), ("lost", model.lost)):
        used = adapter
        if setting.cast == "products":
            used = cast_adapter(adapter, model.dtype, work / f"{model.name} {kind} adapter")
        floats = _folder(work, model, kind, None)
        fused = floats.with_name(f"{floats.name} as fused") if dtype else floats
        yield stock_fuse(base, used, fused, ())
        if dtype:
            yield ["convert", "--hf-path", f"{fused}", "--mlx-path", f"{floats}", "--dtype", dtype]
        for bits in _WIDTHS[1:]:
            more = ["--dtype", dtype] if dtype else []
            yield [*stock_convert(fused, bits or 0, _GROUP_SIZE, _folder(work, model, kind, bits), ()), *more]


def _run(setting: Setting, commands: Sequence[Sequence[str]]) -> None:
    """Run commands of stock mlx-lm in one process with this arithmetic.

    Raises:
        RuntimeError: one failed; the end of the output is in the message.
    """
    threads = str(min(setting.threads, this_machine().cores))
    environment = os.environ | dict.fromkeys(THREADS, threads) | dict(setting.environment)
    command = stock_session(setting.library, commands)
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if ran.returncode:
        raise RuntimeError(f"mlx_lm with {setting.name} ended with {ran.returncode}:\n{ran.stdout.rstrip()[-1500:]}")


def _line(one: Judged) -> str:
    """What differs in the sound folder, and how many losses of the other one are named."""
    faults = one.sound.faults
    codes, scales = sum(m.differing for m in faults), sum(m.scales_differing for m in faults)
    steps = max((m.worst_steps or 0.0 for m in faults), default=0.0)
    ulps = max((m.worst_ulps or 0.0 for m in faults), default=0.0)
    width, what = (f"{one.bits} bits", "codes") if one.bits else ("float", "floats")
    told = f"{one.model.name} | {one.setting.name} | {width} | {codes:,} {what}, {steps:.2g} steps | "
    told += f"{scales:,} scales, {ulps:.2g} ulps | "
    if one.sound.outcome in _RIGHT:
        told += one.sound.outcome
    else:
        told += f"{one.sound.outcome.upper()}: {faults[0].path}: {faults[0].reason}"
    unnamed = one.unnamed
    return f"{told} | " + (f"NOT NAMED: {'; '.join(unnamed)}" if unnamed else f"{len(one.model.losses)} losses named")
