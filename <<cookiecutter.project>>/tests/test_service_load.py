"""The service under more than one request at once, and with bodies that come late, in parts or never."""

import asyncio
import json

import pytest
from fronts import ROW, SECRET, called

import service.model
from service.front import Front
from service.limits import Limits


async def crowd(front: Front):
    return await asyncio.gather(*(called(front) for _ in range(10)))


def started(front: Front, **limits: int) -> Front:
    front.limits = Limits(**limits)
    front.start(service.model.model())
    return front


def test_overload_is_answered_at_once(front) -> None:
    answers = asyncio.run(crowd(started(front, waiting=3)))
    assert sorted(code for code, _, _ in answers) == [200] * 3 + [503] * 7
    assert all(headers[b"retry-after"] == b"1" for code, headers, _ in answers if code == 503)
    assert asyncio.run(called(front))[0] == 200


def test_large_requests_have_their_own_limit(front) -> None:
    answers = asyncio.run(crowd(started(front, large=1, waiting_large=2)))
    assert sorted(code for code, _, _ in answers) == [200] * 2 + [503] * 8


def scored(front: Front, monkeypatch, *asked: list[dict]) -> tuple[list[tuple], list[int]]:
    """The answers to requests that arrive together, and how many rows each run of the graph got."""
    runs, score = [], front.model.score

    def counted(rows):
        runs.append(len(rows))
        if any(SECRET in row for row in rows):
            raise RuntimeError(SECRET)
        return score(rows)

    async def together():
        return await asyncio.gather(*(called(front, parts=[json.dumps({"rows": rows}).encode()]) for rows in asked))

    monkeypatch.setattr(front.model, "score", counted)
    return asyncio.run(together()), runs


def flat(prediction: dict) -> dict:
    return prediction | prediction.pop("probabilities", {})


@pytest.mark.parametrize("front", ["binary", "multiclass", "regression"], indirect=True)
def test_what_arrives_together_is_scored_together(front, monkeypatch) -> None:
    started(front)
    asked = [[{**ROW, "size": 10 + 9 * number}] * (1 + number % 3) for number in range(8)]
    answers, runs = scored(front, monkeypatch, *asked)
    assert runs == [15]
    for rows, (code, headers, body) in zip(asked, answers, strict=True):
        answer = json.loads(body)
        assert (code, headers[b"x-request-id"].decode()) == (200, answer["request_id"])
        alone = json.loads(asyncio.run(called(front, parts=[json.dumps({"rows": rows}).encode()]))[2])
        for given, wanted in zip(answer["predictions"], alone["predictions"], strict=True):
            assert flat(given) == pytest.approx(flat(wanted), abs=1e-6)
    assert len({body for _, _, body in answers}) == len(asked)


def test_a_run_takes_no_more_requests_once_it_has_its_rows(front, monkeypatch) -> None:
    answers, runs = scored(started(front, rows=4), monkeypatch, *[[ROW] * 3] * 5)
    assert [code for code, _, _ in answers] == [200] * 5
    assert runs == [6, 6, 3]


def test_a_fault_of_the_model_fails_no_other_request(front, monkeypatch, caplog) -> None:
    asked = [ROW], [{**ROW, "city": SECRET}], [ROW, ROW]
    answers, runs = scored(started(front), monkeypatch, *asked)
    assert [code for code, _, _ in answers] == [200, 500, 200]
    assert runs == [4, 1, 1, 2]
    assert caplog.text.count("RuntimeError") == 1
    assert SECRET not in caplog.text


def test_a_body_in_parts(front) -> None:
    body = json.dumps({"rows": [ROW]}).encode()
    assert asyncio.run(called(started(front), parts=[body[:9], body[9:30], body[30:]]))[0] == 200


def test_a_body_that_does_not_arrive(front) -> None:
    async def two():
        return await asyncio.gather(*(called(front, parts=[b'{"rows"']) for _ in range(2)))

    started(front, body_seconds=1, arriving=1)
    slow, refused = asyncio.run(two())
    assert (slow[0], slow[1][b"connection"]) == (408, b"close")
    assert refused[0] == 503  # another may not wait beside it
    assert asyncio.run(called(front))[0] == 200


def test_a_body_without_end_is_not_kept(front) -> None:
    endless = [b"x" * 1000] * 1000
    code, headers, _ = asyncio.run(called(started(front, body=10_000), parts=endless))
    assert (code, headers[b"connection"]) == (413, b"close")


@pytest.mark.parametrize("parts", [[None], [b'{"rows"', None]], ids=["before", "within"])
def test_a_caller_that_hangs_up(front, parts) -> None:
    assert asyncio.run(called(started(front), parts=parts)) is None
