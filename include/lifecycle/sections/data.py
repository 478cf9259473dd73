"""Sections data, labels, features, columns: where rows come from and what they mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from include.lifecycle.sections.base import Column, Positive, Section, Share
from include.lifecycle.sections.data_checks import MissingSection, OutliersSection, QuarantineSection, SchemaChangeSection
from include.lifecycle.sections.sources import DatasetSection, StoreSection
from include.lifecycle.units import Duration, PositiveDuration

TRANSFORMER = r"^[a-z_][a-z0-9_]*:[A-Za-z_][A-Za-z0-9_]*$"  # a module right below include/features, and a function


class DataSection(Section):
    """Where training rows come from, and how many."""

    connection: str | None = Field(
        description="Airflow connection of the database that is asked; with a dataset on S3, the connection with its credentials"
    )
    query: str | None = Field(description="SQL file below include/sql, with the bound parameters :window_start and :window_end")
    dataset: DatasetSection | None = Field(description="files of rows, in place of a query")
    key: Column = Field(description="column that identifies what a row is about; labels are joined on it")
    event_time: Column = Field(description="column with the time of the event that is predicted (timestamp with time zone)")
    target: Column = Field(description="column with the true outcome")
    window: PositiveDuration = Field(description="training rows are those of the last so much event time")
    max_rows: Positive = Field(description="rows; over this cap a sample of the whole window is taken")
    sample_by: str = Field(description="what decides whether a row is in the sample")
    exclude_faulted: bool = Field(
        description="whether rows are left out whose time lies in a monitored window with a data fault or a security signal"
    )
    new_rows_threshold: Positive | Literal["none"] = Field(
        description="rows that no training has seen, with final labels; so many ask for a training. none: they are not counted"
    )
    expectations: list[dict[str, Any]] = Field(
        description="Great Expectations that the fetched rows must meet, each as {expect_...: {argument: value}}"
    )
    holdout: Annotated[float, Field(gt=0, lt=0.9)] = Field(
        description="fraction of the window's newest rows that only evaluation sees"
    )
    minimum_rows: Positive = Field(description="rows; fewer are no basis for a model: the checks are inconclusive")
    missing: MissingSection = Field(description="how many missing values a feature may have")
    outliers: OutliersSection = Field(description="what counts as an outlier of a numeric feature, and how many there may be")
    schema_change: SchemaChangeSection = Field(description="what counts as a change since the last training data")
    quarantine: QuarantineSection = Field(description="how many bad rows may be set aside")
    on_inconclusive: Literal["refuse", "train"] = Field(
        description="what happens when the checks cannot tell whether the data is good"
    )

    @property
    def source(self) -> str:
        """Where rows come from, for messages: `query churn/training.sql`, or `dataset s3://...`."""
        return f"query {self.query}" if self.dataset is None else f"dataset {self.dataset.path}"


class LabelsSection(Section):
    """Where true outcomes come from, and when they count as final."""

    query: str | None = Field(
        description="SQL file below include/sql that returns key, event_time, label, known_at; the newest known_at wins"
    )
    known_at: Column | None = Field(
        description="column of data.dataset with the time when the outcome was known; null: it counts from mature_after on"
    )
    mature_after: Duration = Field(description="a label counts as final so long after its event")


class InputsSection(Section):
    """Columns of query and request that a transformer reads, by kind."""

    numeric: list[Column] = Field(description="columns that are read as numbers")
    categorical: list[Column] = Field(description="columns that are read as text")


class FeaturesSection(Section):
    """Columns that the model reads, by kind."""

    numeric: list[Column] = Field(description="columns that are read as numbers")
    categorical: list[Column] = Field(description="columns that are read as categories")
    store: list[StoreSection] = Field(description="tables of past values that are joined to the rows as of each event")

    transformer: Annotated[str, StringConstraints(pattern=TRANSFORMER)] | None = Field(
        description="own code that makes the features of the inputs, as module:function in include/features"
    )
    inputs: InputsSection = Field(description="columns that the transformer reads; without one, the features themselves")

    @property
    def read_numeric(self) -> list[str]:
        """Numeric columns that query and request hold: the transformer's, else the features."""
        return self.inputs.numeric if self.transformer else self.numeric

    @property
    def read_categorical(self) -> list[str]:
        """Categorical columns that query and request hold: the transformer's, else the features."""
        return self.inputs.categorical if self.transformer else self.categorical

    @property
    def read(self) -> list[str]:
        """All columns that query and request hold for the model."""
        return [*self.read_numeric, *self.read_categorical]

    @property
    def all(self) -> list[str]:
        """Numeric columns, then categorical ones: the order of every feature table."""
        return [*self.numeric, *self.categorical]


class ColumnSection(Section):
    """What is special about one column."""

    drift: Literal["watch", "ignore"] = Field(description="whether this column's drift is watched")
    role: Literal["population", "equipment"] | None = Field(
        description="what this feature stands for: who is served, or by what is measured; its drift is then a signal of that kind"
    )
    method: Literal["wasserstein", "jensen_shannon", "kl_divergence", "psi", "ks", "chi_square"] | None = Field(
        description="distance by which this feature's drift is measured; null: monitoring.drift.numeric or .categorical"
    )
    pii: Literal["keep", "hash", "drop"] = Field(
        description="personal data: hash keeps a keyed hash in place of each value, drop keeps the column out of every file"
    )
    max_missing: Share | None = Field(description="fraction of nulls allowed in this feature; null: data.missing.max_share")
    outliers: Literal["watch", "ignore"] = Field(description="whether this feature's outliers are counted")
