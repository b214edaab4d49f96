"""ClickHouse's SQL engine (chdb) behind as much of its HTTP interface as a client needs.

    clickhouse_server.py PORT FOLDER [--user NAME --password TEXT]

Prints `listening on http://127.0.0.1:PORT` once it does. Port 0 takes a free one. The data
stays in FOLDER, so that a server that is started again there has it.

Of the interface (ClickHouse documentation, "HTTP interface"): a query in the parameter `query`
or the body, data of an INSERT in the body behind it; `database`, `default_format`, `param_NAME`
and any setting as parameters; the user and password as headers; an error as a status, its text
and the header X-ClickHouse-Exception-Code; GET /ping.

For tests, POST /-/switch takes a JSON object: {"refuse": STATUS or 0, "delay_ms": N}.
"""

import argparse
import json
import re
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from chdb.session import Session

# Parameters of the interface itself; every other one is a setting.
OWN = {"query", "database", "default_format", "wait_end_of_query", "user", "password"}
INSERT = re.compile(r"(?is)^\s*INSERT\s+INTO\s.*\sFORMAT\s+\w+\s*$")
CODE = re.compile(r"Code: (\d+)\.")

# As ClickHouse maps them, src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; the rest is a 500.
STATUS = {
    400: {6, 26, 27, 36, 38, 41, 42, 43, 44, 53, 62, 69, 70, 72, 117, 131, 457, 467},
    403: {192, 193, 497, 516},
    404: {16, 46, 47, 60, 81, 115},
}


class Switches:
    refuse = 0
    delay_ms = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(200, b"Ok.\n") if self.path == "/ping" else self.serve(b"")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/-/switch":
            for name, value in json.loads(body).items():
                setattr(Switches, name, value)
            return self.answer(200, b"")
        self.serve(body)

    def serve(self, body):
        time.sleep(Switches.delay_ms / 1000)
        if Switches.refuse:
            return self.answer(Switches.refuse, b"refused by a switch of the test")
        if not self.is_known():
            return self.fail("Code: 516. DB::Exception: Authentication failed. (AUTHENTICATION_FAILED)")
        try:
            self.answer(200, execute(dict(parse_qsl(urlsplit(self.path).query, True)), body))
        except Exception as error:  # Whatever the engine says is the answer.
            self.fail(str(error))

    def is_known(self):
        shown = (self.headers.get("X-ClickHouse-User"), self.headers.get("X-ClickHouse-Key"))
        return OPTIONS.password is None or shown == (OPTIONS.user, OPTIONS.password)

    def fail(self, message):
        found = CODE.search(message)
        code = int(found.group(1)) if found else 1002
        status = next((status for status, codes in STATUS.items() if code in codes), 500)
        self.answer(status, message.encode(), {"X-ClickHouse-Exception-Code": str(code)})

    def answer(self, status, body, headers={}):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def execute(parameters, body):
    """Each request has a session of its own: settings and the database end with it."""
    query = parameters.get("query", "")
    session = Session(OPTIONS.folder)
    try:
        settings = [
            f"{name} = {literal(value)}"
            for name, value in parameters.items()
            if name not in OWN and not name.startswith("param_")
        ]
        if settings:
            session.query("SET " + ", ".join(settings))
        if "database" in parameters:
            session.query("USE {name:Identifier}", params={"name": parameters["database"]})
        text = body.decode()
        separator = " " if INSERT.match(query) else "\n"
        sql = query + separator + text if query and text else query or text
        params = {
            name[len("param_"):]: value
            for name, value in parameters.items() if name.startswith("param_")
        }
        form = parameters.get("default_format", "TabSeparated")
        return session.query(sql, form, params=params).bytes()
    finally:
        session.close()


def literal(value):
    if re.fullmatch(r"-?\d+(\.\d+)?", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


class Server(ThreadingHTTPServer):
    # A client may come back to the same port at once.
    allow_reuse_address = True
    daemon_threads = True


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder")
    parser.add_argument("--user", default="default")
    parser.add_argument("--password")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = options()
    # Kept open: the engine ends with its last session.
    KEPT = Session(OPTIONS.folder)
    KEPT.query("SELECT 1")
    server = Server(("127.0.0.1", OPTIONS.port), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
