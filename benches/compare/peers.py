"""The proxies, each from its configuration in `peers`."""

import os
import pathlib
import re
import subprocess

from load import PASSWORD
from machine import OTHER_CORE, PROXY_CORE, Process, free_port

ISSUER, SERVICE = "https://registry.example/token", "registry.example"
TOKEN_PATH = f"/token?service={SERVICE}&scope=repository:team/app:pull"
MANIFEST_BYTES = 1200
BLOB_BYTES = 256 << 20


class Site:
    """Where everything lies, and how each proxy is started there."""

    def __init__(self, directory, target, tokens):
        self.dir = pathlib.Path(directory)
        self.target = pathlib.Path(target)
        self.venv = pathlib.Path("target/compare-venv/bin").absolute()
        self.tidegate_program = self.target / "release/tidegate"
        subprocess.run(
            [
                self.venv / "python",
                "-B",
                pathlib.Path(__file__).with_name("tokens.py"),
                self.dir,
                ISSUER,
                SERVICE,
                str(tokens),
            ],
            check=True,
        )
        self.token = self.dir.joinpath("token").read_text()
        self.token_of_many = self.dir.joinpath("token-of-many").read_text()
        self.tokens = self.dir / "tokens"
        self.hash = self._hash_password()
        self.upstream_port = free_port()
        self.upstream = None
        self._contents()

    def _hash_password(self):
        command = [self.tidegate_program, "hash-password"]
        return subprocess.run(command, input=PASSWORD, capture_output=True, text=True, check=True).stdout.strip()

    def _contents(self):
        team = self.dir / "content/v2/team/app"
        for repository in (team, self.dir / "content/v2/space-50000/app"):
            repository.joinpath("manifests").mkdir(parents=True)
            repository.joinpath("manifests/latest").write_bytes(b"{" + b" " * (MANIFEST_BYTES - 2) + b"}")
        team.joinpath("blobs/uploads").mkdir(parents=True)
        self.blob = team / f"blobs/sha256:{'a' * 64}"

    def make_blob(self):
        if not self.blob.exists():
            block = os.urandom(1 << 20)
            with self.blob.open("wb") as file:
                for _ in range(BLOB_BYTES >> 20):
                    file.write(block)

    def _configure(self, name, **values):
        text = pathlib.Path(__file__).with_name("peers").joinpath(name).read_text()
        values = {
            "dir": self.dir,
            "upstream": self.upstream_port,
            "user": "user root;" if os.getuid() == 0 else "",
            **values,
        }
        return re.sub(r"@(\w+)@", lambda match: str(values[match[1]]) if match[1] in values else match[0], text)

    def _write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path

    def start_upstream(self):
        text = self._configure("upstream.conf", port=self.upstream_port, digest="sha256:" + "b" * 64)
        path = self._write("upstream.conf", text)
        command = ["nginx", "-p", self.dir, "-e", self.dir / "upstream.log", "-c", path]
        return Process(command, self.upstream_port, self.dir / "upstream.out", cores=(OTHER_CORE,))

    def nginx(self, large_buffers=False):
        port = free_port()
        buffers = (
            "proxy_buffer_size 64k; proxy_buffers 16 256k; proxy_busy_buffers_size 512k; client_body_buffer_size 256k;"
        )
        text = self._configure("nginx.conf", port=port, buffers=buffers if large_buffers else "")
        path = self._write("nginx.conf", text)
        command = ["nginx", "-p", self.dir, "-e", self.dir / "nginx.log", "-c", path]
        return Proxy(Process(command, port, self.dir / "nginx.out"), port)

    def haproxy(self, verify=False, large_buffers=False):
        port = free_port()
        check = ""
        if verify:
            valid = f"http_auth_bearer,jwt_verify(ES256,{self.dir}/public.pem) -m int 1"
            check = f"http-request deny deny_status 401 unless {{ {valid} }}"
        ring = self.dir / "haproxy-requests.ring"
        ring.unlink(missing_ok=True)
        text = self._configure(
            "haproxy.cfg",
            port=port,
            check=check,
            buffers="tune.bufsize 262144" if large_buffers else "",
            backing=f"backing-file {ring}",
        )
        path = self._write("haproxy.cfg", text)
        return Proxy(Process(["haproxy", "-db", "-f", path], port, self.dir / "haproxy.log"), port)

    def envoy(self, cache=True, tls=False):
        port = free_port()
        cached = "jwt_cache_config: { jwt_cache_size: 10000 }" if cache else ""
        secure = self._configure("envoy-tls.yaml").strip() if tls else ""
        text = self._configure("envoy.yaml", port=port, issuer=ISSUER, service=SERVICE, cache=cached, tls=secure)
        path = self._write("envoy.yaml", text)
        command = [self.venv / "envoy", "-c", path, "--concurrency", 1, "--disable-hot-restart", "--log-level", "error"]
        return Proxy(Process(command, port, self.dir / "envoy.log"), port)

    def caddy(self):
        port = free_port()
        path = self._write("Caddyfile", self._configure("Caddyfile", port=port))
        command = [self.venv / "caddy", "run", "--adapter", "caddyfile", "--config", path]
        environment = {
            "GOMAXPROCS": "1",
            "HOME": str(self.dir),
            "XDG_CONFIG_HOME": str(self.dir),
            "XDG_DATA_HOME": str(self.dir),
        }
        return Proxy(Process(command, port, self.dir / "caddy.log", environment=environment), port)

    def hyper(self):
        port = free_port()
        command = [
            self.target / "compare-hyper/release/hyper-proxy",
            f"127.0.0.1:{port}",
            f"127.0.0.1:{self.upstream_port}",
        ]
        return Proxy(Process(command, port, self.dir / "hyper.log"), port)

    def tidegate(self, workers=1, tls=False, audit=False, limits="", users="", cores=(PROXY_CORE,)):
        port, admin = free_port(), free_port()
        text = self._configure(
            "tidegate.toml",
            port=port,
            admin=admin,
            issuer=ISSUER,
            service=SERVICE,
            hash=self.hash,
            workers=workers,
            scheme="https" if tls else "http",
            tls=f'tls = {{ cert = "{self.dir}/tls.crt", key = "{self.dir}/tls.key" }}' if tls else "",
            audit=f'{{ file = "{self.dir}/tidegate-audit.log" }}' if audit else '"off"',
            limits=limits,
        )
        # Two of them run side by side, and each follows its file.
        path = self._write(f"tidegate-{port}.toml", text + users)
        path.chmod(0o600)
        for log in self.dir.glob("tidegate-*.log"):
            log.unlink()
        command = [self.tidegate_program, "serve", "--config", path]
        # As the unit of systemd and the image have it.
        environment = {"MIMALLOC_PURGE_DELAY": "0"}
        return Proxy(Process(command, port, self.dir / "tidegate.log", cores, environment), port)


class Proxy:
    """A proxy that runs, and where it listens."""

    def __init__(self, process, port):
        self.process, self.port = process, port
        self.seconds_to_listen = process.seconds_to_listen

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.__exit__(*error)
