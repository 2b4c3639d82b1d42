"""How many clips a vision-language model scores per second on a GPU, alone and beside the learner (a script, not a test).

Models have Perception-LM's shapes, which the paper uses, with random weights: speed does not depend on what a model has learned,
and nothing is downloaded. Everything between a clip and its answer is real: chat template, processor, network, answer.

    python -m tests.bench.vlm_throughput                       # 1B, 3B and 8B with 8 and 32 frames, on the GPU
    python -m tests.bench.vlm_throughput --shapes tiny --device cpu

Needs the extra [hub]. Prints one line of Markdown per model and number of frames, and writes nothing that lasts.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import torch

from tests.scoring.conftest import TinyParts
from vlmrb.scoring import loading
from vlmrb.scoring.hf import HFScorer
from vlmrb.scoring.prompts import find_preset
from vlmrb.store import Store
from vlmrb.types import Clip, ScoringRequest


def layers(width: int, hidden: int, depth: int, heads: int) -> dict[str, int]:
    """A language model's shape."""
    return {"hidden_size": width, "intermediate_size": hidden, "num_hidden_layers": depth, "num_attention_heads": heads}


LLAMA = {"model_type": "llama", "vocab_size": 128_256, "num_key_value_heads": 8, "max_position_embeddings": 32_768}
LARGE = {"embed_dim": 1_024, "depth": 23, "num_heads": 16, "mlp_ratio": 4.0}
GIGANTIC = {"embed_dim": 1_536, "depth": 47, "num_heads": 16, "mlp_ratio": 8_960 / 1_536}
SHAPES: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {  # side of a frame, vision tower, language model
    "1B": (448, LARGE, {**LLAMA, **layers(2_048, 8_192, 16, 32)}),
    "3B": (448, LARGE, {**LLAMA, **layers(3_072, 8_192, 28, 24)}),
    "8B": (448, GIGANTIC, {**LLAMA, **layers(4_096, 14_336, 32, 32)}),
    "tiny": (
        56,
        {"embed_dim": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 2.0},
        {"model_type": "llama", **TinyParts.text_config},
    ),
}
PATCH = 14
FRAMES = (8, 32)
STEPS = 32  # of a clip
LEARNER = [
    "--env",
    "DoorKey-8x8",
    "--replay",
    "per",
    "--total-steps",
    "5000000",
    "--eval-interval",
    "5000000",
    "--eval-episodes",
    "1",
]


def save_parts(shape: str, folder: Path) -> None:
    """Save a checkpoint's configuration and processor, without weights."""
    from transformers import (
        PerceptionLMConfig,
        PerceptionLMImageProcessor,
        PerceptionLMProcessor,
        PerceptionLMVideoProcessor,
        TimmWrapperConfig,
    )

    side, tower, text = SHAPES[shape]
    names = {"image_token": "<|image|>", "video_token": "<|video|>"}
    tokenizer = TinyParts.tokenizer(list(names.values()), extra_special_tokens=names)
    processor = PerceptionLMProcessor(
        PerceptionLMVideoProcessor(size={"height": side, "width": side}),
        PerceptionLMImageProcessor(tile_size=side),
        tokenizer,
        patch_size=PATCH,
        pooling_ratio=2,
        chat_template=TinyParts.template("<|image|>", "<|video|>"),
    )
    grid = side // PATCH
    model_args = {
        "img_size": [side, side],
        "patch_size": PATCH,
        "global_pool": "",
        "use_post_transformer_norm": False,
        "init_values": 0.1,
        "ref_feat_shape": [grid, grid],
        **tower,
    }
    config = PerceptionLMConfig(
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        projector_pooling_ratio=2,
        vision_config=TimmWrapperConfig(architecture="vit_pe_core_large_patch14_336", model_args=model_args),
        text_config=text,
    )
    config.architectures = ["PerceptionLMForConditionalGeneration"]
    config.save_pretrained(folder)
    processor.save_pretrained(folder)


