"""`shared:` scorer: a model that one process holds for many runs (`python -m vlmrb serve-scorer`).

Frames are drawn here and sent as they are. The server answers each question by itself; thresholds, rules and weights of a set are
this run's own.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any
from urllib.parse import quote, urlsplit

from vlmrb.errors import ScorerError, ScorerSetupError, ScorerUnavailableError
from vlmrb.hosts import is_loopback
from vlmrb.scoring import wire
from vlmrb.scoring.http import Http, NoReplyError, Reply, excerpt
from vlmrb.scoring.yes_no import score_of
from vlmrb.types import ClipScore, Prompt, ScoringRequest

KEY = "VLMRB_SCORER_KEY"
"""Environment variable with the key that the server demands, if it demands one."""

_AT_ONCE = 48 * 2**20  # bytes of frames in a request
_START = "start it with `python -m vlmrb serve-scorer`, or check the address"


class SharedScorer:
    """Scores clips with a model that a server holds.

    Attributes:
        frames_per_clip: evenly spaced frames, or steps of a transcript, per clip.
        reads_mosaics: frames that come as such are sent as such.
        model: the server's model, as it names it.
        revision: of that model, as of the latest reply.
    """

    reads_mosaics = True

    def __init__(
        self,
        base_url: str,
        *,
        scorer: str,
        frames_per_clip: int | None = None,
        threshold: float = 0.5,
        text: bool = False,
        run: int | None = None,
        name: str = "",
        pictures: str = "",
        timeout_s: float = 120.0,
        retries: int = 6,
    ) -> None:
        """Ask the server what it serves.

        Args:
            base_url: its address, such as http://127.0.0.1:7870.
            scorer: the string that selected this back end; stored with every score.
            frames_per_clip: evenly spaced frames, or steps of a transcript, per clip; None for as many as its model wants.
            threshold: the label is yes if P(yes) ≥ threshold.
            text: whether the clips are text.
            run, name: of the run whose clips they are, for the server's account.
            pictures: their kind, as in the run's `render_spec`; '' if nobody knows.
            timeout_s: total seconds allowed per try.
            retries: further tries after a refused connection, a timeout, or a server that has too much to do.

        Raises:
            ScorerSetupError: invalid address, rejected key, another version of the server, or its model cannot read such clips.
            ScorerUnavailableError: the server does not answer.
        """
        self._scorer, self._threshold, self._pictures = scorer, threshold, pictures
        self._http = _http(base_url, timeout_s, retries)
        self._shown = f"scorer shared:{self._http.shown_url}"
        self._headers = {wire.CLIENT: uuid.uuid4().hex, wire.NAME: quote(name[:100])}
        if run is not None:
            self._headers[wire.RUN] = str(run)
        try:
            about = self._about()
            if bool(about["text"]) != text:
                kinds = ("pictures", "clips of text")
                raise ScorerSetupError(
                    f"{self._shown}: its model reads {kinds[bool(about['text'])]}, and these are {kinds[text]}; start another "
                    f"server {'with' if text else 'without'} --transcripts"
                )
        except BaseException:
            self.close()
            raise
        self.model, self.revision = about["model"], about["revision"]
        self.frames_per_clip: int = frames_per_clip or about["frames_per_clip"]

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """One score per request, in order.

        Raises:
            ScorerSetupError: the server rejects the key or the request, or holds another model than at first.
            ScorerUnavailableError: the server does not answer.
        """
        scores: list[ClipScore] = []
        few: list[ScoringRequest] = []
        for request in requests:
            if len(few) == wire.MAX_CLIPS or sum(each.frames.nbytes for each in [*few, request]) > _AT_ONCE:
                scores += self._score(few, prompt) if few else []
                few = []
            few.append(request)
        scores += self._score(few, prompt) if few else []
        return scores

    def close(self) -> None:
        """Cancel pending retries and close the connections."""
        self._http.close()

    def _score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        body = wire.pack_request(requests, prompt.questions, self._pictures)
        try:
            reply = self._http.post_bytes(wire.SCORE, body, wire.CONTENT_TYPE, self._headers)
        except NoReplyError as failure:
            raise self._unavailable(failure) from failure
        self._refuse(reply)
        answers, revision = wire.unpack_reply(reply.json(), len(requests), len(prompt.questions))
        if revision != self.revision:
            raise ScorerSetupError(
                f"{self._shown}: the server holds another model now ({revision}) than when scoring began ({self.model}, "
                f"{self.revision}). Start it with the earlier model and resume the run, or resume as it is to use the new one"
            )
        named = {"scorer": self._scorer, "model": self.model, "revision": self.revision}
        return [
            score_of(request, each, prompt, threshold=self._threshold, **named)
            for request, each in zip(requests, answers, strict=True)
        ]

    def _about(self) -> dict[str, Any]:
        try:
            reply = self._http.get(wire.ABOUT, {wire.PICTURES: self._pictures})
        except NoReplyError as failure:
            raise self._unavailable(failure) from failure
        self._refuse(reply)
        found = reply.json()
        wanted = {"model": str, "revision": str, "frames_per_clip": int, "text": bool}
        if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in wanted.items()):
            raise ScorerSetupError(f"{self._shown}: what answers there is no shared scorer; {_START}")
        if found.get("protocol") != wire.PROTOCOL:
            version = reply.quote(str(found.get("version", "before 0.2")))
            raise ScorerSetupError(
                f"{self._shown}: the server is of another version of VLM-RB ({version}; here {metadata.version('vlmrb')}), which "
                "speaks another protocol; install the same one on both sides and start the server again"
            )
        if not 1 <= found["frames_per_clip"] <= wire.MAX_FRAMES:
            raise ScorerSetupError(
                f"{self._shown}: it wants {found['frames_per_clip']} frames; 1 to {wire.MAX_FRAMES} are allowed"
            )
        return found | {name: reply.quote(found[name]) for name in ("model", "revision")}

    def _refuse(self, reply: Reply) -> None:
        """Raise for a status that no retry would change."""
        if reply.status in (401, 403):
            raise ScorerSetupError(
                f"{self._shown}: the server denied access with status {reply.status}: {reply.message()}; set the environment "
                f"variable {KEY} to its key"
            )
        if 300 <= reply.status < 400:
            raise ScorerSetupError(f"{self._shown}: the server redirects with status {reply.status}; use the final address")
        if reply.status != 200:
            raise ScorerSetupError(f"{self._shown}: the server answers with status {reply.status}: {reply.message()}; {_START}")

    def _unavailable(self, failure: NoReplyError) -> ScorerUnavailableError:
        return ScorerUnavailableError(f"{self._shown}: the server does not answer: {failure}; {_START}")


def health(base_url: str, timeout_s: float = 2.0) -> dict[str, Any]:
    """What the server says about itself and its clients: its `/health`, as it comes. Asks once.

    Raises:
        ScorerError: it does not answer, rejects the key, or is no shared scorer.
    """
    found = _ask_once(base_url, timeout_s, lambda http: http.get(wire.HEALTH))
    if not isinstance(found.get("clients"), list):
        raise ScorerSetupError(f"what answers there is no shared scorer of this version; {_START}")
    return found


def notices(base_url: str, questions: Sequence[str], pictures: str = "", timeout_s: float = 2.0) -> dict[str, str]:
    """What the server's model cannot interpret: 'prompt' in the questions, 'pictures' of this kind; '' for what it can.

    Nothing where it does not answer, which it is not asked again within half a minute: whoever scores with it hears of that.
    """
    asked: dict[str, Any] = {"questions": list(questions), "pictures": pictures}
    found: dict[str, Any] = {}
    if _down_until.get(base_url, 0.0) < time.monotonic():
        try:
            found = _ask_once(base_url, timeout_s, lambda http: http.post(wire.NOTICES, asked))
        except ScorerError:
            _down_until[base_url] = time.monotonic() + _REST_S
    return {name: excerpt(str(found.get(name, "")), 2000) for name in ("prompt", "pictures")}


_REST_S = 30.0
_down_until: dict[str, float] = {}


def _ask_once(base_url: str, timeout_s: float, send: Callable[[Http], Reply]) -> dict[str, Any]:
    """Ask what is only looked at. A store that names the address may be somebody else's: the key goes to this machine alone."""
    with_key = is_loopback(urlsplit(base_url).hostname or "", to_connect=True)
    http = _http(base_url, timeout_s, retries=0, with_key=with_key)
    try:
        reply = send(http)
    except NoReplyError as failure:
        raise ScorerUnavailableError(f"it does not answer: {failure}; {_START}") from failure
    finally:
        http.close()
    if reply.status in (401, 403):
        wanted = f"it rejects the key; set the environment variable {KEY} to its key"
        raise ScorerSetupError(
            wanted if with_key else "it answers, and gives figures with its key alone, which only runs send elsewhere"
        )
    found = reply.json() if reply.status == 200 else None
    if not isinstance(found, dict):
        raise ScorerSetupError(f"it answers with status {reply.status}, as no shared scorer of this version does; {_START}")
    return found


def _http(base_url: str, timeout_s: float, retries: int, *, with_key: bool = True) -> Http:
    key = os.environ.get(KEY, "") if with_key else ""
    return Http(base_url, kind="shared", key_name=KEY, api_key=key, timeout_s=timeout_s, retries=retries)
