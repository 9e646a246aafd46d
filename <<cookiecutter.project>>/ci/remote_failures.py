"""Why a DVC remote failed, by the exceptions that DVC raised or only logged: what happened, and what to do about it."""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as aws
from dvc.config import NoRemoteError, RemoteNotFoundError

KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"

# S3's error codes -> what happened and what to do; {remote} is the remote's url.
CODES = {
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidSecurity", "InvalidToken", "UnrecognizedClientException"): (
        "the DVC remote {remote} refused the credentials ({code})",
        f"Set {KEYS}, to an identity that it knows.",
    ),
    ("AccessDenied", "AllAccessDisabled", "AccountProblem", "NotSignedUp", "403"): (
        "the DVC remote {remote} knows these credentials but does not allow this ({code})",
        "Ask its owner for the right to list, read and write there, or set AWS_PROFILE to an identity that has it.",
    ),
    ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"): (
        "the credentials for the DVC remote {remote} have expired ({code})",
        "Sign in again (`aws sso login`) or renew AWS_SESSION_TOKEN, then run this again.",
    ),
    ("NoSuchBucket",): (
        "the DVC remote {remote} has no such bucket",
        "Create the bucket, or correct the url in .dvc/config.",
    ),
    ("RequestTimeTooSkewed",): (
        "the DVC remote {remote} refused a request because this machine's clock is wrong",
        "Set the clock (NTP), then run this again.",
    ),
    ("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout"): (
        "the DVC remote {remote} is overloaded or failing ({code})",
        "Run this again in a while; fewer jobs at once: `dvc remote modify origin jobs 4`.",
    ),
}

# Exception types -> the same. {reason} is the first line of the exception.
TYPES = {
    (aws.NoCredentialsError, aws.PartialCredentialsError): (
        "there are no credentials for the DVC remote {remote}",
        f"Set {KEYS}; for this machine alone: `dvc remote modify --local origin profile NAME`.",
    ),
    (aws.SSOTokenLoadError, aws.UnauthorizedSSOTokenError, aws.TokenRetrievalError, aws.CredentialRetrievalError): (
        "the credentials for the DVC remote {remote} have expired: {reason}",
        "Sign in again (`aws sso login`), then run this again.",
    ),
    (aws.ProfileNotFound, aws.ConfigNotFound, aws.ConfigParseError): (
        "the settings of AWS do not fit: {reason}",
        "Correct AWS_PROFILE and AWS_CONFIG_FILE, or add the profile with `aws configure`.",
    ),
    (aws.EndpointConnectionError, aws.ConnectTimeoutError, aws.ReadTimeoutError, aws.HTTPClientError): (
        "the DVC remote {remote} cannot be reached: {reason}",
        "Check the network, a proxy or VPN, and AWS_ENDPOINT_URL (now {endpoint}).",
    ),
    (NoRemoteError, RemoteNotFoundError): (
        "no DVC remote is configured",
        "Set one: `dvc remote add -d origin <a directory or s3://bucket/prefix>`.",
    ),
}
FULL = (errno.ENOSPC, errno.EDQUOT)
LOGGERS = ("dvc", "dvc_data", "dvc_objects")


def explain(error: BaseException | None, remote: str) -> tuple[str, str] | None:
    """What happened and what to do, for the first known exception among `error` and its causes; None for none."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "not set"
    for cause in causes(error):
        code = ""
        found = next((value for kinds, value in TYPES.items() if isinstance(cause, kinds)), None)
        if isinstance(cause, aws.ClientError):
            code = cause.response.get("Error", {}).get("Code", "")
            found = next((value for codes, value in CODES.items() if code in codes), None)
        if found:
            reason = str(cause).splitlines()[0]
            what, remedy = (text.format(remote=remote, code=code, reason=reason, endpoint=endpoint) for text in found)
            return what, remedy
        if isinstance(cause, OSError) and cause.errno in FULL:
            return f"the disk is full{at(cause)}", "Free space there (`dvc gc -w` drops old versions)."
        if isinstance(cause, PermissionError) and cause.filename:
            return f"this user may not write{at(cause)}", "Give this user the directory, or use one of its own."
    return None


def at(error: OSError) -> str:
    place = error.filename2 or error.filename  # of a copy: where it went
    return f" at {os.path.dirname(place)}" if place else ""


def leftovers(error: BaseException) -> list[str]:
    """The half-written files that DVC's copy into or out of a directory remote leaves when the disk is full."""
    found = [str(cause.filename2) for cause in causes(error) if isinstance(cause, OSError) and cause.errno in FULL]
    return [path for path in found if path.endswith(".tmp")]


def causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


class Failures(logging.Handler):
    """Keeps what DVC logs instead of raising: why a transfer failed, and which objects it dropped for a wrong hash."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.errors: list[BaseException] = []
        self.messages: list[str] = []
        self.dropped: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("corrupted cache file"):
            self.dropped.append(str(record.args[0]))
        if record.levelno < logging.WARNING:
            return
        self.messages.append(record.getMessage())
        if record.exc_info and record.exc_info[1]:
            self.errors.append(record.exc_info[1])


@contextmanager
def listening() -> Iterator[Failures]:
    """DVC's own log, kept from the terminal and turned into reasons."""
    failures = Failures()
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate, logger.level = [failures], False, logging.DEBUG
    try:
        yield failures
    finally:
        for logger, *state in before:
            logger.handlers, logger.propagate, logger.level = state
