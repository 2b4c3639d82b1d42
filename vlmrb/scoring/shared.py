"""`shared:` scorer: a model that one process holds for many runs (`python -m vlmrb serve-scorer`).

Frames are drawn here and sent as they are. The server answers each question by itself; thresholds, rules and weights of a set are
this run's own.
"""

from __future__ import annotations

import os
import uuid
from typing import Any

from vlmrb.errors import ScorerSetupError, ScorerUnavailableError
from vlmrb.scoring import wire
from vlmrb.scoring.http import Http, NoReplyError, Reply
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
        model: the server's model, as it names it.
        revision: of that model, as of the latest reply.
    """

    def __init__(
        self,
        base_url: str,
        *,
        scorer: str,
        frames_per_clip: int | None = None,
        threshold: float = 0.5,
        text: bool = False,
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
            timeout_s: total seconds allowed per try.
            retries: further tries after a refused connection, a timeout, or a server that has too much to do.

        Raises:
            ScorerSetupError: invalid address, rejected key, or the server's model cannot read such clips.
            ScorerUnavailableError: the server does not answer.
        """
        self._scorer, self._threshold = scorer, threshold
        self._http = Http(
            base_url, kind="shared", key_name=KEY, api_key=os.environ.get(KEY, ""), timeout_s=timeout_s, retries=retries
        )
        self._shown = f"scorer shared:{self._http.shown_url}"
        self._client = uuid.uuid4().hex
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
            ScorerSetupError: the server rejects the key or the request.
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
        body = wire.pack_request(requests, prompt.questions)
        try:
            reply = self._http.post_bytes(wire.SCORE, body, wire.CONTENT_TYPE, {wire.CLIENT: self._client})
        except NoReplyError as failure:
            raise self._unavailable(failure) from failure
        self._refuse(reply)
        answers, self.revision = wire.unpack_reply(reply.json(), len(requests), len(prompt.questions))
        named = {"scorer": self._scorer, "model": self.model, "revision": self.revision}
        return [
            score_of(request, each, prompt, threshold=self._threshold, **named)
            for request, each in zip(requests, answers, strict=True)
        ]

    def _about(self) -> dict[str, Any]:
        try:
            reply = self._http.get(wire.ABOUT)
        except NoReplyError as failure:
            raise self._unavailable(failure) from failure
        self._refuse(reply)
        found = reply.json()
        wanted = {"model": str, "revision": str, "frames_per_clip": int, "text": bool}
        if not isinstance(found, dict) or not all(isinstance(found.get(name), kind) for name, kind in wanted.items()):
            raise ScorerSetupError(f"{self._shown}: what answers there is no shared scorer; {_START}")
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
