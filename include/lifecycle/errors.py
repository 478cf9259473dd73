"""Errors of the lifecycle: one base, few leaves; operators map them to "fail at once" or "retry".

A message says what was got, what is allowed, and where (file, line, model, task).
"""

from __future__ import annotations


class LifecycleError(Exception):
    """Base of every error that the lifecycle raises on purpose. `retryable` says whether trying again can help."""

    retryable = False


class SpecInvalidError(LifecycleError):
    """A model's YAML is wrong; the message lists every problem with file, line and column."""


class DataInvalidError(LifecycleError):
    """Fetched data cannot be trained on (empty window, missing column, failed expectation, one class only)."""


class SourceUnavailableError(LifecycleError):
    """A system that the stage reads from or writes to did not answer; the stage may be tried again."""

    retryable = True


class SourceQueryError(LifecycleError):
    """The source answered and refused the query (missing table, missing column, no permission)."""


class ArtefactDigestError(LifecycleError):
    """A file is not the one that was registered: its sha256 differs from the manifest."""


class GateFailedError(LifecycleError):
    """A gate or check said fail, and the policy stops here."""


class ReportFailedError(LifecycleError):
    """A page for people could not be written; what it is about stands in the tables all the same."""


class EntryPointError(LifecycleError):
    """A model's own training function failed, or returned something that cannot be judged, stored or served."""


class TrainingRefusedError(LifecycleError):
    """A training was not allowed now (freeze, budget, open rollout); the request stays pending."""


class LeaseLostError(LifecycleError):
    """Another driver took the rollout; this one must stop without acting."""


class GatewayRejectedError(LifecycleError):
    """The gateway did not take the configuration that was written; traffic stays as it was."""

    retryable = True


class SettingsError(LifecycleError):
    """An environment setting (`MODELOPS_*`) is missing or malformed."""
