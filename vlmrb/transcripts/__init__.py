"""Clips as text: what a run's setting `transcript` may say, and the text of one step as bytes that a clip keeps."""

from __future__ import annotations

from vlmrb.transcripts.plain import MAX_BYTES, cut, pack, plain_text, unpack
from vlmrb.transcripts.template import ANSI, MAX_TEMPLATE, NUMBERS, StepNumbers, Template, check_transcript

__all__ = [
    "ANSI",
    "MAX_BYTES",
    "MAX_TEMPLATE",
    "NUMBERS",
    "StepNumbers",
    "Template",
    "check_transcript",
    "cut",
    "pack",
    "plain_text",
    "unpack",
]
