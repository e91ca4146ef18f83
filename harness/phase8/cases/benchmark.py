"""What a model said to the items of an outside benchmark."""

from typing import Literal, get_args

from phase8.core.values import Frozen
from phase8.record.run import Finish

Category = Literal["simple_python", "irrelevance"]
CATEGORIES: tuple[Category, ...] = get_args(Category)


class BenchmarkReply(Frozen):
    """What a model said to one item: the raw text, and the tokens of prompt and reply."""

    id: str
    prompt_tokens: int
    tokens: int
    text: str
    finish: Finish


class AskedBatch(Frozen):
    """Replies that were written together, and the seconds that this took."""

    category: Category
    seconds: float
    replies: tuple[BenchmarkReply, ...]
