"""A W&B server on loopback, for tests of the online path: as much of one as a run needs."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

KEY = {"WANDB_API_KEY": "0" * 40}


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    """That of a user who never logged in."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_") and k != "NETRC"}
    return kept | {"HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"} | more


@dataclass
class Server:
    """A W&B server, as far as runs need one; or one that fails (`broken`).

    stranger: whether it does not know the user's key. By the runs' ids: those that it refuses to
    make, those whose rows it does not take (`deaf`), and what it was told of each: rows, config
    and names (`described`), summary, exit code. holds_after: once so many runs have finished it
    takes no more rows and does not answer.
    """

    broken: bool = False
    stranger: bool = False
    holds_after: int | None = None
    refused: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    resent: list[int] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)
    described: dict[str, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: dict[str, int | None] = field(default_factory=dict)
    requests: int = 0
    variables: dict[str, str] = field(default_factory=dict)

    def graphql(self, query: str, variables: dict[str, Any], host: str) -> dict[str, Any]:
        project = {"id": "p", "name": "wnrepro", "entity": {"id": "e", "name": "me"}}
        name = variables.get("name", "")
        sent = self.history.get(name)
        bucket = {"id": "b", "name": name, "historyLineCount": len(sent or ()), "config": "{}"}
        if "viewer" in query:
            if self.stranger:
                return {"viewer": None}
            return {"viewer": {"id": "u", "entity": "me", "username": "me", "teams": {"edges": []}}}
        if "query Runs(" in query:
            # One page; no runs, no project.
            nodes = [{"node": self.node(name), "cursor": name} for name in self.history]
            page = {"edges": nodes, "pageInfo": {"endCursor": None, "hasNextPage": False}}
            return {"project": {"runCount": len(nodes), "runs": page} if nodes else None}
        if "RunResumeStatus" in query:
            tail = json.dumps([json.dumps(row) for row in (sent or [])[-1:]])
            bucket["summaryMetrics"] = json.dumps(self.summary.get(name, {}))
            rest = {"historyTail": tail, "eventsTail": "[]", "tags": []}
            counts = {"logLineCount": 0, "eventsLineCount": 0, "wandbConfig": '{"t": 1}'}
            return {"model": project | {"bucket": bucket | rest | counts if sent else None}}
        if "UpsertBucket" in query:
            self.history.setdefault(name, [])
            self.ended[name] = None
            said = {key: value for key, value in variables.items() if value is not None}
            self.described.setdefault(name, {}).update(said)
            return {"upsertBucket": {"bucket": bucket | {"project": project}, "inserted": not sent}}
        if "CreateRunFiles" in query:
            files = [{"name": f, "uploadUrl": f"http://{host}/{f}"} for f in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        return {}

    def node(self, name: str) -> dict[str, Any]:
        """A run as the listing shows it."""
        code, described = self.ended[name], self.described[name]
        return {
            "id": "b",
            "name": name,
            "tags": described.get("tags", []),
            "state": "running" if code is None else "failed" if code else "finished",
            "config": described["config"],
            "summaryMetrics": json.dumps(self.summary.get(name, {})),
            "historyLineCount": len(self.history[name]),
        }

    def stream(self, name: str, sent: dict[str, Any]) -> None:
        """A part of a run's history: lines from an offset on."""
        part = (sent.get("files") or {}).get("wandb-history.jsonl")
        if part is not None:
            rows = self.history[name]
            if part["offset"] < len(rows):
                self.resent.append(part["offset"])
            rows[part["offset"] :] = [json.loads(line) for line in part["content"]]
        for line in ((sent.get("files") or {}).get("wandb-summary.json") or {}).get("content", ()):
            self.summary[name] = json.loads(line)
        if sent.get("complete"):
            self.ended[name] = sent["exitcode"]
            self.exit_codes.append(sent["exitcode"])

    def finished(self) -> list[str]:
        return [name for name, code in list(self.ended.items()) if code == 0]

    def epochs(self) -> list[int]:
        (rows,) = self.history.values()
        return [row["epoch"] for row in rows]


@contextmanager
def serving() -> Iterator[Server]:
    """A server that answers; its `variables` are what a user's environment needs."""
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer: dict[str, Any] = {}
            status = 500 if served.broken else 200
            served.requests += 1
            if self.command == "PUT":
                served.uploaded.append(self.path)
            elif self.path == "/graphql":
                asked = json.loads(body)
                host = str(self.headers["Host"])
                variables = asked.get("variables") or {}
                if served.stranger and "UpsertBucket" in asked["query"]:
                    status, answer = 401, {"errors": [{"message": "invalid credentials"}]}
                elif variables.get("name") in served.refused and "UpsertBucket" in asked["query"]:
                    status, answer = 403, {"errors": [{"message": "not allowed"}]}
                else:
                    answer = {"data": served.graphql(asked["query"], variables, host)}
            elif not served.broken and self.path.endswith("/file_stream"):
                name = self.path.split("/")[-2]
                held = served.holds_after
                if held is not None and len(served.finished()) >= held:
                    while served.holds_after == held:
                        time.sleep(0.01)
                    self.close_connection = True  # nobody waits for it any more
                    return
                if name in served.deaf:
                    status = 500
                else:
                    served.stream(name, json.loads(body))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        thread = Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        served.variables = KEY | {"WANDB_BASE_URL": f"http://127.0.0.1:{http.server_port}"}
        yield served
        http.shutdown()
        thread.join()
