"""What every unit test may rely on."""

from collections.abc import Iterator

import pytest

from suites.unit.pocket_run import PocketRun, pocket_run

_ORDER = {"test_end_to_end.py": -1, "test_planted_losses.py": 1, "test_resume.py": 1, "test_readme.py": 1}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The real run first: it takes as long as all the others, which other processes get through beside it.

    What else needs that run comes last: nobody waits for it then.
    """
    items.sort(key=lambda item: _ORDER.get(item.path.name, 0))


@pytest.fixture(scope="session")
def pocket(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> PocketRun:
    """One complete run of ``pocket`` for all processes of the session; the first that asks makes it."""
    root = tmp_path_factory.getbasetemp()
    return pocket_run(root.parent if hasattr(pytestconfig, "workerinput") else root)


@pytest.fixture(scope="session", autouse=True)
def _apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What every test stands on. One fixture, since each costs every test a little when they are collected.

    The product's own BLAS is loaded before any test imports MLX, whichever test comes first: without it the order of
    the tests decided who multiplies, and with it the last bit of a fused weight. What a test starts is no worker:
    in one pytest-benchmark measures nothing. A command without ``--reports`` does not empty the checkout's own.
    """
    import phase8.engine  # noqa: F401
    from phase8.cli import main as cli
    from phase8.core.project import importable

    folder = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_XDIST_WORKER", raising=False)
        patch.setenv("PYTHONPATH", importable()["PYTHONPATH"])
        for name in ("REPORTS", "BFCL_REPORTS", "POWER_REPORTS"):
            patch.setattr(cli, name, folder / name.lower())
        yield