def scorer_of(shape: str, device: str, folder: Path) -> HFScorer:
    """A scorer whose network has that shape and random weights."""
    from transformers import PerceptionLMForConditionalGeneration

    def random_weights(name: str, config: Any, where: Any, dtype: torch.dtype, text: bool) -> Any:
        torch.manual_seed(0)
        with torch.device(device):
            return PerceptionLMForConditionalGeneration._from_config(config, dtype=dtype)

    save_parts(shape, folder)
    with mock.patch.object(loading, "_load_weights", random_weights):
        return HFScorer(str(folder), scorer=f"hf:{folder}", device=device)


def clips(count: int, frames: int) -> list[ScoringRequest]:
    """Clips of noise: what is in a picture costs nothing."""
    rng = np.random.default_rng(0)
    chosen = np.linspace(0, STEPS - 1, frames).round().astype(int)
    made = []
    for index in range(count):
        pictures = rng.integers(0, 256, (frames, 160, 160, 3), np.uint8)
        clip = Clip(index, 0, 0, np.arange(STEPS), pictures, np.zeros(STEPS, np.float32), (), "length")
        made.append(ScoringRequest(clip, pictures, tuple(int(step) for step in chosen)))
    return made


def clips_per_second(scorer: HFScorer, requests: list[ScoringRequest], seconds: float) -> float:
    """Clips scored per second, in batches of all the requests."""
    prompt = find_preset("progress")
    assert prompt is not None
    scorer.score(requests, prompt)  # warms up
    began, done = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds:
        scorer.score(requests, prompt)
        done += len(requests)
    return done / taken


@contextmanager
def learner(device: str, folder: Path) -> Iterator[tuple[psutil.Process, Callable[[], int]]]:
    """A run that trains meanwhile: its process, and a function that returns its steps so far."""
    path = folder / "learner.db"
    command = [sys.executable, "-m", "vlmrb", "train", *LEARNER, "--device", device, "--store", str(path), "--quiet"]
    process = psutil.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    store = None
    try:
        while store is None or not (runs := store.runs()) or runs[0].step < 5_000:  # it learns from step 1,000 on
            if process.poll() is not None:
                raise SystemExit(f"the learner ended with exit code {process.returncode}")
            time.sleep(0.5)
            store = store or (Store(str(path)) if path.exists() else None)
        yield process, lambda: store.runs()[0].step
    finally:
        if process.is_running():
            process.resume()
            process.terminate()
        process.wait()


def speed_while(steps: Callable[[], int], work: Callable[[], Any]) -> tuple[float, Any]:
    """The learner's steps per second while `work` runs, and what that returns."""
    before, began = steps(), time.perf_counter()
    result = work()
    return (steps() - before) / (time.perf_counter() - began), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=["1B", "3B", "8B"])
    parser.add_argument("--frames", nargs="+", type=int, default=FRAMES)
    parser.add_argument("--device", default="cuda", help="of the model (default cuda)")
    parser.add_argument("--learner-device", default="cpu", help="default cpu, as that of runs")
    parser.add_argument("--batch", type=int, default=8, help="clips per call, as --scoring-batch-size (default 8)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement (default 8)")
    given = parser.parse_args()
    where = torch.cuda.get_device_name() if given.device.startswith("cuda") else given.device
    print(f"torch {torch.__version__}, {where}, batches of {given.batch} clips", flush=True)
    with tempfile.TemporaryDirectory() as name, learner(given.learner_device, Path(name)) as (process, steps):
        alone, _ = speed_while(steps, lambda: time.sleep(given.seconds))
        print(f"the learner (DQN, DoorKey-8x8, PER, on {given.learner_device}) alone: {alone:,.0f} steps/s\n")
        print("| model | frames per clip | clips/s | frames/s | clips/s beside the learner | learner's steps/s |")
        print("|---|---|---|---|---|---|", flush=True)
        for shape in given.shapes:
            process.suspend()
            scorer = scorer_of(shape, given.device, Path(name, shape))
            for frames in given.frames:
                requests = clips(given.batch, frames)
                rate = clips_per_second(scorer, requests, given.seconds)
                process.resume()
                beside, shared = speed_while(steps, lambda: clips_per_second(scorer, requests, given.seconds))  # noqa: B023
                process.suspend()
                print(f"| {shape} | {frames} | {rate:.2f} | {rate * frames:.0f} | {shared:.2f} | {beside:,.0f} |", flush=True)
            scorer.close()
            gc.collect()


if __name__ == "__main__":
    main()
