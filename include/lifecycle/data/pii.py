"""`columns.<name>.pii`: applied to every batch before fetch_data writes it, so that no later stage ever sees a raw value.

drop: the column is left out. hash: each value becomes its keyed hash (serving/pii.py), here, in labels and in the model server.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from include.lifecycle.errors import DataInvalidError
from include.lifecycle.rules.view import did_you_mean
from include.lifecycle.spec import ModelSpec
from include.serving.pii import KeyedHash, read_key

if TYPE_CHECKING:
    import pyarrow as pa


def columns_with(spec: ModelSpec, treatment: str) -> list[str]:
    """Columns whose `pii` is `treatment`, in the YAML's order."""
    return [name for name, column in spec.columns.items() if column.pii == treatment]


def hash_of(spec: ModelSpec, key_file: Path) -> KeyedHash | None:
    """The keyed hash of this installation; None when the model hashes nothing. Raises SettingsError without a usable key."""
    return read_key(key_file) if columns_with(spec, "hash") else None


def key_hash(spec: ModelSpec, key_file: Path) -> KeyedHash | None:
    """What `data.key` is hashed by, so that labels join; None when it is kept."""
    return hash_of(spec, key_file) if spec.data.key in columns_with(spec, "hash") else None


@dataclass(frozen=True)
class Protection:
    """What happens to the columns of one model's tables."""

    dropped: tuple[str, ...]
    hashed: tuple[str, ...]
    keyed: KeyedHash | None

    @classmethod
    def of(cls, spec: ModelSpec, key_file: Path) -> Protection:
        """The protection that the YAML declares, with the key in `key_file` if a column is hashed."""
        return cls(tuple(columns_with(spec, "drop")), tuple(columns_with(spec, "hash")), hash_of(spec, key_file))

    def without(self, columns: set[str]) -> Protection:
        """The same, but leaving these columns alone."""
        dropped, hashed = (tuple(name for name in names if name not in columns) for names in (self.dropped, self.hashed))
        return Protection(dropped, hashed, self.keyed)

    def check(self, columns: list[str], where: str) -> None:
        """Raise DataInvalidError for a declared column that is not there: under another name it would be kept as it is."""
        missing = [name for name in (*self.dropped, *self.hashed) if name not in columns]
        if missing:
            named = "; ".join(f"{name!r}{did_you_mean(name, columns)}" for name in missing)
            raise DataInvalidError(f"{where}: columns with pii: drop or hash are not returned: {named}")

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """The schema without dropped columns, hashed ones as text."""
        import pyarrow as pa

        kept = [field.with_type(pa.string()) if field.name in self.hashed else field for field in schema]
        return pa.schema([field for field in kept if field.name not in self.dropped], metadata=schema.metadata)

    def table(self, table: pa.Table) -> pa.Table:
        """The table without dropped columns, with hashes in the hashed ones."""
        import pyarrow as pa

        for name in self.dropped:
            if name in table.column_names:
                table = table.drop_columns(name)
        for name in self.hashed:
            place = table.column_names.index(name) if name in table.column_names else -1
            if place >= 0 and self.keyed is not None:
                texts = table.column(place).cast(pa.string()).to_pylist()
                table = table.set_column(place, pa.field(name, pa.string()), pa.array(self.keyed.all(texts), pa.string()))
        return table

    def file(self, path: Path) -> None:
        """Protect a Parquet file in place, batch by batch; a column that is protected already stays as it is."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.dropped and not self.hashed:
            return
        raw = path.with_suffix(".raw")
        path.rename(raw)
        with (
            pq.ParquetFile(raw) as source,
            pq.ParquetWriter(path, self.schema(source.schema_arrow), compression="zstd") as writer,
        ):
            for batch in source.iter_batches():
                writer.write_table(self.table(pa.Table.from_batches([batch])).cast(writer.schema))
        raw.unlink()
