"""Put gate.md under a pull request: one comment a profile, updated by every run. The standard library alone.

    python ci/comment.py gate.md --profile NAME --pull-request NUMBER

The repository and the token are those that GitHub gives a job: ``GITHUB_REPOSITORY``, ``GITHUB_API_URL`` and
``GITHUB_TOKEN``. A token that may not write, as every pull request from a fork has, is no failure: the text then goes
to the job's summary (``GITHUB_STEP_SUMMARY``), or to standard output.
"""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIMIT = 65_536  # characters of a comment
MAY_NOT = (401, 403, 404)
PAGE = 100


def main(arguments: list[str] | None = None) -> int:
    """Write the comment, or the summary where that is not allowed; 0, or 1 where GitHub refused for another reason."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("report", type=Path, metavar="gate.md", help="the Markdown to show")
    parser.add_argument("--profile", required=True, help="one comment for each profile")
    parser.add_argument("--pull-request", type=int, required=True, metavar="NUMBER", help="where to put it")
    given = parser.parse_args(arguments)
    marker = f"<!-- phase8-gate: {given.profile} -->"
    text = f"{marker}\n{given.report.read_text(encoding='utf-8')}"
    try:
        print(comment(given.pull_request, marker, text[:LIMIT]))
    except urllib.error.HTTPError as error:
        if error.code not in MAY_NOT:
            print(f"error: {error.url}: {error.code} {error.reason}", file=sys.stderr)
            return 1
        print(f"no comment: this token may not write one ({error.code} {error.reason})")
        summarise(text)
    except urllib.error.URLError as error:
        print(f"error: GitHub cannot be reached: {error.reason}", file=sys.stderr)
        return 1
    return 0


def comment(number: int, marker: str, text: str) -> str:
    """Update the comment that begins with ``marker``, or write the first one; its address."""
    root = f"/repos/{os.environ['GITHUB_REPOSITORY']}/issues"
    mine = next((one for one in comments(f"{root}/{number}/comments") if _is_ours(one, marker)), None)
    if mine:
        return call("PATCH", f"{root}/comments/{mine['id']}", {"body": text})["html_url"]
    return call("POST", f"{root}/{number}/comments", {"body": text})["html_url"]


def comments(path: str) -> Iterator[dict[str, Any]]:
    """Every comment of a pull request, oldest first."""
    page = 1
    while found := call("GET", f"{path}?per_page={PAGE}&page={page}"):
        yield from found
        page += 1


def _is_ours(found: dict[str, Any], marker: str) -> bool:
    """Whether a bot wrote it: a person who quotes the marker keeps their comment."""
    return str(found.get("body") or "").startswith(marker) and found["user"]["type"] == "Bot"


def call(method: str, path: str, body: dict[str, str] | None = None) -> Any:
    """One request to GitHub's REST API; what it answered."""
    request = urllib.request.Request(
        os.environ.get("GITHUB_API_URL", "https://api.github.com") + path,
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def summarise(text: str) -> None:
    """The text where a person sees it without a comment."""
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    sys.exit(main())
