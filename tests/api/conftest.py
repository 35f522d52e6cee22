"""A real server for the tests of the API: `tessera serve MODEL` on free ports of the loopback interface.

TESSERA_BIN names the program (default: the release build), TESSERA_MODEL the checkpoint (default: models/demo).
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

import httpx
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TESSERA = os.environ.get("TESSERA_BIN", str(ROOT / "build/release/cmd/tessera"))
MODEL = os.environ.get("TESSERA_MODEL", str(ROOT / "models/demo"))
START_SECONDS = 120


class Server:
    """A running `tessera serve`; `http` and `grpc` are its addresses."""

    def __init__(self, folder: pathlib.Path, *options: str, model: str | pathlib.Path = MODEL):
        self.port_file = folder / "ports.json"
        self.log = open(folder / "server.log", "w+")
        self.process = subprocess.Popen(
            [TESSERA, "serve", str(model), "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
            + ["--port-file", str(self.port_file), *options],
            stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while not self.port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise RuntimeError("the server did not start:\n" + self.log.read())
            time.sleep(0.05)
        addresses = json.loads(self.port_file.read_text())
        self.http, self.grpc = addresses["http"], addresses["grpc"]
        while httpx.get(f"http://{self.http}/ready").status_code != 200:
            assert time.monotonic() < deadline, "the server never became ready"
            time.sleep(0.05)

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    def metrics(self) -> dict[str, float]:
        """Every sample, by its name with labels."""
        samples = {}
        for line in httpx.get(self.url + "/metrics").text.splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                samples[name] = float(value)
        return samples

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of `name` that have the labels."""
        total = 0.0
        for key, value in self.metrics().items():
            base, _, rest = key.partition("{")
            found = dict(re.findall(r'(\w+)="([^"]*)"', rest))
            if base == name and labels.items() <= found.items():
                total += value
        return total

    def await_idle(self, seconds: float = 10.0) -> None:
        """Waits until no request and no block is in use."""
        deadline = time.monotonic() + seconds
        names = ("tessera_requests_active", "tessera_requests_running", "tessera_requests_waiting",
                 "tessera_cache_blocks_used")
        while (state := {name: self.metric(name) for name in names}) and any(state.values()):
            assert time.monotonic() < deadline, f"left behind: {state}"
            time.sleep(0.02)

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self.log.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    if not pathlib.Path(TESSERA).exists():
        pytest.skip(f"no server program: {TESSERA} (set TESSERA_BIN)")
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    assert running.stop() == 0, "the server did not end in order"


@pytest.fixture(scope="session")
def client(server):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0, timeout=120) as made:
        yield made


@pytest.fixture(scope="session")
def model(client) -> str:
    return client.models.list().data[0].id


@pytest.fixture(scope="session")
def proto(tmp_path_factory):
    """Modules (messages, stubs) generated from the public proto file."""
    protoc = pytest.importorskip("grpc_tools.protoc")
    out = tmp_path_factory.mktemp("proto")
    result = protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"--python_out={out}", f"--grpc_python_out={out}",
                          "tessera/v1/serve.proto"])
    assert result == 0
    sys.path.insert(0, str(out))
    from tessera.v1 import serve_pb2, serve_pb2_grpc
    return serve_pb2, serve_pb2_grpc


QUESTION = [{"role": "user", "content": "What is 12 + 30?"}]
