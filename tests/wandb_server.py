"""A W&B server on loopback, for tests of the online path: as much of one as a run needs."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Server:
    """A W&B server, as far as a run needs one; or one that fails (`broken`)."""

    broken: bool = False
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    resent: list[int] = field(default_factory=list)
    uploaded: list[str] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)

    def graphql(self, query: str, variables: dict[str, Any], host: str) -> dict[str, Any]:
        project = {"id": "p", "name": "wnrepro", "entity": {"id": "e", "name": "me"}}
        name = variables.get("name", "")
        sent = self.history.get(name)
        bucket = {"id": "b", "name": name, "historyLineCount": len(sent or ()), "config": "{}"}
        if "RunResumeStatus" in query:
            tail = json.dumps([json.dumps(row) for row in (sent or [])[-1:]])
            rest = {"summaryMetrics": "{}", "historyTail": tail, "eventsTail": "[]", "tags": []}
            counts = {"logLineCount": 0, "eventsLineCount": 0, "wandbConfig": '{"t": 1}'}
            return {"model": project | {"bucket": bucket | rest | counts if sent else None}}
        if "UpsertBucket" in query:
            self.history.setdefault(name, [])
            return {"upsertBucket": {"bucket": bucket | {"project": project}, "inserted": not sent}}
        if "CreateRunFiles" in query:
            files = [{"name": f, "uploadUrl": f"http://{host}/{f}"} for f in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        return {}

    def stream(self, name: str, sent: dict[str, Any]) -> None:
        """A part of a run's history: lines from an offset on."""
        part = (sent.get("files") or {}).get("wandb-history.jsonl")
        if part is not None:
            rows = self.history[name]
            if part["offset"] < len(rows):
                self.resent.append(part["offset"])
            rows[part["offset"] :] = [json.loads(line) for line in part["content"]]
        if sent.get("complete"):
            self.exit_codes.append(sent["exitcode"])

    def epochs(self) -> list[int]:
        (rows,) = self.history.values()
        return [row["epoch"] for row in rows]


@contextmanager
def serving(key: dict[str, str]) -> Iterator[Server]:
    """A server that answers; its `variables` (and `key`) are what a user's environment needs."""
    served = Server()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer: dict[str, Any] = {}
            if self.command == "PUT":
                served.uploaded.append(self.path)
            elif self.path == "/graphql":
                asked = json.loads(body)
                host = str(self.headers["Host"])
                data = served.graphql(asked["query"], asked.get("variables") or {}, host)
                answer = {"data": data}
            elif not served.broken and self.path.endswith("/file_stream"):
                served.stream(self.path.split("/")[-2], json.loads(body))
            content = json.dumps(answer).encode()
            self.send_response(500 if served.broken else 200)
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
        served.variables = key | {"WANDB_BASE_URL": f"http://127.0.0.1:{http.server_port}"}
        yield served
        http.shutdown()
        thread.join()
