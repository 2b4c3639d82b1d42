"""`openai:` scorer: any server that speaks the OpenAI chat-completions protocol and returns log-probabilities.

One request per clip and question: the evenly spaced frames as PNG data URLs, then the question; of a clip of text, the question,
then the transcript, without pictures. It asks for one token with the 20
most likely alternatives, from which P(yes) is read. A clip's questions are asked one after another, with the same frames first,
so that the server's prefix cache works. Replies are untrusted: bounded in size, checked, and quoted only in part.

A model that thinks before it answers would not answer with its first token. Thinking is switched off with the fields that servers
have for it, as long as they accept them.
"""

from __future__ import annotations

import base64
import io
import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from vlmrb.errors import ScorerError, ScorerSetupError, ScorerUnavailableError
from vlmrb.scoring.http import Http, NoReplyError, Reply
from vlmrb.scoring.transcripts import ask_about
from vlmrb.scoring.yes_no import Answer, answer_from_top_logprobs, score_of, spelled_answer, unknown
from vlmrb.types import ClipScore, Prompt, ScoringRequest

TOP_LOGPROBS = 20  # the most that OpenAI's API and vLLM's default allow

_TEMPLATE = {"chat_template_kwargs": {"enable_thinking": False}}
WITHOUT_THINKING: tuple[dict[str, Any], ...] = (
    {**_TEMPLATE, "think": False, "reasoning_effort": "none"},  # Ollama and recent vLLM
    _TEMPLATE,  # vLLM, SGLang, llama.cpp
    {"reasoning_effort": "none"},  # OpenAI
    {},
)
"""Fields that switch thinking off, from most to least. Many servers ignore unknown ones; some reject them with status 400 or 422,
and those get the next."""


_NO_LOGPROBS = "the server's reply contains no logprobs"
_LOGPROBS_NEEDED = (
    "it must support logprobs and top_logprobs, as vLLM, SGLang, llama.cpp and Ollama 0.12.11 or later do, but not LM Studio or "
    "`transformers serve`; use one that does, or a local model with hf:<folder>"
)


