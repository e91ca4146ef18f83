"""What every unit test may rely on."""

import os

import pytest

# Set in each of the processes that share the tests; what a test starts is none of them, and measures.
os.environ.pop("PYTEST_XDIST_WORKER", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The real run first: it takes as long as all the others, which other processes get through beside it."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")


@pytest.fixture(scope="session", autouse=True)
def _fast_blas() -> None:
    """The BLAS of the product, loaded before any test imports MLX, whichever test comes first.

    Without it the order of the tests decided who multiplies, and with it the last bit of a fused weight.
    """
    import harness.engine  # noqa: F401
