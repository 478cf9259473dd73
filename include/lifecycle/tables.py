"""The tables of the product's database as SQLAlchemy Core; migrations/ creates them, every room reads and writes through these.

Facts are rows with a state; asset events only wake somebody up. Times are timezone-aware; `*_at` of rows is event time by the
Clock unless the name says `wall`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()
_NOW = func.now()


def _id() -> Column[int]:
    return Column("id", BigInteger, primary_key=True, autoincrement=True)


def _at(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _wall(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=_NOW)


def _json(name: str) -> Column[object]:
    return Column(name, JSONB, nullable=False, server_default=text("'{}'::jsonb"))


# Append-only (a trigger refuses UPDATE and DELETE). `phase`: noted | intended | done | failed.
ledger = Table(
    "ledger",
    metadata,
    _id(),
    _at("at", nullable=False),
    _wall("wall_at"),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("verdict", Text),
    Column("version_before", Integer),
    Column("version_after", Integer),
    Column("snapshot_id", Text),
    Column("spec_hash", Text),
    Column("run_id", Text),
    Column("idempotency_key", Text),
    _json("evidence"),
    UniqueConstraint("idempotency_key", "phase", name="ledger_once_per_phase"),
    Index("ledger_by_model", "model", "at"),
)

# state: open | accepted | expired | resolved. One open row per (model, kind, cause).
signals = Table(
    "signals",
    metadata,
    _id(),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("effect", Float, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("severity", Text, nullable=False),
    Column("version", Integer),
    _at("first_seen", nullable=False),
    _at("last_seen", nullable=False),
    Column("windows_failed", Integer, nullable=False, server_default="1"),
    Column("last_decision", Text),
    Column("training_request_id", BigInteger),
    _json("evidence"),
    _wall("wall_at"),
    Index(
        "signals_one_open",
        "model",
        "kind",
        "cause",
        unique=True,
        postgresql_where=text("state = 'open'"),
    ),
)

# state: awaiting (a person's approval) | open | claimed | done | failed | refused. source: schedule | signal | manual | external.
# not_before: event time before which nobody need look at an open request, because a freeze or the daily window is in the way.
training_requests = Table(
    "training_requests",
    metadata,
    _id(),
    Column("model", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    _at("requested_at", nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("run_id", Text),
    Column("version", Integer),
    Column("outcome", Text),
    _json("cause"),
    _wall("wall_at"),
    _at("not_before"),
    Index("training_requests_by_model", "model", "state"),
)

# state: open | held | claimed | done | superseded | refused. One row per registered version that may be rolled out.
candidates = Table(
    "candidates",
    metadata,
    _id(),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("verdict", Text, nullable=False),
    _at("created_at", nullable=False),
    Column("run_id", Text),
    _json("evidence"),
    _wall("wall_at"),
    UniqueConstraint("model", "version", name="candidates_once"),
)

# state: open states planned | running | baking; closed states promoted | rolled_back | held | aborted | refused | concluded.
# command: what a person asked of an open rollout (evidence.Command), until its driver took it up.
rollouts = Table(
    "rollouts",
    metadata,
    _id(),
    Column("model", Text, nullable=False),
    Column("candidate_id", BigInteger),
    Column("version", Integer, nullable=False),
    Column("champion", Integer),
    Column("strategy", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="planned"),
    Column("reason", Text, nullable=False, server_default=""),
    _json("plan"),
    _json("status"),
    Column("command", JSONB(none_as_null=True)),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("lease_holder", Text),
    Column("lease_until", DateTime(timezone=True)),
    Column("run_id", Text),
    _at("created_at", nullable=False),
    _at("finished_at"),
    _wall("wall_at"),
    Index(
        "rollouts_one_open",
        "model",
        unique=True,
        postgresql_where=text("state IN ('planned', 'running', 'baking')"),
    ),
)

# One row per model: what the gateway is to do (percent by version, servers with ports and digest, a baseline arm, a mirror, the
# header that an experiment goes by), and what was read back.
desired_traffic = Table(
    "desired_traffic",
    metadata,
    Column("model", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    _json("weights"),
    _json("servers"),
    Column("champion", Integer),
    Column("baseline", JSONB(none_as_null=True)),
    Column("mirror", JSONB(none_as_null=True)),
    Column("sticky", Text),
    Column("applied_revision", BigInteger),
    Column("applied_wall_at", DateTime(timezone=True)),
    _wall("wall_at"),
)

# One row per measured window, version and revision; a correction appends a revision.
windows = Table(
    "windows",
    metadata,
    _id(),
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    _at("window_start", nullable=False),
    _at("window_end", nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("rows", BigInteger, nullable=False),
    Column("mature_rows", BigInteger, nullable=False),
    Column("health", Float),
    _json("health_parts"),
    _json("measurements"),
    Column("verdicts", JSONB, nullable=False, server_default=text("'[]'::jsonb")),
    Column("report", Text),
    _wall("wall_at"),
    UniqueConstraint("model", "version", "window_start", "window_end", "revision", name="windows_once"),
)

# kind: suggest (shall it be trained?) | approve (may the awaiting request start?). state: open | approved | refused | expired |
# withdrawn. `causes`: {cause: {"effect", "version", "signal"}} that the question is about.
questions = Table(
    "questions",
    metadata,
    _id(),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("reason", Text, nullable=False),
    _json("causes"),
    Column("training_request_id", BigInteger),
    _at("asked_at", nullable=False),
    _at("answered_at"),
    Column("answered_by", Text),
    Column("comment", Text),
    Column("run_id", Text),
    _wall("wall_at"),
    Index("questions_one_open", "model", unique=True, postgresql_where=text("state = 'open'")),
)

# One row per model whose unattended training a person stopped, or started again. state: stopped | running.
automation = Table(
    "automation",
    metadata,
    Column("model", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    _at("at", nullable=False),
    _wall("wall_at"),
)

# The kill switch: one row per frozen model; `*` stands for all.
freezes = Table(
    "freezes",
    metadata,
    Column("model", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    _at("at", nullable=False),
    _wall("wall_at"),
)

# What an open A/B or A/A test showed when it was last measured: one row per rollout. The rollout's driver reads it at each look.
experiments = Table(
    "experiments",
    metadata,
    Column("rollout_id", BigInteger, primary_key=True, autoincrement=False),
    Column("model", Text, nullable=False),
    _at("at", nullable=False),
    _json("evidence"),
    _wall("wall_at"),
)

# What other systems delivered, once each: MLflow's webhooks (their delivery id) and Airflow's asset events (their key).
deliveries = Table(
    "deliveries",
    metadata,
    Column("source", Text, primary_key=True),
    Column("delivery_id", Text, primary_key=True),
    Column("sent_at", DateTime(timezone=True), nullable=False),
    Column("outcome", Text, nullable=False),
    _wall("wall_at"),
    Index("deliveries_by_time", "source", "sent_at"),
)

# What people are told of. state: open | acknowledged | resolved; severity: P0 | P1 | P2 | P3. `key` tells equal alerts of one
# model, `count` counts them; those of one `source` make an incident. `pending`: it changed, and messages are to be planned.
# `level` is how far it was escalated, `escalate_wall_at` when it goes further, `answered_wall_at` when a person took it
# or it ended.
alerts = Table(
    "alerts",
    metadata,
    _id(),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("title", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("runbook", Text),
    Column("source", Text, nullable=False, server_default=""),
    Column("pending", Boolean, nullable=False, server_default=text("true")),
    Column("count", BigInteger, nullable=False, server_default="1"),
    Column("level", Integer, nullable=False, server_default="0"),
    Column("incident_id", BigInteger),
    _at("first_seen", nullable=False),
    _at("last_seen", nullable=False),
    _at("acknowledged_at"),
    Column("acknowledged_by", Text),
    _at("resolved_at"),
    Column("answered_wall_at", DateTime(timezone=True)),
    Column("escalate_wall_at", DateTime(timezone=True)),
    _json("evidence"),
    _wall("wall_at"),
    Index("alerts_one_open", "model", "key", unique=True, postgresql_where=text("state <> 'resolved'")),
    Index("alerts_by_time", "model", "last_seen"),
    Index("alerts_pending", "id", postgresql_where=text("pending")),
    Index("alerts_of_incident", "incident_id"),
)

# Alerts that share a source within a short time. state: open | closed; `timeline`: the page written when it closed.
incidents = Table(
    "incidents",
    metadata,
    _id(),
    Column("model", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False, server_default="open"),
    Column("title", Text, nullable=False),
    _at("opened_at", nullable=False),
    _at("last_seen", nullable=False),
    _at("closed_at"),
    Column("timeline", Text),
    _wall("wall_at"),
    Index("incidents_open", "model", "state"),
    Index("incidents_by_source", "source", "last_seen"),
)

# One message per alert, channel and event, once. event: raised | worse:<severity> | escalated | acknowledged | resolved. state:
# waiting | sending (until `not_before_wall`, then it is claimed again) | sent | failed. Those of one `sent_as` went out as one.
alert_messages = Table(
    "alert_messages",
    metadata,
    _id(),
    Column("alert_id", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("level", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before_wall", DateTime(timezone=True)),
    Column("sent_wall_at", DateTime(timezone=True)),
    Column("sent_as", BigInteger),
    Column("error", Text),
    _wall("wall_at"),
    UniqueConstraint("alert_id", "channel", "event", "level", name="alert_messages_once"),
    Index("alert_messages_waiting", "channel", postgresql_where=text("state IN ('waiting', 'sending')")),
    Index("alert_messages_sent", "channel", "sent_wall_at"),
)
