"""The demonstration is its own test: it fails at the first step that goes otherwise than told."""

import json
import re
import socket
import urllib.request


def test_the_demonstration_goes_as_told(project, word):
    try:
        told = word(project, "demo", code=0).stdout
        acts = [line for line in told.splitlines() if line.startswith("   = ")]
        assert len(acts) == 6
        assert acts[-1] == "   = version 1 serves in production again"
        addresses = dict(re.findall(r"^  (\w+) +(\w+://\S+)$", told, re.MULTILINE))
        assert set(addresses) == {"service", "report", "MLflow"}
        assert json.load(urllib.request.urlopen(f"{addresses['service']}/readyz"))["model_version"] == "1"
        assert b"<svg" in urllib.request.urlopen(addresses["report"]).read()
        assert urllib.request.urlopen(f"{addresses['MLflow']}/health").status == 200
    finally:
        word(project, "demo", "stop", code=0)
    for name in ("service", "MLflow"):
        host, port = addresses[name].removeprefix("http://").split(":")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port))), f"{name} still listens after `demo stop`"
