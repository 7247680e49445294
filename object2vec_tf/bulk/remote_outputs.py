"""The output files of file jobs in a remote directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from object2vec_tf.bulk.file_jobs import FileJob
from object2vec_tf.bulk.job import RECORD
from object2vec_tf.files.downloads import RemoteFile, download, list_files
from object2vec_tf.files.remote import join_url
from object2vec_tf.files.staging import StagedPath
from object2vec_tf.files.uploads import (
    check_remote_writable,
    output_directory,
    upload_file,
)


class RemoteOutputs:
    """A local directory whose files are uploaded one by one.

    Args:
        url: The remote directory.
        directory: The local directory, empty.
        files: The files of the remote directory, by name.

    Attributes:
        directory: The local directory, for output files.
    """

    def __init__(
        self, url: str, directory: StagedPath, files: dict[str, RemoteFile]
    ) -> None:
        self.directory = directory
        self._url = url
        self._files = files
        if RECORD in files:
            download(files[RECORD], directory / RECORD)

    def is_done(self, job: FileJob) -> bool:
        """Returns whether the output file exists and is not older than its input."""
        file = self._files.get(job.output.relative_to(self.directory).as_posix())
        if file is None or file.modified is None:
            return False
        return file.modified >= job.path.stat().st_mtime

    def upload_record(self) -> None:
        """Uploads the record of the model, unless it is there."""
        if RECORD not in self._files:
            upload_file(self.directory / RECORD, join_url(self._url, RECORD))

    def upload(self, path: Path) -> None:
        """Uploads an output file, and removes the local one."""
        name = path.relative_to(self.directory).as_posix()
        upload_file(path, join_url(self._url, name))
        path.unlink()


@contextmanager
def remote_outputs(url: str) -> Iterator[RemoteOutputs]:
    """Yields the outputs of jobs in a remote directory.

    Args:
        url: The directory.

    Raises:
        UserError: The directory cannot be read or written.
    """
    files = {file.name: file for file in list_files(url)}
    check_remote_writable(url, "output")
    with output_directory(url) as directory:
        yield RemoteOutputs(url, directory, files)
