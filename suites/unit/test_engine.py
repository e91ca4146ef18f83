"""What touches MLX, on models small enough to make here."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from phase8.core.errors import InvalidInput

if TYPE_CHECKING:
    from phase8.engine.load.chat import Row

STOPS = ("<|im_end|>",)
CHAT = [
    {"role": "system", "content": "Help."},
    {"role": "user", "content": "find it"},
    {"role": "assistant", "content": "call"},
    {"role": "tool", "content": "a.py"},
    {"role": "assistant", "content": "in a.py"},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a tokenizer and a tiny untrained qwen3_moe."""
    import mlx.core as mx
    from mlx_lm.models import qwen3_moe
    from mlx_lm.utils import save

    from phase8.engine.load.tokenizer import read_tokenizer
    from phase8.engine.train.pocket import model_config, train_tokenizer
    from phase8.profile.sections import PocketBase

    out = tmp_path_factory.mktemp("model")
    train_tokenizer(["find it in a.py call Help."] * 50, 300, out)
    base = PocketBase(
        kind="pocket",
        vocabulary=300,
        hidden_size=64,
        layers=2,
        experts=4,
        experts_per_token=2,
        iterations=1,
        batch_size=1,
        learning_rate=1e-3,
        seed=0,
        parameters=1,
    )
    config = model_config(base)
    mx.random.seed(3)
    model = qwen3_moe.Model(qwen3_moe.ModelArgs.from_dict(config))
    save(out, str(out), model, read_tokenizer(out), config, donate_model=False)
    return out


def test_every_assistant_turn_is_marked_and_nothing_else(folder: Path) -> None:
    """From its first token to its stop token; the template's own tokens are left out."""
    from phase8.engine.load.chat import stop_ids, training_row
    from phase8.engine.load.tokenizer import read_tokenizer

    tokenizer = read_tokenizer(folder)
    row = training_row(tokenizer, CHAT, stop_ids(tokenizer, STOPS))
    marked = [token for token, mine in zip(row.tokens, row.assistant, strict=True) if mine]
    assert tokenizer.decode(marked) == "call<|im_end|>in a.py<|im_end|>"


def test_a_stop_sequence_of_several_tokens_is_refused(folder: Path) -> None:
    """No reply could be trained to end with it."""
    from phase8.engine.load.chat import stop_ids
    from phase8.engine.load.tokenizer import read_tokenizer

    with pytest.raises(InvalidInput, match="must be one"):
        stop_ids(read_tokenizer(folder), ("STOP HERE",))


def rows(*lengths: int) -> "list[Row]":
    """Rows of these lengths, each with its own token."""
    from phase8.engine.load.chat import Row

    return [Row(tokens=(i + 1,) * n, assistant=(False,) + (True,) * (n - 1)) for i, n in enumerate(lengths)]


def test_batches_from_the_middle_are_those_of_an_uninterrupted_run() -> None:
    """Over the end of an epoch too: the batch cursor is one number."""
    from phase8.engine.train.batches import shuffled

    data = rows(*range(3, 13))
    whole, later = shuffled(data, 2, 7, 0), shuffled(data, 2, 7, 8)
    expected = [next(whole)[0].tolist() for _ in range(12)][8:]
    assert [next(later)[0].tolist() for _ in range(4)] == expected


def test_fewer_rows_than_a_batch_are_refused() -> None:
    """Instead of a division by zero in the middle of training."""
    from phase8.engine.train.batches import batch_order

    with pytest.raises(InvalidInput, match="do not fill one batch"):
        batch_order(rows(4), 2)


def test_padding_is_never_a_target() -> None:
    """The mask covers the targets, shifted by one, and no padded position; the positions are those of the mask."""
    from phase8.engine.train.batches import PAD_TO, to_arrays

    tokens, mask, where = to_arrays(rows(4, 6))
    assert tokens.shape == (2, 1 + PAD_TO)
    assert mask.shape == (2, PAD_TO)
    assert mask.sum(axis=1).tolist() == [3.0, 5.0]
    marked = [0, 1, 2, PAD_TO, PAD_TO + 1, PAD_TO + 2, PAD_TO + 3, PAD_TO + 4]
    assert where.tolist() == marked
    *_, where = to_arrays(rows(4, 7))
    assert where.tolist() == [*marked, PAD_TO + 5] + [-1] * 7


