"""Regressions of what the model reads and where its replies end: tokenizer, chat template, prompting."""

import json

from phase8.proofs.power.plant import QUALITY, Plant, in_profile, says
from phase8.proofs.power.site import Site, replace


def _fewer_merges(site: Site) -> None:
    path = site.model / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    del tokenizer["model"]["merges"][-600:]
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def _swapped_ids(site: Site) -> None:
    path = site.model / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    known = tokenizer["model"]["vocab"]
    known["Ġin"], known["Ġof"] = known["Ġof"], known["Ġin"]  # in every sixth question: what nobody reads is no loss
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def _template(site: Site) -> None:
    replace(site.model / "chat_template.jinja", "<|im_start|>assistant\n{%", "<|im_start|>assistant{%")


def _no_stop_token(site: Site) -> None:
    path = site.model / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["added_tokens"] = [one for one in tokenizer["added_tokens"] if one["content"] != "<|im_end|>"]
    tokenizer["model"]["vocab"].pop("<|im_end|>", None)
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


_STOPS, _SYSTEM = 'stop_sequences = ["<|im_end|>"]', 'system = "You help with Python web code."'
_TERMINATION = ("termination", "runtime", "kernel agreement", *QUALITY)

TEXT = (
    Plant(
        "tokenizer-merges",
        "a third of the tokenizer's merges lost: the same text in more tokens",
        _fewer_merges,
        says("query", *QUALITY),
    ),
    Plant(
        "tokenizer-ids",
        "two tokens of the tokenizer change their ids",
        _swapped_ids,
        says("query", "decoding", *QUALITY),
    ),
    Plant("chat-template", "the newline after the role is lost", _template, says("query", *QUALITY)),
    Plant(
        "stop-token-other",
        "replies no longer end at <|im_end|>",
        in_profile(_STOPS, _STOPS.replace("im_end", "endoftext")),
        says(*_TERMINATION),
    ),
    Plant(
        "stop-token-lost",
        "<|im_end|> is no token of the tokenizer any more",
        _no_stop_token,
        says(*_TERMINATION, refusal="<|im_end|>"),
    ),
    Plant("system-prompt-lost", "the system prompt is empty", in_profile(_SYSTEM, 'system = ""'), says("query")),
)
