"""The version of the files this package writes; ``docs/format.md`` says what it covers."""

FORMAT_VERSION = 1
