"""The model server for one version, its prediction log and the log's schema; of the lifecycle it knows only the errors."""
