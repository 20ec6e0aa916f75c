"""What to do where a file system finds no credentials."""

from __future__ import annotations

from pathlib import Path

LOGINS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; FSSPEC_S3_ANON=true for a public bucket",
    "gs": "`gcloud auth application-default login`; FSSPEC_GS_TOKEN=anon for a public bucket",
}
"""{protocol: where its credentials come from}."""


def login(path: Path, error: Exception) -> str:
    """What gives a file system its credentials; '' if the error is another one.

    File systems have no class of errors in common, but name this one after what they lack.
    """
    name = type(error).__name__
    if "Credentials" not in name and name != "ProfileNotFound":
        return ""
    protocol = str(path).partition("://")[0]
    return LOGINS.get(protocol, f"give {protocol}:// its credentials, see https://filesystem-spec.readthedocs.io")
