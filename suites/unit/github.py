"""As much of GitHub as the scripts of ``ci/`` take, over real HTTP."""

import json
import re
from http.server import BaseHTTPRequestHandler
from typing import Any


class GitHub(BaseHTTPRequestHandler):
    """The comments of one pull request."""

    comments: list[dict[str, Any]]
    writable = True

    def do_GET(self) -> None:
        """One page of comments."""
        page = int(re.findall(r"[?&]page=(\d+)", self.path)[0])
        self._answer(200, self.comments[100 * (page - 1) : 100 * page])

    def do_POST(self) -> None:
        """A new comment."""
        if not self.writable:
            self._answer(403, {"message": "Resource not accessible by integration"})
            return
        made = {"id": len(self.comments), "user": {"type": "Bot"}, "html_url": "new", "body": self._body()}
        self.comments.append(made)
        self._answer(201, made)

    def do_PATCH(self) -> None:
        """A changed one."""
        found = next(one for one in self.comments if one["id"] == int(self.path.rpartition("/")[2]))
        found.update(body=self._body(), html_url="changed")
        self._answer(200, found)

    def _body(self) -> str:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))["body"]

    def _answer(self, status: int, value: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""
