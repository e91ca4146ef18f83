"""Markdown for the page of a CI job, where there is one: GitHub shows what is appended to ``$GITHUB_STEP_SUMMARY``."""

import os
from pathlib import Path


def append(text: str) -> None:
    """Add Markdown to the job's summary; does nothing where no summary is asked for."""
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(f"{text.rstrip()}\n\n")