def test_the_halves_of_a_batch_hold_its_rows_once_and_pad_little() -> None:
    """Short rows are padded to the longest of the short ones; a batch of one row has one part."""
    from phase8.engine.train.batches import PAD_TO, to_arrays

    short, _, short_where, long, long_mask, _ = to_arrays(rows(4, 40, 5, 6), parts=2)
    assert (short.shape, long.shape) == ((3, 1 + PAD_TO), (1, 1 + 3 * PAD_TO))
    assert (short_where >= 0).sum().item() == 3 + 4 + 5
    assert long_mask.sum().item() == 39
    assert len(to_arrays(rows(4), parts=2)) == 3


def test_a_batch_in_halves_has_the_loss_of_the_whole(folder: Path) -> None:
    """Value, number of targets and gradients, with halves of different sizes."""
    import mlx.core as mx
    import mlx.nn as nn

    from phase8.engine.arrays import named_arrays
    from phase8.engine.load.models import load_fast
    from phase8.engine.train.batches import to_arrays
    from phase8.engine.train.loss import assistant_loss

    model, _ = load_fast(folder)
    of_loss = nn.value_and_grad(model, assistant_loss(model))
    (whole, count), expected = of_loss(model, *to_arrays(rows(7, 40, 12, 9)))
    (halves, again), gradients = of_loss(model, *to_arrays(rows(7, 40, 12, 9), parts=2))
    assert count.item() == again.item() == 6 + 39 + 11 + 8
    assert abs(whole.item() - halves.item()) < 1e-5
    wanted = named_arrays(expected)
    for name, gradient in named_arrays(gradients).items():
        assert mx.allclose(gradient, wanted[name], rtol=1e-3, atol=1e-5).item(), name


def test_the_loss_of_marked_positions_is_that_of_all_logits(folder: Path) -> None:
    """Value, number of targets and gradients, against mlx-lm's way of computing every position."""
    import mlx.core as mx
    import mlx.nn as nn

    from phase8.engine.arrays import named_arrays
    from phase8.engine.load.models import load_fast
    from phase8.engine.train.batches import to_arrays
    from phase8.engine.train.loss import assistant_loss

    model, _ = load_fast(folder)

    def over_all(model: nn.Module, tokens: mx.array, mask: mx.array, _: mx.array) -> tuple[mx.array, mx.array]:
        losses = nn.losses.cross_entropy(model(tokens[:, :-1]), tokens[:, 1:]) * mask
        return losses.sum() / mask.sum(), mask.sum()

    batch = to_arrays(rows(7, 20, 12))
    (ours, count), gradients = nn.value_and_grad(model, assistant_loss(model))(model, *batch)
    (stock, wanted), expected = nn.value_and_grad(model, over_all)(model, *batch)
    assert count.item() == wanted.item() == 6 + 19 + 11
    assert abs(ours.item() - stock.item()) < 1e-5
    wanted_gradients = named_arrays(expected)
    for name, gradient in named_arrays(gradients).items():
        assert mx.allclose(gradient, wanted_gradients[name], rtol=1e-3, atol=1e-5).item(), name


