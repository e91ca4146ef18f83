"""From a model's text to a judged reply; and the two synthetic controls that must fail."""

import hashlib
from collections.abc import Iterable, Sequence

from phase8.cases.cases import Case
from phase8.chat.formats import Call, Failure, Parsed, Tools, opening, parse_reply, render_call
from phase8.chat.tool_schemas import parameters
from phase8.profile.sections import Prompting
from phase8.record.run import Finish, Reply

SYNTHETIC_CONTROLS = ("always-call", "always-direct")


def read_reply(
    case: Case,
    text: str,
    tokens: Sequence[int],
    finish: Finish,
    prompt: Sequence[int],
    prompting: Prompting,
    tools: Tools,
) -> Reply:
    """A reply as it is recorded: raw text, parsed calls, the failure by name, and what it decided.

    ``prompt`` is the token ids it was given, of which length and hash are kept. Calls are checked against the case's
    own tools where it has any, else against ``tools``. Text from a stop sequence on that came as ordinary tokens is cut
    off and kept in ``after_stop``. Where the case itself limits the reply, one that was cut there and opens a call has
    decided to call.
    """
    spilled = ""
    for stop in prompting.stop_sequences:
        head, found, tail = text.partition(stop)
        if found:
            text, spilled = head, found + tail + spilled
    known = list(case.tools) if case.tools else tools
    parsed = parse_reply(text, prompting.format, known, finished=finish == "stop" or bool(spilled))
    decision = "empty" if parsed.decision == "answer" and not text.strip() else parsed.decision
    was_cut = case.max_tokens is not None and finish == "length" and not spilled
    if was_cut and parsed.failure == "truncated" and text.lstrip().startswith(opening(prompting.format)):
        parsed, decision = Parsed(), "call"
    failure: tuple[Failure, str] | None = None
    if parsed.failure:
        failure = parsed.failure, parsed.detail
    elif case.label == "tool" and decision != "call":
        failure = "no call", "nothing was said" if decision == "empty" else "it answers where a tool is to be called"
    elif spilled or (finish == "length" and not was_cut):
        failure = "ran past stop", "it writes on after one" if spilled else f"none in {len(tokens)} tokens"
    return Reply(
        case=case.id,
        suite=case.suite,
        turn=case.turn,
        label=case.label,
        query=case.query,
        prompt_tokens=len(prompt),
        prompt_hash=_hash(prompt),
        text=text,
        tokens=tuple(tokens),
        finish=finish,
        after_stop=spilled,
        calls=parsed.calls,
        failure=": ".join(failure) if failure else None,
        decision=decision,
        group=case.group,
        phrasing=case.phrasing,
        category=case.category,
        unseen=case.unseen,
    )


def _hash(prompt: Sequence[int]) -> str:
    """The first 16 hex digits of the SHA-256 of token ids in decimal; empty where there are none."""
    return hashlib.sha256(" ".join(map(str, prompt)).encode()).hexdigest()[:16] if prompt else ""


def synthetic_replies(control: str, cases: Iterable[Case], prompting: Prompting, tools: Tools) -> list[Reply]:
    """What ``always-call`` or ``always-direct`` would reply, read by the same code as a model's text."""
    if control not in SYNTHETIC_CONTROLS:
        raise ValueError(f"{control!r} is not one of {SYNTHETIC_CONTROLS}")
    replies = []
    for case in cases:
        known = list(case.tools) if case.tools else tools
        text = _any_call(known, prompting) if control == "always-call" else "It depends on the project."
        replies.append(read_reply(case, text, (), "stop", (), prompting, tools))
    return replies


def _any_call(tools: Tools, prompting: Prompting) -> str:
    name, schema = tools[0]["function"]["name"], parameters(tools[0])
    arguments = {argument: _example(schema, argument) for argument in schema.get("required", [])}
    return render_call(Call(name=name, arguments=arguments), prompting.format)


def _example(schema_of_tool: dict, name: str) -> object:
    schema = schema_of_tool.get("properties", {}).get(name, {})
    if "enum" in schema:
        return schema["enum"][0]
    kind, least = schema.get("type", "string"), schema.get("minimum", 1)
    kind = kind[0] if isinstance(kind, list) else kind
    return {"integer": least, "number": least, "boolean": True, "array": [], "object": {}, "null": None}.get(kind, ".")
