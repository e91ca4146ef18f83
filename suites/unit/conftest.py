"""What every unit test may rely on."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _fast_blas() -> None:
    """The BLAS of the product, loaded before any test imports MLX, whichever test comes first.

    Without it the order of the tests decided who multiplies, and with it the last bit of a fused weight.
    """
    import harness.engine  # noqa: F401
