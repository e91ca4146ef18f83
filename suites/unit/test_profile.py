"""Profiles: what is read, and what is refused by name."""

from pathlib import Path

import pytest

from phase8.core.errors import InvalidInput
from phase8.profile.loading import PROFILES, load
from suites.unit.profiles import READY, smollm2, write_profile

SHIPPED = sorted(path.stem for path in PROFILES.glob("*.toml"))


def refusal(path: Path) -> str:
    """The message that a profile is refused with."""
    with pytest.raises(InvalidInput) as caught:
        load(str(path))
    return str(caught.value)


def test_four_profiles_are_shipped() -> None:
    """The tests below read these."""
    assert SHIPPED == ["pocket", "qwen25-coder-7b", "qwen3-coder-30b", "smollm2"]


def test_a_shipped_profile_loads_by_its_name(subtests: pytest.Subtests) -> None:
    """The name in the file is the name of the file."""
    for name in SHIPPED:
        with subtests.test(name=name):
            assert load(name).profile.name == name


def test_a_profile_loads_from_any_path(tmp_path: Path) -> None:
    """Its relative paths count from its own folder."""
    folder = tmp_path / "some where"
    folder.mkdir()
    found = load(str(write_profile(folder)))
    assert found.profile.variant_names() == ["tuned"]
    assert found.resolve("tuned") == folder / "tuned"


def test_an_unknown_profile_is_answered_with_the_shipped_names() -> None:
    """So that the next try is right."""
    with pytest.raises(InvalidInput, match="'pocet' not found.*pocket, qwen25-coder-7b"):
        load("pocet")


def test_broken_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    """The parser's own place is kept."""
    assert "not valid TOML" in (message := refusal(write_profile(tmp_path, ('"mine"', '"mine')))), message
    assert "line 2" in message


@pytest.mark.parametrize(
    ("found", "instead", "key", "guess", "allowed"),
    [
        ("iterations = 80", "iteration = 80", "training.iteration", "iterations", "checkpoint_every"),
        ("tool_share", "tool_shar", "corpus.tool_shar", "tool_share", "row_tokens"),
        ("distribution =", "distributio =", "base.distributio", "distribution", "parameters"),
        ("relative_to", "relativ_to", "budgets.latency.relativ_to", "relative_to", "max_decode_ratio"),
    ],
)
def test_an_unknown_key_is_named_with_a_guess_and_what_is_allowed(
    tmp_path: Path, found: str, instead: str, key: str, guess: str, allowed: str
) -> None:
    """File, key as the file has it, guess, and the other keys of that table."""
    path = smollm2(tmp_path, (found, instead))
    line = next(line for line in refusal(path).splitlines() if "unknown key" in line)
    assert line.startswith(f"{path}: {key}: unknown key. Did you mean {guess!r}? Allowed: ")
    assert allowed in line


def test_a_key_of_a_listed_model_is_checked_too(tmp_path: Path) -> None:
    """Keys in lists are named with their position."""
    path = write_profile(tmp_path, ('path = "tuned"', 'pathh = "tuned"'))
    assert f"{path}: models.0.pathh: unknown key. Did you mean 'path'? Allowed: name, path, role" in refusal(path)


def test_a_misspelt_stop_is_an_error(tmp_path: Path) -> None:
    """A model once never stopped because of this very name."""
    message = refusal(write_profile(tmp_path, ("stop_sequences", "stop")))
    assert "prompting.stop: unknown key. Did you mean 'stop_sequences'?" in message
    assert "prompting.stop_sequences: missing" in message


NOT_ALLOWED = [
    ("[4, 5, 6, 8]", "[4, 7]", "fuse.widths.1: Input should be 2, 3, 4, 5, 6 or 8. Found: 7."),
    ("[4, 5, 6, 8]", "[4, 4]", "variant fused-4bit is named twice"),
    ('recipe = "preserve"', 'recipe = "awq"', "fuse.recipe: Input should be 'mlx-lm' or 'preserve'"),
    ("[4, 5, 6, 8]", "[]", "fuse.widths"),
    ("fused-4bit =", "fused-3bit =", "unknown variant 'fused-3bit'; this profile has base, adapter, fused-8bit"),
    ('= "candidate"', '= "canditate"', "roles.fused-4bit: Input should be 'production', 'candidate' or 'control'"),
    ('relative_to = "base"', 'relative_to = "bass"', "unknown variant 'bass'"),
    ("[fuse]", '[gate.latency]\nvariants = ["fused-5bits"]\n[fuse]', "unknown variant 'fused-5bits'"),
    ("max_decode_ratio = 2.0", "", "relative_to and max_decode_ratio go together"),
    ("checkpoint_every = 40", "checkpoint_every = 30", "(80) must be a multiple of checkpoint_every (30)"),
    ("[fuse]", '[adapter]\npath = "x"\n[fuse]', "[training] and [adapter] exclude each other"),
    ('kind = "gguf-wheel"', 'kind = "gguf"', "'gguf-wheel', 'pocket', 'model'"),
    ("examples = 683", "examples = 599", "corpus.examples"),
    ("examples = 683", "examples = 801", "corpus.examples"),
    ("held_out = 0.9", "held_out = 90", "budgets.held_out"),
    ("ceiling_gb = 2.0", "ceiling_gb = inf", "budgets.memory.ceiling_gb: Input should be a finite number"),
    ('stop_sequences = ["<|im_end|>"]', "stop_sequences = []", "prompting.stop_sequences"),
]


