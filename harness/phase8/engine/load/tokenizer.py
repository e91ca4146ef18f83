"""The tokenizer of a model folder, read as mlx-lm does and tried out."""

from pathlib import Path

from mlx_lm.tokenizer_utils import TokenizerWrapper
from mlx_lm.utils import load_tokenizer

from phase8.core.errors import InvalidInput


def read_tokenizer(folder: Path) -> TokenizerWrapper:
    """The tokenizer of a model folder, never with remote code.

    Raises:
        InvalidInput: no tokenizer there, an unreadable one, or one without a chat template that renders a question.
    """
    if not (folder / "tokenizer.json").is_file() and not (folder / "tokenizer.model").is_file():
        raise InvalidInput(
            f"{folder}: no tokenizer.json or tokenizer.model. Copy the base model's tokenizer files there"
        )
    try:
        tokenizer = load_tokenizer(folder, {"trust_remote_code": False})
    except Exception as error:  # of whatever kind: tokenizers raises the bare class, transformers what it trips over
        raise InvalidInput(f"{folder}: the tokenizer cannot be read: {error!r}") from error
    if not tokenizer.has_chat_template:
        raise InvalidInput(f"{folder}: the tokenizer has no chat template. Add chat_template to tokenizer_config.json")
    try:
        asked = [{"role": "user", "content": "Hi"}]
        text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # a template is a program: it can raise anything
        raise InvalidInput(f"{folder}: the chat template does not render a question: {error!r}") from error
    if not str(text).strip():
        raise InvalidInput(f"{folder}: the chat template renders a question as nothing. Copy the base model's template")
    return tokenizer
