"""What the open pages have stored; it is deleted when a page is closed."""

import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator


class PageClosed(Exception):
    """Nobody waits for the work any more."""


@dataclasses.dataclass
class _Stored:
    """Of one page: the folder of its results, and uploads that may be unread."""

    results: pathlib.Path | None = None
    uploads: set[pathlib.Path] = dataclasses.field(default_factory=set)


class Sessions:
    """The open pages, each by the name that Gradio gives it."""

    def __init__(self, folder: pathlib.Path):
        """Begin without pages.

        Args:
            folder: For folders of results.
        """
        self.folder = folder
        self._lock = threading.Lock()
        self._stored: dict[str, _Stored] = {}

    def keep(self, session: str, uploads: Iterable[str]) -> None:
        """Note what a page has uploaded."""
        with self._lock:
            stored = self._stored.setdefault(session, _Stored())
            stored.uploads.update(map(pathlib.Path, uploads))

    def results(self, session: str) -> pathlib.Path | None:
        """The folder of a page's results; None without."""
        with self._lock:
            stored = self._stored.get(session)
            return stored and stored.results

    def check_open(self, session: str, results: pathlib.Path) -> None:
        """Raise `PageClosed` if the page of these results was closed."""
        if self.results(session) != results:
            raise PageClosed

    @contextlib.contextmanager
    def working(self, session: str) -> Iterator[pathlib.Path]:
        """Give an empty folder for a page's results; its former ones are deleted.

        The folder is deleted if the block fails or the page was closed meanwhile.

        Raises:
            PageClosed: at the end of the block, if the page was closed meanwhile.
        """
        self._forget_results(session)
        self.folder.mkdir(parents=True, exist_ok=True)
        results = pathlib.Path(tempfile.mkdtemp(prefix="results-", dir=self.folder))
        with self._lock:
            self._stored.setdefault(session, _Stored()).results = results
        try:
            yield results
            self.check_open(session, results)
        except BaseException:
            # The work for a closed page may have made the folder again.
            shutil.rmtree(results, ignore_errors=True)
            raise

    def end(self, session: str) -> None:
        """Delete everything that a closed page has stored."""
        self._forget_results(session)
        with self._lock:
            stored = self._stored.pop(session, _Stored())
            # Two pages share a file that was uploaded twice.
            kept = set().union(*(other.uploads for other in self._stored.values()))
        for upload in stored.uploads - kept:
            upload.unlink(missing_ok=True)

    def _forget_results(self, session: str) -> None:
        with self._lock:
            stored = self._stored.get(session)
            results = stored and stored.results
            if stored:
                stored.results = None
        if results:
            shutil.rmtree(results, ignore_errors=True)
