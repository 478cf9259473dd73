"""S3 accounts (AWS, MinIO and their kin): where the credentials are found, as pyarrow's and DVC's clients want them.

Credentials come from an Airflow connection or from files that the settings name (MODELOPS_S3_*); else from boto's usual places.
They are never written or logged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from include.lifecycle.errors import SettingsError
from include.settings import Settings

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


@dataclass(frozen=True)
class S3Account:
    """Endpoint, region and keys; None: as boto finds them. `repr` shows no secret."""

    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


def account_of(settings: Settings) -> S3Account:
    """The account of MODELOPS_S3_*: a profile of a credentials file, read now.

    Raises:
        SettingsError: the profile does not exist.
    """
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    session = Session(profile=settings.s3_profile)
    if settings.s3_credentials is not None:
        session.set_config_variable("credentials_file", str(settings.s3_credentials))
    try:
        found: Any = session.get_credentials()
        region = settings.s3_region or session.get_config_variable("region")
    except BotoCoreError as problem:
        raise SettingsError(f"MODELOPS_S3_PROFILE and MODELOPS_S3_CREDENTIALS name no usable account: {problem}") from problem
    keys = found.get_frozen_credentials() if found else None
    if keys is None:
        return S3Account(settings.s3_endpoint, region)
    return S3Account(settings.s3_endpoint, region, keys.access_key, keys.secret_key, keys.token)


def filesystem(account: S3Account) -> FileSystem:
    """A client of the account; nothing is asked yet. Attempts are few: the stage is retried as a whole."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    options: dict[str, Any] = {"connect_timeout": 5, "request_timeout": 60, "retry_strategy": AwsStandardS3RetryStrategy(3)}
    if account.access_key:
        options |= {"access_key": account.access_key, "secret_key": account.secret_key, "session_token": account.token}
    if account.endpoint:
        options["endpoint_override"] = account.endpoint
    return S3FileSystem(region=account.region or "us-east-1", **options)
