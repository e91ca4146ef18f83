"""A split of the corpus as training rows."""

from pathlib import Path

from phase8.chat.jsonl import read_rows
from phase8.core.errors import InvalidInput
from phase8.engine.load.chat import Row, stop_ids, training_row
from phase8.engine.load.tokenizer import read_tokenizer
from phase8.profile.sections import Prompting


def read_split(tokenizer_folder: Path, split: Path, prompting: Prompting) -> list[Row]:
    """Every conversation of a split as tokens with the assistant's marked, told of its own row's tools.

    Raises:
        InvalidInput: an unreadable split, or a row whose turns cannot be told apart; its line is named.
    """
    tokenizer = read_tokenizer(tokenizer_folder)
    stops = stop_ids(tokenizer, prompting.stop_sequences)
    rows = []
    for number, row in enumerate(read_rows(split), 1):
        try:
            rows.append(training_row(tokenizer, row["messages"], stops, row.get("tools"), prompting))
        except InvalidInput as error:
            raise InvalidInput(f"{split}:{number}: {error}") from error
    return rows