def test_a_model_whose_head_cannot_be_parted_is_trained_on_all_logits(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that scales its logits, say: body and head apart would give another loss."""
    from phase8.engine.load.models import load_fast
    from phase8.engine.train.loss import can_be_parted

    model, _ = load_fast(folder)
    assert can_be_parted(model)

    stock = type(model).__call__
    monkeypatch.setattr(type(model), "__call__", lambda self, tokens: stock(self, tokens) * 0.5)
    assert not can_be_parted(model)


def test_batched_replies_are_those_of_mlx_lm_one_by_one(folder: Path) -> None:
    """Prompts of different lengths with a common beginning, greedy, against mlx-lm's own generation."""
    from mlx_lm import stream_generate

    from phase8.engine.generate.batched import greedy, shared_prefix
    from phase8.engine.load.models import load_fast

    model, tokenizer = load_fast(folder)
    prompts = [[1, 5, 6, 7, *range(8, 8 + n)] for n in (1, 4, 9)]
    assert shared_prefix(prompts) == 4
    batched = greedy(model, tokenizer, prompts, stops=set(), max_tokens=12)
    for prompt, reply in zip(prompts, batched, strict=True):
        tokenizer.eos_token_ids = set()
        alone = [r.token for r in stream_generate(model, tokenizer, prompt, max_tokens=12)]
        assert list(reply.tokens) == alone
        assert reply.finish == "length"


def test_a_reply_ends_before_its_stop_token(folder: Path) -> None:
    """The stop token is not part of the reply, and the others in the batch go on."""
    from phase8.engine.generate.batched import greedy
    from phase8.engine.load.models import load_fast

    model, tokenizer = load_fast(folder)
    prompts = [[1, 5, 6], [1, 9, 12, 30]]
    free = greedy(model, tokenizer, prompts, stops=set(), max_tokens=8)
    stop = free[0].tokens[2]
    stopped = greedy(model, tokenizer, prompts, stops={stop}, max_tokens=8)
    assert stopped[0].tokens == free[0].tokens[: free[0].tokens.index(stop)]
    assert stopped[0].finish == "stop"


def test_dequantised_weights_are_the_values_the_quantised_kernel_uses() -> None:
    """A product with the codes and one with the dequantised weights agree to float32 rounding."""
    import mlx.core as mx
    import mlx.nn as nn

    from phase8.engine.load.models import dequantise

    mx.random.seed(0)
    model = nn.Sequential(nn.Linear(64, 32, bias=False))
    nn.quantize(model, 32, 4)
    x = mx.random.normal((5, 64))
    quantised = model(x)
    assert mx.allclose(quantised, dequantise(model)(x), rtol=1e-5, atol=1e-5).item()


def test_q_and_k_rows_are_put_back_as_they_were_before_llama_cpp() -> None:
    """The inverse of llama.cpp's reordering, on a head of six rows."""
    import mlx.core as mx

    from phase8.engine.load.gguf import _unpermute

    original = mx.arange(12).reshape(12, 1)
    permuted = original.reshape(2, 2, 3, 1).swapaxes(1, 2).reshape(12, 1)
    assert permuted.tolist() != original.tolist()
    assert _unpermute(permuted, 2).tolist() == original.tolist()


def test_an_incomplete_adapter_is_refused(folder: Path, tmp_path: Path) -> None:
    """mlx-lm would leave the missing tensors random."""
    import mlx.core as mx
    from mlx_lm.tuner.utils import linear_to_lora_layers

    from phase8.engine.arrays import named_arrays
    from phase8.engine.load.models import attach_adapter, read_model

    model = read_model(folder)
    model.freeze()
    linear_to_lora_layers(model, 1, {"rank": 2, "scale": 1.0, "dropout": 0.0})
    tensors = named_arrays(model.trainable_parameters())
    dropped = sorted(tensors)[0]
    mx.save_safetensors(str(tmp_path / "adapters.safetensors"), {k: v for k, v in tensors.items() if k != dropped})
    (tmp_path / "adapter_config.json").write_text(
        '{"num_layers": 1, "lora_parameters": {"rank": 2, "scale": 1.0, "dropout": 0.0}}'
    )
    with pytest.raises(InvalidInput, match="1 of .* adapter tensors are missing"):
        attach_adapter(read_model(folder), tmp_path)


def test_an_adapter_for_another_base_is_refused(folder: Path, tmp_path: Path) -> None:
    """Its shapes do not fit."""
    import mlx.core as mx

    from phase8.engine.load.models import attach_adapter

    mx.save_safetensors(
        str(tmp_path / "adapters.safetensors"), {"model.layers.1.self_attn.q_proj.lora_a": mx.zeros((9, 2))}
    )
    (tmp_path / "adapter_config.json").write_text(
        '{"num_layers": 1, "lora_parameters": {"rank": 2, "scale": 1.0, "dropout": 0.0}}'
    )
    from phase8.engine.load.models import read_model

    with pytest.raises(InvalidInput, match="does not fit the base"):
        attach_adapter(read_model(folder), tmp_path)


def test_a_missing_shard_is_named(folder: Path, tmp_path: Path) -> None:
    """An interrupted download leaves such a folder."""
    from phase8.engine.load.models import check_model_folder

    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}')
    with pytest.raises(InvalidInput, match="model-00002"):
        check_model_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("model.safetensors.index.json", "{", "model.safetensors.index.json: not JSON"),
        ("model.safetensors.index.json", "{}", "model.safetensors.index.json: no weight_map"),
        ("model.safetensors.index.json", '{"weight_map": {"a": 1}}', "model.safetensors.index.json: no weight_map"),
        ("config.json", "{", "config.json: not JSON"),
        ("config.json", "[]", "config.json: expected an object, found list"),
        ("config.json", "{}", "mlx-lm cannot load it"),
        ("tokenizer.json", "{}", "the tokenizer cannot be read"),
        ("tokenizer.json", '{"added_tokens": []}', "the tokenizer cannot be read"),
        ("tokenizer_config.json", "[]", "the tokenizer cannot be read"),
        ("chat_template.jinja", "{% for %}", "the chat template does not render a question: TemplateSyntaxError"),
        ("chat_template.jinja", "{{ raise_exception('no') }}", "does not render a question: TemplateError('no')"),
        ("chat_template.jinja", "{{ messages + 1 }}", "does not render a question: TypeError"),
        ("chat_template.jinja", "", "the chat template renders a question as nothing"),
    ],
)
def test_a_damaged_file_of_a_model_is_named(folder: Path, tmp_path: Path, name: str, text: str, said: str) -> None:
    """With its folder, in one message."""
    from phase8.engine.load.models import load_shipped

    damaged = tmp_path / "model"
    shutil.copytree(folder, damaged)
    (damaged / name).write_text(text)
    with pytest.raises(InvalidInput) as refused:
        load_shipped(damaged)
    assert str(refused.value).startswith(str(damaged))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "adapter_config.json has no num_layers and no lora_parameters"),
        ("[]", "expected an object, found list"),
        ("{", "not JSON"),
        ('{"num_layers": 1, "lora_parameters": []}', "does not fit the base"),
    ],
)
def test_a_damaged_adapter_config_is_named(folder: Path, tmp_path: Path, text: str, said: str) -> None:
    """Whatever it lacks."""
    from phase8.engine.load.models import attach_adapter, read_model

    (tmp_path / "adapters.safetensors").write_bytes(b"")
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(InvalidInput, match=said) as refused:
        attach_adapter(read_model(folder), tmp_path)
    assert str(refused.value).startswith(str(tmp_path))


