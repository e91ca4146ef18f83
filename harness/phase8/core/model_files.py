"""The files that a model folder takes over from the one it is made from, byte for byte: tokenizer and chat templates.

A tokenizer that is read and saved again is another file: transformers 5 names a class that transformers 4 does not
know, and leaves out files that other clients read. So nothing here is read, only copied.
"""

import shutil
from pathlib import Path

TOKENIZER = (
    "tokenizer.*",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",  # of SentencePiece and tiktoken
    "*.tiktoken",
    "*.spm",
    "tekken.json",
    "*.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
)
# Where inputs are prepared and replies end; the code that mlx-lm copies, which the harness never runs.
BESIDE = ("generation_config.json", "*processor_config.json", "*.py")


def taken_over(folder: Path) -> list[Path]:
    """The files of a model folder that a folder made from it holds too, relative to it and sorted."""
    found = {path for pattern in (*TOKENIZER, *BESIDE) for path in folder.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(folder) for path in found)


def take_over(base: Path, folder: Path) -> None:
    """Copy those files of ``base`` into ``folder``, byte for byte."""
    for name in taken_over(base):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(base / name, folder / name)
