"""The pydantic base of every value that is read from or written to a file."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", defer_build=True, frozen=True)
