"""What storage may answer instead of doing what it was asked."""


class StorageError(Exception):
    """Storage could not do what was asked; the text says why, never what was to be stored."""


class InUse(StorageError):
    """Another process (or another `Database` of this one) serves from the same file."""


class SchemaTooNew(StorageError):
    """The file was written by a newer pushd, whose tables this one does not know."""


class SchemaChanged(StorageError):
    """A migration differs from the one of the same number that made this file's tables."""


class StatementRefused(StorageError):
    """A statement was wrong in itself (a constraint, a value that cannot be stored) and was
    dropped. Unlike a failed commit it is not tried again: this is a mistake of the caller.
    """