def test_a_value_that_is_not_allowed_is_refused_by_name(subtests: pytest.Subtests, tmp_path: Path) -> None:
    """What was found and what is allowed, with the file before it."""
    for found, instead, message in NOT_ALLOWED:
        with subtests.test(found=found, instead=instead, message=message):
            path = smollm2(tmp_path, (found, instead))
            assert message in (refused := refusal(path)), refused
            assert refused.startswith(str(path))


def test_a_profile_with_nothing_to_judge_is_refused(tmp_path: Path) -> None:
    """An empty run would pass every gate."""
    path = write_profile(tmp_path, text=READY.partition("[[models]]")[0])
    assert "nothing to judge" in refusal(path)


def test_an_alias_gets_the_role_and_the_limits_it_was_given(tmp_path: Path) -> None:
    """``fused-f16`` is ``fused-float``: a limit under either name holds."""
    path = smollm2(
        tmp_path,
        ("group_size = 64", "group_size = 64\nkeep_float = true"),
        ('base = "control"', 'fused-f16 = "production"'),
        ("ceiling_gb = 2.0", "ceiling_gb = 2.0\nvariants_gb = { fused-f16 = 1.0 }"),
        ('relative_to = "base"', 'relative_to = "fused-f16"'),
    )
    profile = load(str(path)).profile
    assert profile.role("fused-float") == "production"
    assert profile.budgets.memory is not None
    assert profile.budgets.memory.variants_gb == {"fused-float": 1.0}
    assert profile.budgets.latency.relative_to == "fused-float"


def test_a_models_role_is_said_once(tmp_path: Path) -> None:
    """Two places could disagree about what may fail."""
    path = write_profile(tmp_path, ("[[models]]", '[roles]\ntuned = "candidate"\n\n[[models]]'))
    assert "the role of tuned is given in [[models]]: take it out of [roles]" in refusal(path)


def test_a_variant_without_a_role_is_a_candidate(tmp_path: Path) -> None:
    """It is measured and cannot fail the run."""
    assert load(str(smollm2(tmp_path, ('adapter = "production"', "")))).profile.role("adapter") == "candidate"


def test_survival_needs_fused_models_and_held_out_rows(tmp_path: Path) -> None:
    """What is missing is named."""
    told = refusal(write_profile(tmp_path, ("[[models]]", "[survival]\n\n[[models]]")))
    assert "[survival] compares fused models on held-out rows: add [fuse] and [corpus]" in told


def test_a_judged_width_is_no_control_too(tmp_path: Path) -> None:
    """It stands on the ladder once."""
    told = refusal(smollm2(tmp_path, ("control_widths = [2, 3]", "control_widths = [2, 4]")))
    assert "survival.control_widths: 4 is in fuse.widths too" in told


def test_the_production_variants_are_audited_unless_others_are_named(tmp_path: Path) -> None:
    """An empty list audits none; a name that the profile does not have is refused."""
    assert load("pocket").profile.audited() == ["adapter", "fused-8bit", "fused-6bit", "fused-5bit"]
    shipped = 'variants = ["adapter", "fused-5bit"]'
    for named, wanted in (('["fused-4bit"]', ["fused-4bit"]), ("[]", [])):
        path = smollm2(tmp_path, (shipped, f"variants = {named}"))
        assert load(str(path)).profile.audited() == wanted
    message = refusal(smollm2(tmp_path, (shipped, 'variants = ["fused-3bit"]')))
    assert "unknown variant 'fused-3bit'" in message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("experts_per_token = 2", "experts_per_token = 99", "experts_per_token is 99, but there are 8 experts"),
        ("hidden_size = 128", "hidden_size = 7", "hidden_size is 7; it must be a multiple of 8"),
    ],
)
def test_a_pocket_that_cannot_be_built_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Before anything is mined for it."""
    text = (PROFILES / "pocket.toml").read_text(encoding="utf-8")
    assert said in refusal(write_profile(tmp_path, (old, new), text=text))


def test_toml_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    """As any other broken TOML."""
    assert "not valid TOML" in refusal(write_profile(tmp_path, text=f"a = {'[' * 5000}{']' * 5000}"))
