"""What is found out about a fused folder: whether its codes are what they should be, and what the delta became."""

from typing import Literal

from phase8.core.values import Frozen

Outcome = Literal[
    "adapter missing",  # the codes are those of the zero-delta control: the base alone
    "missing",  # a tensor is not in the folder
    "shape",  # tensors that are no weight of this module
    "width",  # the config says another width than the tensors have
    "unexpected",  # a tensor that the fused model has not
    "differs",  # other values
    "rounding",  # other values, all of them such as another BLAS, device or dtype gives, none at the delta's expense
    "equal",
]
WORST_FIRST: tuple[Outcome, ...] = (
    "adapter missing",
    "missing",
    "shape",
    "width",
    "unexpected",
    "differs",
    "rounding",
    "equal",
)


class Module(Frozen):
    """Where a module stands: its path, the number of its layer, its name inside the layer, its experts."""

    path: str
    layer: int | None
    name: str
    experts: int | None


class ModuleIntegrity(Module):
    """One module of a fused folder against Q(W + delta).

    ``bits`` and ``group_size`` are those of the folder's tensors, None for floats. ``weights`` are the module's,
    ``differing`` those whose code (or float) is another one, ``scales_differing`` the scales and biases that are.
    ``worst_steps`` is the largest difference in quantisation steps, for floats in units of the last place of the row's
    largest; ``worst_ulps`` that of scales and biases in units of their own. ``delta_share`` is the share of
    the delta that is there: 1 all of it, 0 nothing, 2 added twice. It is None where there is no delta, and all of these
    are None or empty where values were not compared or are equal. ``arithmetic`` is the one within whose bounds all
    differences are, where they are rounding.
    """

    touched: bool
    outcome: Outcome
    bits: int | None = None
    group_size: int | None = None
    weights: int = 0
    differing: int = 0
    scales_differing: int = 0
    worst_steps: float | None = None
    worst_ulps: float | None = None
    experts_missing: tuple[int, ...] = ()
    experts_differing: tuple[int, ...] = ()
    delta_share: float | None = None
    arithmetic: str = ""
    reason: str = ""

    @property
    def rank(self) -> int:
        """Where the outcome stands, worst first."""
        return WORST_FIRST.index(self.outcome)


class FolderIntegrity(Frozen):
    """A fused folder against its base and adapter, whose contents the keys are hashes of.

    ``settings`` names fields of the model's configuration that are not the base's, why mlx-lm refuses it, or that it
    is not the folder that was asked for.
    """

    base_key: str
    adapter_key: str
    folder_key: str
    modules: tuple[ModuleIntegrity, ...]
    settings: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The worst of all modules'; "differs" at best where the configuration does."""
        found = {module.outcome for module in self.modules} | ({"differs"} if self.settings else set())
        return next(outcome for outcome in WORST_FIRST if outcome in found)

    @property
    def faults(self) -> tuple[ModuleIntegrity, ...]:
        """The modules that are not equal bit for bit, worst first, in the order of the model."""
        ranked = sorted(self.modules, key=lambda module: module.rank)
        return tuple(module for module in ranked if module.outcome != "equal")


class ModuleDelta(Module):
    """What quantising left of the delta in one module. Ratios are None where the delta is zero.

    ``step_over_delta``: the mean quantisation step over the delta's root mean square; None for floats.
    ``codes_changed``: the share of codes (or floats) that are not the zero-delta control's.
    ``correlation``: of deq Q(W + delta) - deq Q(W) with delta, None where nothing changed.
    ``energy``: the ratio of their sums of squares. ``delta_share``: the least-squares share of the delta.
    """

    bits: int | None
    group_size: int | None
    weights: int
    delta_rms: float
    step_over_delta: float | None
    codes_changed: float
    correlation: float | None
    energy: float | None
    delta_share: float | None


class FolderDelta(Frozen):
    """The modules that an adapter touches, in the order of the model."""

    modules: tuple[ModuleDelta, ...]
