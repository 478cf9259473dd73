"""Where rows come from besides a query: datasets of files, and features that are looked up as of each row's event."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from include.lifecycle.sections.base import Column, Section
from include.lifecycle.units import PositiveDuration


class DatasetSection(Section):
    """Files of rows in place of a query."""

    path: str = Field(description="file, folder or glob of the files: a local path, or s3://bucket/prefix/*.parquet")
    format: Literal["parquet", "csv"] = Field(description="how the files are written")


class StoreSection(Section):
    """One table of past feature values, looked up as of each row's event time; never a value from later."""

    table: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_./-]*$")] = Field(
        description="table or view in the database of data.connection, or an SQL file below include/sql"
    )
    entity: Column = Field(description="column that a row and the table have in common: whom the values are about")
    event_time: Column = Field(description="column of the table: from when on a value was known")
    columns: Annotated[list[Column], Field(min_length=1)] = Field(description="columns of the table that are added to each row")
    max_age: PositiveDuration = Field(description="a value older than this at the row's event time counts as missing")
