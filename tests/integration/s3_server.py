"""A real S3 server on loopback (moto) for the data tests: a bucket, and a credentials file with a profile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
from moto.server import ThreadedMotoServer

from tests.conftest import free_port

BUCKET, KEY, SECRET = "modelops-tests", "AKIAEXAMPLEONLY", "not-a-real-secret-4711"


@dataclass(frozen=True)
class S3Server:
    """Address and files of the server; `environment` is what a Runtime needs to use it."""

    endpoint: str
    credentials: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MODELOPS_S3_ENDPOINT": self.endpoint,
            "MODELOPS_S3_REGION": "us-east-1",
            "MODELOPS_S3_PROFILE": "modelops",
            "MODELOPS_S3_CREDENTIALS": str(self.credentials),
        }

    @property
    def client(self) -> Any:
        return boto3.client(
            "s3", endpoint_url=self.endpoint, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1"
        )

    def objects(self) -> dict[str, Any]:
        """Key and moment of the last write of each object."""
        listed = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {entry["Key"]: entry["LastModified"] for entry in listed}


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Serve an empty bucket until the block ends."""
    port = free_port()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    credentials = folder / "s3-credentials"
    credentials.write_text(f"[modelops]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    credentials.chmod(0o600)
    try:
        found = S3Server(f"http://127.0.0.1:{port}", credentials)
        # what an earlier server of this process held stands in the process, not in the server
        urlopen(Request(f"{found.endpoint}/moto-api/reset", method="POST"), timeout=10).close()
        found.client.create_bucket(Bucket=BUCKET)
        yield found
    finally:
        server.stop()
