"""What the clients do, and how it went."""

import base64
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import time

from machine import OTHER_CORE, Failed, pinned

MANIFEST = "/v2/team/app/manifests/latest"
BLOB = "/v2/team/app/blobs/sha256:" + "a" * 64
UPLOAD = "/v2/team/app/blobs/uploads/1e9b6d2c-7a51-4f0e-9b57-3f5c0ad6c1c2?digest=sha256:" + "a" * 64
PASSWORD = "correct horse"


def basic(user):
    return "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()


def bearer(token):
    return f"Bearer {token}"


BASIC = basic("alice")


def _run(command, seconds, **environment):
    done = subprocess.run(
        pinned([OTHER_CORE], command),
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        env={**os.environ, **environment},
    )
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def wrk(port, path=MANIFEST, *, seconds, authorization=None, connections=32, refused=False, tokens=None, first=0):
    """How many requests were answered, in a closed loop. `refused`: all with an error, as none otherwise."""
    command = ["wrk", "--threads", 1, "--connections", connections, "--duration", f"{seconds}s"]
    environment = {}
    if authorization:
        command += ["--header", f"Authorization: {authorization}"]
    if tokens:
        command += ["--script", pathlib.Path(__file__).with_name("tokens.lua")]
        environment = {"TOKENS": str(tokens), "FIRST": str(first)}
    output = _run([*command, f"http://127.0.0.1:{port}{path}"], seconds, **environment)
    requests = int(re.search(r"(\d+) requests in", output)[1])
    errors = int(match[1]) if (match := re.search(r"Non-2xx or 3xx responses: (\d+)", output)) else 0
    if "Socket errors" in output or requests == 0 or errors != (requests if refused else 0):
        raise Failed(f"not what was expected of {path}:\n{output}")
    return requests


def h2load(port, *, seconds, authorization=None, tls=False, http1=False, connections=1, streams=1, rate=None, log=None):
    """How many requests succeeded; with `log`, the latencies of all in seconds. `rate`: so many a second."""
    command = ["h2load", "--duration", seconds, "--warm-up-time", "0", "--clients", connections]
    command += ["--max-concurrent-streams", streams, "--threads", 1]
    if http1:
        command += ["--h1"]
    if authorization:
        command += ["--header", f"authorization: {authorization}"]
    if rate:
        command += ["--rps", f"{rate / connections:.2f}"]
    if log:
        command += ["--log-file", log]
    scheme = "https" if tls else "http"
    output = _run([*command, f"{scheme}://127.0.0.1:{port}{MANIFEST}"], seconds)
    match = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
    succeeded, *others = map(int, match.groups())
    if succeeded == 0 or any(others):
        raise Failed(f"not what was expected of {MANIFEST}:\n{output}")
    if not log:
        return succeeded
    lines = pathlib.Path(log).read_text().splitlines()
    return [int(line.split()[2]) / 1e6 for line in lines]


def percentile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def head(method, path, port, authorization, length=None):
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    if authorization:
        lines.append(f"Authorization: {authorization}")
    if length is not None:
        lines += [f"Content-Length: {length}", "Content-Type: application/octet-stream"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(connection):
    """Status and length of the body, and what of the body has come already."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise Failed("the connection ended before its answer")
        data += more
    text, _, body = data.partition(b"\r\n\r\n")
    status = int(text.split(b" ", 2)[1])
    length = re.search(rb"(?im)^content-length: *(\d+)", text)
    return status, int(length[1]) if length else 0, body


def exchange(connection, request):
    """A small request and its whole answer: status and body."""
    connection.sendall(request)
    status, length, body = answer(connection)
    while len(body) < length:
        body += connection.recv(65536)
    return status, body


def download(port, authorization):
    """The bytes of a blob that came."""
    buffer = bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head("GET", BLOB, port, authorization))
        status, length, body = answer(connection)
        got = len(body)
        while got < length:
            more = connection.recv_into(buffer)
            if more == 0:
                break
            got += more
        if status != 200 or got != length:
            raise Failed(f"a download ended with {status} after {got} of {length} bytes")
    return got


def upload(port, authorization, blob):
    """The bytes of a blob that went."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, open(blob, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        connection.sendall(head("PUT", UPLOAD, port, authorization, length))
        connection.sendfile(file)
        status, *_ = answer(connection)
        if status not in (201, 204):
            raise Failed(f"an upload ended with {status}")
    return length


def issue_tokens(port, authorization, path, count):
    """So many tokens, all of them different."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        request = head("GET", path, port, authorization)
        answers = (exchange(connection, request) for _ in range(count))
        return [json.loads(body)["token"] for _, body in answers]


def idle_connections(port, authorization, count, tls=False):
    """Connections that have had one request each. From several addresses, since each may have so many only."""
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    request = head("GET", MANIFEST, port, authorization)
    connections = []
    for number in range(count):
        plain = socket.create_connection(
            ("127.0.0.1", port), timeout=30, source_address=(f"127.0.0.{2 + number // 500}", 0)
        )
        connection = context.wrap_socket(plain) if context else plain
        connections.append(connection)
        status, _ = exchange(connection, request)
        if status != 200:
            raise Failed(f"{status} on connection {number}")
    return connections


def log_in(port, authorization, path):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        begun = time.perf_counter()
        status, _ = exchange(connection, head("GET", path, port, authorization))
        return status, time.perf_counter() - begun
