"""Where the parts of a cascade lie: a folder on disk, or one in a repository of the hub."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from model.errors import InvalidCascade
from model.loading.hub import Repository, Snapshot

_SAMPLED_BYTES = 1 << 20


@dataclass(frozen=True)
class Folder:
    """path: on disk. snapshot: of the hub, which it lies in, or None.

    Of a snapshot the configurations are on disk, and weights once they have been asked for.
    """

    path: Path
    snapshot: Snapshot | None = None

    def __truediv__(self, name: str) -> "Folder":
        return Folder(self.path / name, self.snapshot)

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """On disk or still at the hub."""
        files = set() if self.snapshot is None else self.snapshot.files()
        return self.path.exists() or any(file.is_relative_to(self.path) for file in files)

    def names(self) -> set[str]:
        """Of the files in it, on disk or still at the hub."""
        files = set(self.path.iterdir()) if self.path.is_dir() else set()
        if self.snapshot is not None:
            files |= self.snapshot.files()
        return {file.name for file in files if file.parent == self.path}

    def identity(self) -> bytes:
        """Equal for folders of equal files; of the hub by their commit, downloaded or not."""
        if self.snapshot is None:
            return _digest_of_files(self.path)
        repository, inside = self.snapshot.repository, self.path.relative_to(self.snapshot.root)
        return f"\0{repository.id}@{repository.revision}/{inside}".encode()


def _digest_of_files(folder: Path) -> bytes:
    """Of small files all, and of large ones the length and both ends.

    T5-XXL's nine gigabytes would otherwise be read twice at every start.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(f"\0{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as content:
            digest.update(content.read(_SAMPLED_BYTES))
            if file.stat().st_size > 2 * _SAMPLED_BYTES:
                content.seek(-_SAMPLED_BYTES, 2)
            digest.update(content.read(_SAMPLED_BYTES))
    return digest.digest()


def locate(reference: str, beside: Folder | None = None) -> Folder:
    """A path, relative to `beside` where that is given, or else owner/name[@revision] at the hub.

    Raises InvalidCascade where there is neither.
    """
    found = Folder(Path(reference).expanduser()) if beside is None else beside / reference
    if found.exists():
        return found
    repository = Repository.parse(reference)
    if repository is None:
        raise InvalidCascade(
            f"{found} is missing: name a folder that is there, or owner/name at the hub"
        )
    try:
        snapshot = repository.snapshot()
    except InvalidCascade as error:
        raise InvalidCascade(f"{error}; nor is there a folder {found} here") from None
    return Folder(snapshot.root, snapshot)
