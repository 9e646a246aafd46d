"""What a failed `dvc repro` stands for: DVC itself ends with 255 for bad data and for a crash alike."""

import pytest

from ci.dvc import explained
from << cookiecutter.__package >>.outcome import Bad, Unjudged

FAILED = "ERROR: failed to reproduce 'dataset': failed to run: python -m ingest, exited with"
SENTENCE = ["dataset: data/raw/flights.csv is empty", "  -> Run `make data`."]
MISSING = "ERROR: failed to reproduce 'data/raw/flights.csv.dvc': missing data 'source': data/raw/flights.csv"


@pytest.mark.parametrize(
    ("lines", "kind", "said"),
    [
        ([*SENTENCE, f"{FAILED} 1"], Bad, "stage dataset"),
        ([*SENTENCE, f"{FAILED} 2"], Unjudged, "exit code 2"),
        (["Traceback …", "ImportError: nothing", f"{FAILED} 1"], Unjudged, "exit code 1"),
        ([f"{FAILED} -9"], Unjudged, "memory"),
        ([f"{FAILED} 137"], Unjudged, "memory"),
        ([MISSING], Unjudged, "the raw data is not here: data/raw/flights.csv"),
        (["ERROR: Unable to acquire lock.", "See the docs."], Unjudged, "Unable to acquire lock"),
        ([], Unjudged, "does not say why"),
    ],
)
def test_the_outcome_of_a_failure(lines, kind, said):
    outcome = explained(lines)
    assert type(outcome) is kind
    assert said in outcome.what
    assert outcome.remedy
