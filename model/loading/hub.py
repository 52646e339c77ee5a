"""Fetches the files of a Hugging Face repository that a cascade needs, none that could run code.

What the cache has is used as it is; without a connection that is all there is.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import get_cached_repo_tree, snapshot_download
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from model.errors import InvalidCascade

CONFIG_PATTERNS = ("*.json", "*.model")
"""What says what a repository is: configurations and tokenizers."""

_REFERENCE = re.compile(r"(?P<id>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True)
class Repository:
    """id: owner/name. revision: a branch, a tag or a commit."""

    id: str
    revision: str = "main"

    @classmethod
    def parse(cls, reference: str) -> "Repository | None":
        """owner/name or owner/name@revision; None where it is neither."""
        match = _REFERENCE.fullmatch(reference)
        return cls(match["id"], match["revision"] or "main") if match else None

    def snapshot(self) -> "Snapshot":
        """Its configurations, at the commit that the revision means now.

        Raises InvalidCascade, as does everything here, that names the repository and the remedy.
        """
        root = self.fetch(CONFIG_PATTERNS)
        return Snapshot(replace(self, revision=root.name), root)

    def fetch(self, patterns: Collection[str]) -> Path:
        """Download the files that match, where the cache lacks them; the snapshot's folder."""
        try:
            return Path(
                snapshot_download(self.id, revision=self.revision, allow_patterns=list(patterns))
            )
        except GatedRepoError:
            reason = f"accept its licence at https://huggingface.co/{self.id}, then `hf auth login`"
        except RepositoryNotFoundError:
            reason = (
                "the hub has no such repository: check the id; a private one needs `hf auth login`"
            )
        except RevisionNotFoundError:
            reason = f"the hub has no revision {self.revision} of it: check the part after the @"
        except LocalEntryNotFoundError:
            reason = (
                "the cache lacks files of it, and the hub cannot be reached: check the connection"
                " and HF_HUB_OFFLINE, or download it to a folder and name that"
            )
        except (HfHubHTTPError, HFValidationError) as error:
            reason = str(error)
        raise InvalidCascade(f"{self.id}: {reason}")


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit, and its folder in the cache, which may yet lack weights."""

    repository: Repository
    root: Path

    @property
    def name(self) -> str:
        """The repository's, without its owner."""
        return self.repository.id.partition("/")[2]

    def files(self) -> set[Path]:
        """Of the repository, whether they are in the cache or not, as they would lie there."""
        try:
            listed = get_cached_repo_tree(self.repository.id, revision=self.repository.revision)
        except CachedRepoTreeNotFoundError:
            return set()
        return {self.root / file.path for file in listed}

    def fetch(self, files: Collection[Path]) -> None:
        """Download what the cache lacks of these."""
        if not all(file.exists() for file in files):
            self.repository.fetch([file.relative_to(self.root).as_posix() for file in files])
