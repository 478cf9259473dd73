"""From the source database to a training table: fetch, validate, snapshot, prepare. Each stage reads a file and writes a file."""
