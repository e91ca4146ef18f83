"""What every unit test may rely on."""

import os
from collections.abc import Iterator

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The real run first: it takes as long as all the others, which other processes get through beside it."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")


@pytest.fixture(scope="session", autouse=True)
def _no_worker() -> Iterator[None]:
    """What a test starts is no worker itself: in one pytest-benchmark measures nothing."""
    worker = os.environ.pop("PYTEST_XDIST_WORKER", None)
    yield
    if worker is not None:
        os.environ["PYTEST_XDIST_WORKER"] = worker


@pytest.fixture(scope="session", autouse=True)
def _own_reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A command that a test runs without ``--reports`` does not empty the checkout's ``reports/latest/``."""
    from harness import cli

    folder = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("REPORTS", "BFCL_REPORTS", "POWER_REPORTS"):
            patch.setattr(cli, name, folder / name.lower())
        yield


@pytest.fixture(scope="session", autouse=True)
def _fast_blas() -> None:
    """The BLAS of the product, loaded before any test imports MLX, whichever test comes first.

    Without it the order of the tests decided who multiplies, and with it the last bit of a fused weight.
    """
    import harness.engine  # noqa: F401
