"""The package index of this machine, for what is built in a container."""

import os
import shutil
from pathlib import Path


def index(folder: Path) -> list[str]:
    """Write pip's settings for the package index of this machine, and the certificates it trusts, as secrets.

    Addresses of indexes may hold passwords: as secrets they are in no layer, no log and no history.
    """
    get = os.environ.get
    extra = [word.partition("=")[2] if "=" in word.partition("://")[0] else word
             for name in ("UV_INDEX", "UV_EXTRA_INDEX_URL", "PIP_EXTRA_INDEX_URL")
             for word in (get(name) or "").split()]  # fmt: skip
    found = {
        "index-url": get("UV_DEFAULT_INDEX") or get("UV_INDEX_URL") or get("PIP_INDEX_URL"),
        "extra-index-url": " ".join(url for url in extra if "://" in url and not url.startswith("file:")),
        "trusted-host": get("PIP_TRUSTED_HOST"),
        "timeout": get("PIP_DEFAULT_TIMEOUT"),
    }
    certificates = next(filter(os.path.isfile, map(str, (get("PIP_CERT"), get("SSL_CERT_FILE")))), None)
    names = ["pip"]
    if certificates:
        shutil.copyfile(certificates, folder / "certificates")
        found["cert"] = "/run/secrets/certificates"
        names.append("certificates")
    lines = [f"{name} = {value}" for name, value in found.items() if value]
    (folder / "pip").write_text("\n".join(["[global]", *lines, ""]))
    return names
