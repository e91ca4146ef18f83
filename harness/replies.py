"""From a model's text to a judged reply; and the two synthetic controls that must fail."""

from collections.abc import Iterable, Sequence

from harness.cases import Case
from harness.formats import Call, Tools, parse_reply, render_call
from harness.profile import Prompting
from harness.record import Finish, Reply

SYNTHETIC_CONTROLS = ("always-call", "always-direct")


def read_reply(
    case: Case, text: str, tokens: Sequence[int], finish: Finish, prompt_tokens: int, prompting: Prompting, tools: Tools
) -> Reply:
    """A reply as it is recorded: raw text, parsed calls, the failure by name, and what it decided.

    Text from a stop sequence on that came as ordinary tokens is cut off and kept in ``after_stop``.
    """
    spilled = ""
    for stop in prompting.stop_sequences:
        head, found, tail = text.partition(stop)
        if found:
            text, spilled = head, found + tail + spilled
    parsed = parse_reply(text, prompting.format, tools, finished=finish == "stop")
    decision = "empty" if parsed.decision == "answer" and not text.strip() else parsed.decision
    return Reply(
        case=case.id,
        suite=case.suite,
        turn=case.turn,
        label=case.label,
        query=case.query,
        prompt_tokens=prompt_tokens,
        text=text,
        tokens=tuple(tokens),
        finish=finish,
        after_stop=spilled,
        calls=parsed.calls,
        failure=parsed.failure and f"{parsed.failure}: {parsed.detail}",
        decision=decision,
        group=case.group,
        category=case.category,
        unseen=case.unseen,
    )


def synthetic_replies(control: str, cases: Iterable[Case], prompting: Prompting, tools: Tools) -> list[Reply]:
    """What ``always-call`` or ``always-direct`` would reply, read by the same code as a model's text."""
    if control == "always-call":
        function = tools[0]["function"]
        arguments = {
            name: _example(function["parameters"], name) for name in function["parameters"].get("required", [])
        }
        text = render_call(Call(name=function["name"], arguments=arguments), prompting.format)
    elif control == "always-direct":
        text = "It depends on the project."
    else:
        raise ValueError(f"{control!r} is not one of {SYNTHETIC_CONTROLS}")
    return [read_reply(case, text, (), "stop", 0, prompting, tools) for case in cases]


def _example(parameters: dict, name: str) -> object:
    schema = parameters["properties"].get(name, {})
    if "enum" in schema:
        return schema["enum"][0]
    kind, least = schema.get("type", "string"), schema.get("minimum", 1)
    kind = kind[0] if isinstance(kind, list) else kind
    return {"integer": least, "number": least, "boolean": True, "array": [], "object": {}, "null": None}.get(kind, ".")
