"""The fused folders: base and adapter at every target, in one pass where several are missing."""

from collections.abc import Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path

from phase8.core.artefact import Step, code_of
from phase8.core.errors import InvalidInput
from phase8.core.machine import numeric_environment
from phase8.core.store import free_gb_needed
from phase8.quant.layout import Target
from phase8.stages.training import Source, TrainingSteps

# What decides the bytes of a fused folder. Training has no such list, since a retrained 30 B takes hours: whoever
# changes what it computes raises the step's version.
FUSING = (
    *("core/model_files.py", "quant/layout.py", "engine/arrays.py"),
    *("engine/load/models.py", "engine/load/tokenizer.py"),
    *(f"engine/fuse/{name}.py" for name in ("float_model", "fuse", "kernels", "one_pass", "pipeline", "recipe")),
    *(f"engine/fuse/{name}.py" for name in ("safetensors_writer", "tensor_sources")),
)


class FusedSteps(TrainingSteps):
    """What base and adapter are fused to."""

    def fused(self, bits: int | None) -> Step:
        """Base and adapter fused, at ``bits`` bits or as floats.

        Raises:
            InvalidInput: the profile does not fuse, or not at this width.
        """
        fuse = self.profile.fuse
        allowed = list(fuse.widths) if fuse else []
        if fuse is None or (bits is not None and bits not in allowed):
            listed = ", ".join(map(str, allowed)) or "none"
            raise InvalidInput(f"{self.located.path}: width {bits} is not in fuse.widths: {listed}. Add it there.")

        return self.fused_from(self.adapter, Target(bits=bits, group_size=fuse.group_size, recipe=fuse.recipe))

    @cached_property
    def zero(self) -> Step:
        """An adapter like the profile's whose delta is nothing: fused, it is the zero-delta control."""

        def make(out: Path) -> None:
            from phase8.engine.fuse.zero_delta import zero_adapter

            zero_adapter(self.path(self.base), self.path(self.adapter), out)

        return Step(
            "zero", 1, {"base": self.base.key, "adapter": self.adapter.key, "mlx": metadata.version("mlx")}, make
        )

    def fused_from(self, adapter: Source, wanted: Target) -> Step:
        """The base fused with one adapter at one target, whatever the profile asks for."""

        def make(out: Path) -> None:
            self._fuse(adapter, [(wanted, out)])

        inputs = {
            **wanted.model_dump(),
            "base": self.base.key,
            "adapter": adapter.key,
            "environment": numeric_environment(),
            "code": code_of(*FUSING),
        }
        parameters = getattr(self.profile.base, "parameters", None) or 0
        recipe = self.profile.fuse.recipe if self.profile.fuse else None
        note = str(wanted) + ("" if wanted.recipe == recipe else f", {wanted.recipe}")
        note += "" if adapter.key == self.adapter.key else ", zero delta"
        per_weight = 16.0 if wanted.bits is None else wanted.bits + 32 / wanted.group_size
        return Step("fused", 2, inputs, make, disk_gb=free_gb_needed(parameters, per_weight), note=note)

    def fused_together(self, steps: Sequence[Step]) -> list[Path]:
        """The folders of several ``fused`` steps; the missing ones are built in one pass over the base an adapter."""

        def make(outs: Sequence[tuple[Step, Path]]) -> None:
            for adapter in (self.adapter, self.zero):
                made = [(step, out) for step, out in outs if step.inputs["adapter"] == adapter.key]
                wanted = [(Target(**{k: step.inputs[k] for k in Target.model_fields}), out) for step, out in made]
                if wanted:
                    self._fuse(adapter, wanted)

        return self.store.ensure_all(steps, make)

    def _fuse(self, adapter: Source, wanted: Sequence[tuple[Target, Path]]) -> None:
        from phase8.engine.fuse.fuse import fuse as fuse_adapter

        fuse_adapter(self.path(self.base), self.path(adapter), wanted)
