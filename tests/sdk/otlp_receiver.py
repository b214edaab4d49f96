"""Takes traces over OTLP/HTTP and writes down what they say, decoded with the official classes.

otlp_receiver.py PORT FILE: listens on 127.0.0.1:PORT (0: a free one), prints the port, and
appends a line of JSON to FILE for each request: path, headers, the status it answered, and the
spans. A field that the official classes do not know is an error: the sender numbered it wrong.

PUT /answers takes a list of answers for the requests to come, each {"status", "headers",
"rejected", "message"}; without one it is 200 and everything is taken.
"""

import gzip
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

answers = []
lock = threading.Lock()


def known(message):
    """Fails where a message has a field that its class does not know."""
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise ValueError(f"{message.DESCRIPTOR.full_name}: unknown field {unknown[0].field_number}")
    for field, value in message.ListFields():
        if field.message_type is not None:
            is_list = not hasattr(value, "ListFields")
            for inner in value if is_list else [value]:
                known(inner)


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, kind)


def attributes(pairs):
    named = {pair.key: plain(pair.value) for pair in pairs}
    if len(named) != len(pairs):
        raise ValueError("an attribute is there twice")
    return named


def spans(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "resource": attributes(resource.resource.attributes),
                    "scope": scope.scope.name,
                    "trace": span.trace_id.hex(),
                    "id": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "flags": span.flags,
                    "name": span.name,
                    "kind": span.SpanKind.Name(span.kind),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "status": span.status.StatusCode.Name(span.status.code),
                    "status_message": span.status.message,
                }


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        with lock:
            answers.extend(json.loads(self.body()))
        self.answer(204, {}, b"")

    def do_POST(self):
        body = self.body()
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        known(request)
        with lock:
            answer = answers.pop(0) if answers else {}
            status = answer.get("status", 200)
            line = {
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "status": status,
                "spans": list(spans(request)),
            }
            with open(sys.argv[2], "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        response = ExportTraceServiceResponse()
        if "rejected" in answer:
            response.partial_success.rejected_spans = answer["rejected"]
            response.partial_success.error_message = answer.get("message", "")
        headers = {"content-type": "application/x-protobuf", **answer.get("headers", {})}
        text = answer.get("message", "").encode()
        self.answer(status, headers, response.SerializeToString() if status == 200 else text)

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