class OpenAIScorer:
    """Scores clips through a chat-completions server.

    `yes_logit` and `no_logit` of its scores are log-sum-exp of log-probabilities. If only one of the answers is among the
    20 most likely tokens, see `yes_no.answer_from_top_logprobs`.

    Attributes:
        frames_per_clip: evenly spaced frames, or steps of a transcript, per clip.
        model: name of the model on the server.
        revision: the `system_fingerprint` of the server's latest reply, '' if it sends none.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        scorer: str,
        frames_per_clip: int = 8,
        threshold: float = 0.5,
        timeout_s: float = 60.0,
        retries: int = 4,
        concurrency: int = 8,
    ) -> None:
        """Contact the server once, so that a wrong address or key shows now rather than mid-run.

        The API key is read from the environment variable OPENAI_API_KEY, sent to the server, and never stored or logged.

        Args:
            base_url: address up to and without '/chat/completions', such as http://127.0.0.1:8000/v1.
            model: name of the model on the server.
            scorer: the string that selected this back end; stored with every score.
            frames_per_clip: evenly spaced frames, or steps of a transcript, per clip, ≥ 1.
            threshold: the label is yes if P(yes) ≥ threshold.
            timeout_s: total seconds allowed per try.
            retries: further tries after a refused connection, a timeout, status 408, 409, 429 or 5xx.
            concurrency: number of concurrent requests.

        Raises:
            ScorerSetupError: invalid address or rejected key.
            ScorerUnavailableError: the server does not answer.
        """
        self.frames_per_clip, self.model, self.revision = frames_per_clip, model, ""
        self._scorer, self._threshold = scorer, threshold
        if not model:
            raise ScorerSetupError(f"scorer {scorer}: needs a model; give openai:<base-url>#<model>")
        base_url = base_url.rstrip("/").removesuffix("/chat/completions")
        self._http = Http(base_url, api_key=os.environ.get("OPENAI_API_KEY", ""), timeout_s=timeout_s, retries=retries)
        self._shown = f"scorer openai:{self._http.shown_url}#{model}"  # safe to show: no query, which can hold a secret
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="vlmrb-openai")
        self._answered = False  # whether the server has ever accepted a request
        self._gives_logprobs = False  # whether one of its replies had any
        self._without_thinking = 0  # index of the fields to send, and whether the server has accepted them
        self._accepts_them = False
        try:
            self._served = self._list_models()
        except BaseException:
            self.close()
            raise

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """One score per request, in order; an answer whose reply has no usable log-probabilities is unknown.

        Raises:
            ScorerSetupError: the key is rejected, the model does not exist, the very first request is rejected, or the server
                answers without log-probabilities and has never given any.
            ScorerUnavailableError: no clip of the batch got an answer after all retries.
        """
        outcomes = list(self._threads.map(lambda request: self._ask(request, prompt), requests))
        failures = [outcome for outcome in outcomes if isinstance(outcome, ScorerError)]
        for failure in failures:
            if isinstance(failure, ScorerSetupError):
                raise failure
        if failures and len(failures) == len(outcomes):
            raise failures[0]
        # the server answered other clips of the batch, so the failure is specific to these
        count = len(prompt.questions)
        answers = [[unknown(str(outcome))] * count if isinstance(outcome, ScorerError) else outcome for outcome in outcomes]
        return [self._as_score(request, of_clip, prompt) for request, of_clip in zip(requests, answers, strict=True)]

    def close(self) -> None:
        """Cancel pending retries and close the connections."""
        self._http.close()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _ask(self, request: ScoringRequest, prompt: Prompt) -> list[Answer] | ScorerError:
        """The clip's answers, or why it has none.

        Once the server no longer replies, the questions left are unknown: each would take all retries.
        """
        if not len(request.frames) and not request.transcript:
            return [unknown("the clip has no frames")] * len(prompt.questions)
        content = [{"type": "image_url", "image_url": {"url": _data_url(frame)}} for frame in request.frames]
        answers: list[Answer] = []
        for question in prompt.questions:
            text = {"type": "text", "text": question}
            answer = self._ask_one(ask_about(question, request.transcript) if request.transcript else [*content, text])
            if isinstance(answer, ScorerSetupError) or (isinstance(answer, ScorerError) and not answers):
                return answer
            if isinstance(answer, ScorerError):
                return answers + [unknown(str(answer))] * (len(prompt.questions) - len(answers))
            answers.append(answer)
        return answers

    def _ask_one(self, content: list[dict[str, Any]] | str) -> Answer | ScorerError:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": TOP_LOGPROBS,
        }
        while True:
            tried = self._without_thinking
            try:
                reply = self._http.post("/chat/completions", body | WITHOUT_THINKING[tried])
            except NoReplyError as failure:
                return self._unavailable(failure)
            if reply.status == 200 and not self._accepts_them:
                self._without_thinking, self._accepts_them = tried, True
            last_try = self._without_thinking if self._accepts_them else len(WITHOUT_THINKING) - 1
            if reply.status not in (400, 422) or tried == last_try:  # it is not these fields that it rejects
                return self._read(reply, f"{self.frames_per_clip} images" if isinstance(content, list) else "such a long text")
            if not self._accepts_them:
                self._without_thinking = max(self._without_thinking, tried + 1)

    def _read(self, reply: Reply, asked: str) -> Answer | ScorerError:
        """The answer in a reply, an unknown one, or the reason why no request can succeed.

        Args:
            reply: as the server sent it.
            asked: what it has to accept, in words.
        """
        if reply.status == 200:
            self._answered = True
            return self._answer_in(reply)
        refusal = self._refusal(reply)
        if refusal is not None:
            return refusal
        said = f"the server rejected the request with status {reply.status}: {reply.message()}"
        if not self._answered:  # no request has ever worked, so this clip is not the cause
            return ScorerSetupError(
                f"{self._shown}: {said}; it must accept {asked} and return logprobs with top_logprobs={TOP_LOGPROBS}"
            )
        return unknown(said)

    def _unavailable(self, failure: NoReplyError) -> ScorerUnavailableError:
        return ScorerUnavailableError(
            f"{self._shown}: the server at {self._http.shown_url} does not answer: {failure}; start it, or check the address"
        )

    def _refusal(self, reply: Reply) -> ScorerSetupError | None:
        """The error for a status that no other clip and no retry would change."""
        where = f"{self._shown}: the server"
        if reply.status in (401, 403):
            return ScorerSetupError(
                f"{where} denied access with status {reply.status}: {reply.message()}; "
                "set the environment variable OPENAI_API_KEY to a valid key"
            )
        if reply.status == 404:
            served = f"; it serves {', '.join(self._served)}" if self._served else ""
            said = f"has no model {self.model!r} or no chat completions: {reply.message()}"
            return ScorerSetupError(f"{where} {said}{served}")
        if 300 <= reply.status < 400:
            return ScorerSetupError(f"{where} redirects with status {reply.status}; use the final address")
        return None

    def _answer_in(self, reply: Reply) -> Answer | ScorerSetupError:
        body = reply.json()
        if not isinstance(body, dict):
            return unknown(f"the server's reply is not a JSON object: {reply.quote(reply.text())}")
        fingerprint = body.get("system_fingerprint")
        if isinstance(fingerprint, str):
            self.revision = reply.quote(fingerprint, 100)
        try:
            first = body["choices"][0]["logprobs"]["content"][0]
            entries = [(entry["token"], entry["logprob"]) for entry in first["top_logprobs"][: 10 * TOP_LOGPROBS]]
            if all(token != first["token"] for token, _ in entries):
                entries.append((first["token"], first["logprob"]))
        except (LookupError, TypeError):
            error = body.get("error")
            if not error and not self._gives_logprobs and _says_something(body):  # it would not give any about other clips either
                return ScorerSetupError(f"{self._shown}: {_NO_LOGPROBS}; {_LOGPROBS_NEEDED}")
            return unknown(f"{_NO_LOGPROBS}: {reply.quote(str(error))}" if error else f"{_NO_LOGPROBS}; {_LOGPROBS_NEEDED}")
        self._gives_logprobs = True
        top = [
            (token, _as_number(value))
            for token, value in entries
            if isinstance(token, str) and (value is not None or spelled_answer(token))  # null: no probability, or no number
        ]
        answer = answer_from_top_logprobs(top, self._threshold)
        return answer._replace(error=reply.mask(answer.error))

    def _list_models(self) -> list[str]:
        """Up to 20 model ids listed by the server; empty if it has no such list."""
        try:
            reply = self._http.get("/models")
        except NoReplyError as failure:
            raise self._unavailable(failure) from failure
        refusal = self._refusal(reply) if reply.status != 404 else None  # the list is optional
        if refusal is not None:
            raise refusal
        body = reply.json()
        entries = body.get("data") if isinstance(body, dict) else None
        names = [entry.get("id") for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
        return [reply.quote(name, 100) for name in names[:20] if isinstance(name, str)]

    def _as_score(self, request: ScoringRequest, answers: list[Answer], prompt: Prompt) -> ClipScore:
        named = {"scorer": self._scorer, "model": self.model, "revision": self.revision}
        return score_of(request, answers, prompt, threshold=self._threshold, **named)


def _data_url(frame: np.ndarray) -> str:
    """RGB uint8 [H, W, 3] → PNG as a data URL."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="PNG", compress_level=3)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _says_something(body: dict[str, Any]) -> bool:
    """Whether a reply has a text, so that its first token has a log-probability."""
    try:
        return bool(body["choices"][0]["message"]["content"].strip())
    except (LookupError, TypeError, AttributeError):
        return False


def _as_number(value: Any) -> float:
    """A number of a reply; NaN if it is none, or too large for one."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