def test_a_dequantised_embedding_gives_the_rows_of_the_shipped_one() -> None:
    """Rounded in the dtype of its scales, as the quantised module computes them; products are exact."""
    import mlx.core as mx
    import mlx.nn as nn

    from phase8.engine.load.models import dequantise

    mx.random.seed(0)
    model = nn.Sequential(nn.Embedding(50, 64))
    model.set_dtype(mx.float16)
    nn.quantize(model, 32, 4)
    shipped, tokens = model.layers[0](mx.array([3, 7, 41])), mx.array([3, 7, 41])
    embedding = dequantise(model).layers[0]
    assert shipped.dtype == mx.float16
    assert mx.array_equal(embedding(tokens), shipped.astype(mx.float32)).item()
    assert not mx.array_equal(embedding.weight[tokens], embedding(tokens)).item()


def test_a_small_model_has_one_blas_thread_where_mlx_computes(folder: Path) -> None:
    """In every thread, not the calling one alone; afterwards as many as before."""
    import ctypes
    from concurrent.futures import ThreadPoolExecutor

    from phase8.core.blas import blas
    from phase8.engine.cpu import threads_for
    from phase8.engine.load.models import load_fast

    if blas().name != "MKL":
        pytest.skip("MKL alone is limited thread by thread")
    mkl, model = ctypes.CDLL(blas().path), load_fast(folder)[0]

    def elsewhere() -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(mkl.MKL_Get_Max_Threads).result()

    before = mkl.MKL_Get_Max_Threads()
    mkl.MKL_Set_Num_Threads(2)
    for _ in range(2):  # a limit that is left behind is what the next one takes for the number before
        with threads_for(model):
            assert (elsewhere(), mkl.MKL_Get_Max_Threads()) == (1, 1)
        assert (elsewhere(), mkl.MKL_Get_Max_Threads()) == (2, 2)
    mkl.MKL_Set_Num_Threads(before)
