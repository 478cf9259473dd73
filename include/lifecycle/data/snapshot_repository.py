"""The DVC repositories of snapshots: made on first use, with a folder or an S3 prefix as their remote (MODELOPS_SNAPSHOT_REMOTE).

Their configuration names endpoint, region and profile; keys stay in the credentials file, which only this process is pointed to.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from include.lifecycle.data.source import check_port
from include.lifecycle.errors import SourceUnavailableError
from include.settings import Settings

if TYPE_CHECKING:
    from dvc.repo import Repo

_REMOTE = "snapshots"
_CREDENTIALS = "AWS_SHARED_CREDENTIALS_FILE"


@contextmanager
def open_repository(folder: Path, settings: Settings) -> Iterator[Repo]:
    """The DVC repository in `folder`, made on first use; a half-made one, or one of another remote, is made again.

    Raises:
        SourceUnavailableError: the repository or its remote cannot be read or written.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    remote = _remote(settings)
    _check_endpoint(remote)
    ready = folder / ".dvc" / ".ready"
    try:
        with _credentials(settings.s3_credentials):
            if "://" not in remote["url"]:
                Path(remote["url"]).mkdir(parents=True, exist_ok=True)
            if not ready.exists() or ready.read_text() != repr(sorted(remote.items())):
                shutil.rmtree(folder / ".dvc", ignore_errors=True)
                _configure(Repo.init(str(folder), no_scm=True), folder, remote)
                ready.write_text(repr(sorted(remote.items())))
            with Repo(str(folder)) as repo:
                yield repo
    except (DvcException, OSError, BotoCoreError, ClientError) as problem:
        raise SourceUnavailableError(f"snapshot repository {folder} (remote {remote['url']}): {problem}") from problem


def _remote(settings: Settings) -> dict[str, str]:
    """The remote's section of DVC's configuration; without any key."""
    url = settings.snapshot_remote
    if not url.startswith("s3://"):
        return {"url": str(Path(url).resolve())}
    named = {"endpointurl": settings.s3_endpoint, "region": settings.s3_region, "profile": settings.s3_profile}
    return {"url": url} | {name: value for name, value in named.items() if value}


def _check_endpoint(remote: dict[str, str]) -> None:
    """Three seconds instead of botocore's minutes when nobody listens."""
    if endpoint := remote.get("endpointurl"):
        parts = urlsplit(endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        check_port(parts.hostname or "", port, f"snapshot remote {remote['url']}: S3")


@contextmanager
def _credentials(file: Path | None) -> Iterator[None]:
    """Point boto to the credentials file while DVC works; DVC's own option would lose to an exported variable."""
    if file is None:
        yield
        return
    before = os.environ.get(_CREDENTIALS)
    os.environ[_CREDENTIALS] = str(file)
    try:
        yield
    finally:
        os.environ.pop(_CREDENTIALS)
        if before is not None:
            os.environ[_CREDENTIALS] = before


def _configure(repo: Repo, folder: Path, remote: dict[str, str]) -> None:
    with repo.config.edit("repo") as config:
        # `update`: replacing the section would lose `no_scm`
        config["core"].update({"analytics": False, "check_update": False, "remote": _REMOTE})
        config["core"]["site_cache_dir"] = str(folder.resolve() / ".dvc" / "site")
        config["cache"]["type"] = ["reflink", "hardlink", "copy"]
        config["remote"][_REMOTE] = remote
    repo.close()
