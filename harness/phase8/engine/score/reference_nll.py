"""Likelihood by the plain definition: a row at a time, no cache, nothing fused; faster ways are checked against it."""

import json
import shutil
from pathlib import Path

import mlx.core as mx
import numpy as np

from phase8.core.errors import InvalidInput
from phase8.engine.load.models import load_fast
from phase8.engine.score.rows import Work


def live_nll(base: Path, adapter: Path | None, work: Work) -> np.ndarray:
    """The NLL (N,) in nats, float64, of every assistant token of the held-out rows under the live adapter.

    Args:
        base: an mlx-lm model folder.
        adapter: an adapter on it; None for the base alone.
        work: the rows.

    Raises:
        InvalidInput: base or adapter cannot be used.
    """
    model, _ = load_fast(base, adapter)
    found = []
    for one in (one for one in work.scored if one.continuation):
        tokens = (*one.prompt, *one.continuation)
        logits = model(mx.array([tokens[:-1]]))[0, len(one.prompt) - 1 :].astype(mx.float32)
        wide = np.array(logits).astype(np.float64)
        targets = np.array(one.continuation)
        nll = np.logaddexp.reduce(wide, axis=-1) - wide[np.arange(len(targets)), targets]
        found.append(nll[np.array(one.written)])
    return np.concatenate(found)


def scaled(adapter: Path, factor: float, out: Path) -> Path:
    """A copy of an adapter folder whose delta is ``factor`` times as large, by the scale in its config.

    Raises:
        InvalidInput: the adapter is none of low rank, so that it has no scale.
    """
    shutil.copytree(adapter, out)
    config = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    if "scale" not in config.get("lora_parameters", {}):
        raise InvalidInput(f"{adapter}: lora_parameters.scale is missing; only a low-rank adapter has a known share")
    config["lora_parameters"]["scale"] *= factor
    (out / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return out
