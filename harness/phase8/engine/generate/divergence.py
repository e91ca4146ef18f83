"""Where two replies to one prompt part, and by how much the model prefers its own token there."""

import math
from typing import NamedTuple

from mlx_lm.tokenizer_utils import TokenizerWrapper

from phase8.cases.cases import Case
from phase8.cases.replies import read_reply
from phase8.chat.formats import Tools
from phase8.engine.generate.batched import Generated
from phase8.engine.timing.latency import Prompts
from phase8.profile.sections import Prompting
from phase8.record.audit import Parting
from phase8.record.run import Decision


class Asked(NamedTuple):
    """A case, its prompt in tokens, and how replies to it are read."""

    case: Case
    prompt: list[int]
    prompting: Prompting
    tools: Tools


def parting(
    asked: Asked, prompts: Prompts, tokenizer: TokenizerWrapper, stops: set[int], mine: Generated, other: Generated
) -> Parting:
    """Where ``mine`` first has another token than ``other``, whose tokens are not the same.

    A reply that ends there has the likeliest stop token.
    """
    pairs = enumerate(zip(mine.tokens, other.tokens, strict=False))
    ends = min(len(mine.tokens), len(other.tokens))
    position = next((i for i, (a, b) in pairs if a != b), ends)
    tokens = [{one.tokens[position]} if position < len(one.tokens) else stops for one in (mine, other)]
    gap = prompts.gap(asked.prompt, mine.tokens[:position], *tokens)
    decisions = {_decision(asked, tokenizer, one) for one in (mine, other)}
    return Parting(position=position, gap=gap if math.isfinite(gap) else None, same_decision=len(decisions) == 1)


def _decision(asked: Asked, tokenizer: TokenizerWrapper, one: Generated) -> Decision:
    text = tokenizer.decode(list(one.tokens))
    reply = read_reply(asked.case, text, one.tokens, one.finish, asked.prompt, asked.prompting, list(asked.tools))
    return reply.decision
