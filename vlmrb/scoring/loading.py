"""Load a vision-language checkpoint, or a language model for text, with `transformers` from the hub or a local folder.

Only safetensors weights are read, and the checkpoint's own code runs only if explicitly allowed. `torch` and
`transformers` are imported inside the functions: importing this module is cheap.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vlmrb.devices import pick_device
from vlmrb.errors import ConfigError, ScorerError, ScorerSetupError
from vlmrb.scoring import frames
from vlmrb.scoring.embedded import MEASURED_FILE
from vlmrb.scoring.masking import Mask
from vlmrb.scoring.network import keep_loopback_direct, unusable_certificates
from vlmrb.scoring.offsets import Offsets, load_offsets
from vlmrb.scoring.transcripts import text_only

_log = logging.getLogger(__name__)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_EXAMPLE = "give a folder, or a hub model as hf:<owner>/<model>, such as hf:facebook/Perception-LM-1B"
_EXTRA = "pip install 'vlmrb[hub]'"
_DTYPES = ("float32", "bfloat16", "float16")
_FINGERPRINTED = (".json", ".safetensors", ".jinja", ".model", ".txt", ".py")
_LONGEST_TEXT = 2**30  # bytes of a configuration, tokenizer or template, which are read whole
_HASHED_WHOLE = 64 * 2**20  # bytes; larger files are sampled
_SAMPLES, _SAMPLE_BYTES = 64, 64 * 2**10


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A vision-language model or a language model, ready to answer.

    Attributes:
        processor: `transformers` processor: chat template, tokenizer (padding on the left), image or video processor. For text
            the tokenizer alone, which has a chat template as well.
        model: `transformers` model in evaluation mode, on its device.
        revision: commit hash on the hub, or 'sha256:…' of a local folder.
        device: torch device.
        dtype: torch dtype of the weights.
        offsets: of its questions' logits; a hub model has none.
    """

    processor: Any
    model: Any
    revision: str
    device: Any
    dtype: Any
    offsets: Offsets


def load_model(
    name: str, *, device: str = "auto", dtype: str = "auto", trust_remote_code: bool = False, text: bool = False
) -> LoadedModel:
    """Load processor and model from a hub id or a local folder.

    Args:
        name: folder with a `config.json`, or '<owner>/<model>' on the hub (from the local cache if the hub does not respond).
        device: torch device, or 'auto': cuda, else mps, else cpu.
        dtype: float32, bfloat16, float16, or 'auto': bfloat16 on CUDA if supported (else float16), float32 elsewhere.
        trust_remote_code: run Python code that comes with the checkpoint. Only for publishers you trust.
        text: load it for text alone, which language models without eyes can read too.

    Raises:
        ScorerSetupError: no such folder or model, hub not reachable, not a model of the kind wanted, no safetensors
            weights, missing optional package, unknown device or dtype.
    """
    folder = _local_folder(name)
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise ScorerSetupError(f"scorer hf:{name} needs torch and transformers ({error}); install them: {_EXTRA}") from error
    try:
        torch_device = pick_device(device, "scorer_device")
    except ConfigError as error:
        raise ScorerSetupError(str(error)) from None
    torch_dtype = _pick_dtype(dtype, torch_device)
    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()  # it would interfere with the training run's bar
    try:
        where: dict[str, Any] = {"pretrained_model_name_or_path": folder or name, "trust_remote_code": trust_remote_code}
        offsets = load_offsets(folder) if folder else Offsets({})
        if folder:
            revision = folder_fingerprint(folder)
        else:  # all files from one commit, even if the hub is updated in the meantime
            revision, cached = _hub_commit(name)
            where |= {"revision": revision, "local_files_only": cached}
        config = transformers.AutoConfig.from_pretrained(**where)
        processor = _load_tokenizer(name, where) if text else _load_processor(name, where, config)
        model = _load_weights(name, config, where, torch_dtype, text).to(torch_device).eval()
        if isinstance(processor, frames.FramesProcessor) and frames.has_long_patches(config):
            processor.remember_squares(model)
    except ScorerError:
        raise
    except Exception as error:  # untrusted checkpoints can fail in any way; all are setup errors
        raise _explain(name, folder, error) from error
    finally:
        if bars:
            transformers.logging.enable_progress_bar()
    return LoadedModel(processor, model, revision, torch_device, torch_dtype, offsets)


_T = TypeVar("_T")


def within(seconds: float, call: Callable[[], _T], what: str) -> _T:
    """The result of `call`, which runs in another thread: nothing can stop it, but it need not be waited for.

    Args:
        seconds: how long to wait.
        call: returns or raises.
        what: it is about, at the start of the message.

    Raises:
        ScorerSetupError: it has not ended in time.
    """
    outcome: list[tuple[_T | None, BaseException | None]] = []

    def run() -> None:
        try:
            outcome.append((call(), None))
        except BaseException as error:  # noqa: BLE001 - raised again below
            outcome.append((None, error))

    running = threading.Thread(target=run, name="vlmrb-within", daemon=True)
    running.start()
    running.join(seconds)
    if not outcome:
        raise ScorerSetupError(f"{what} has not ended after {seconds:g} s; correct it, or use another checkpoint")
    result, error = outcome[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


def _check_files(folder: Path, name: str) -> None:
    """Everything that is read of a folder ends: pipes and devices do not.

    Raises:
        ScorerSetupError: something in it does.
    """
    for path in sorted([*folder.iterdir(), *folder.glob("*chat_templates/*")]):
        if path.is_dir():
            continue
        way_out = "remove it, or give a folder written by `save_pretrained` or downloaded from the hub"
        if path.exists() and not path.is_file():
            raise ScorerSetupError(f"scorer hf:{name}: {path} is not a regular file but a pipe, socket or device; {way_out}")
        if path.suffix != ".safetensors" and path.suffix in _FINGERPRINTED and path.exists():
            size = path.stat().st_size
            if size > _LONGEST_TEXT:
                raise ScorerSetupError(f"scorer hf:{name}: {path} has {size / 2**30:.3g} GiB, and up to 1 is read; {way_out}")


def folder_fingerprint(folder: Path) -> str:
    """'sha256:' and 32 hex digits over the names, sizes and contents of a model folder's files, without MEASURED_FILE.

    Files above 64 MiB are not read whole but as 64 evenly spaced samples of 64 KiB: training changes every weight, so the
    samples show it, and a large model takes milliseconds instead of minutes.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in _FINGERPRINTED or path.name == MEASURED_FILE or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= _HASHED_WHOLE:
                digest.update(file.read())
                continue
            for sample in range(_SAMPLES):
                file.seek(sample * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return f"sha256:{digest.hexdigest()[:32]}"


def _local_folder(name: str) -> Path | None:
    """The folder that `name` refers to, or None for a hub id."""
    if not name.strip():
        raise ScorerSetupError(f"scorer hf: needs a model; {_EXAMPLE}")
    try:
        path = Path(name).expanduser()
        is_folder, exists = path.is_dir(), path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # too long, a null byte, an unknown ~user
        raise ScorerSetupError(f"scorer hf:{name[:200]!r} is not a usable path ({error}); {_EXAMPLE}") from error
    if is_folder:
        if (path / "config.json").exists():
            _check_files(path, name)
        if (path / "config.json").is_file():
            return path
        raise ScorerSetupError(
            f"scorer hf:{name}: the folder {path} has no config.json, so it is not a model folder; "
            "give a folder written by `save_pretrained` or downloaded from the hub"
        )
    if exists:
        raise ScorerSetupError(f"scorer hf:{name}: {path} is a file; give the folder that contains the model")
    if name.startswith((os.sep, ".", "~")) or not _HUB_ID.fullmatch(name):
        raise ScorerSetupError(f"scorer hf:{name}: there is no folder {path}; check the path: {_EXAMPLE}")
    return None


def _pick_dtype(dtype: str, device: Any) -> Any:
    import torch

    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if dtype not in _DTYPES:
        raise ScorerSetupError(f"scorer dtype {dtype!r} is unknown; use auto, {', '.join(_DTYPES)}")
    return getattr(torch, dtype)


def _hub_commit(name: str) -> tuple[str, bool]:
    """Commit hash of the hub's default branch, and whether it is from the local cache because the hub did not respond."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    keep_loopback_direct()
    api, unreachable = HfApi(), unusable_certificates() or None
    try:
        if unreachable is None:
            api.model_info(name, timeout=10)
    except (HFValidationError, RepositoryNotFoundError):
        raise
    except Exception as error:  # noqa: BLE001 - offline mode, no network, hub down: a cached model still works
        unreachable = _without_token(f"{type(error).__name__}: {' '.join(str(error).split())}")[:220]
    try:  # also records the commit in the cache, for when the hub cannot be reached
        return api.resolve_revision(name, local_files_only=unreachable is not None).resolved, unreachable is not None
    except Exception as error:
        raise ScorerSetupError(
            f"scorer hf:{name}: there is no such folder here, the hub cannot be reached, and the model is "
            f"not in the local cache; connect, or give a local folder ({unreachable or error})"
        ) from error


def _load_processor(name: str, where: dict[str, Any], config: Any) -> Any:
    import transformers
    from transformers.utils import is_torchvision_available

    if config.model_type in frames.MODEL_TYPES and (frames.has_long_patches(config) or not is_torchvision_available()):
        processor: Any = frames.load_frames_processor(where, config)
    else:
        processor = transformers.AutoProcessor.from_pretrained(**where)
    has_eyes = hasattr(processor, "image_processor") or hasattr(processor, "video_processor")
    if not has_eyes and type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ScorerSetupError(f"scorer {text_only(f'hf:{name}')}")
    if not has_eyes or getattr(processor, "tokenizer", None) is None:
        raise ScorerSetupError(
            f"scorer hf:{name} loads as {type(processor).__name__}, which does not accept pictures and "
            "text; give a vision-language model (image-text-to-text on the hub)"
        )
    if getattr(processor, "chat_template", None) is None:
        if getattr(processor.tokenizer, "chat_template", None) is None:
            raise ScorerSetupError(f"scorer hf:{name} has no chat template; give an instruction-tuned checkpoint")
        processor.chat_template = processor.tokenizer.chat_template
    _pad_left(processor.tokenizer)
    return processor


def _load_tokenizer(name: str, where: dict[str, Any]) -> Any:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    if not tokenizer.chat_template:
        raise ScorerSetupError(f"scorer hf:{name} has no chat template; give an instruction-tuned checkpoint")
    _pad_left(tokenizer)
    return tokenizer


def _pad_left(tokenizer: Any) -> None:
    """So that the answer starts after the last position of every row."""
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token


def _load_weights(name: str, config: Any, where: dict[str, Any], dtype: Any, text: bool) -> Any:
    import transformers

    auto_class: Any = transformers.AutoModelForImageTextToText
    if text and type(config) not in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        auto_class = transformers.AutoModelForCausalLM
    auto_map = getattr(config, "auto_map", None) or {}
    if where["trust_remote_code"] and auto_map and "AutoModelForImageTextToText" not in auto_map:
        auto_class = transformers.AutoModelForCausalLM  # where older remote code registers its vision-language models
    model, info = auto_class.from_pretrained(**where, dtype=dtype, use_safetensors=True, output_loading_info=True)
    missing = sorted(info["missing_keys"])
    total = len(model.state_dict())
    # A few missing tensors of the vision tower are an unused pooling head; any others would make the answers random.
    if len(missing) > total // 20 or any(not re.search(r"vision|visual|image", key) for key in missing):
        raise ScorerSetupError(
            f"scorer hf:{name}: the checkpoint lacks {len(missing)} of the model's {total} tensors (first: "
            f"{missing[0]}), so its answers would be random; give the complete checkpoint"
        )
    _multiply_patches(model)
    if missing:
        _log.warning("hf:%s lacks %d tensors of its vision tower, presumably unused (first: %s)", name, len(missing), missing[0])
    return model


def _multiply_patches(model: Any) -> None:
    """Replace a patch embedding by a convolution that sees one patch at a time, as in Qwen-VL, by a matrix product.

    The result is the same, in a third of the time on a CPU.
    """
    from torch import nn

    for module in list(model.modules()):
        convolution = getattr(module, "proj", None)
        if type(module).__name__.endswith("PatchEmbed") and isinstance(convolution, nn.Conv3d) and _is_one_step(convolution):
            module.proj = _as_product(convolution)


def _is_one_step(convolution: Any) -> bool:
    return convolution.kernel_size == convolution.stride and not any(convolution.padding) and convolution.groups == 1


def _as_product(convolution: Any) -> Any:
    from torch import nn

    class Product(nn.Linear):
        """[B, C, T, H, W] → [B, D]."""

        def forward(self, patches: Any) -> Any:
            return super().forward(patches.flatten(1))

    weight = convolution.weight.detach()
    product = Product(weight[0].numel(), len(weight), bias=convolution.bias is not None, device="meta")
    product.weight, product.bias = nn.Parameter(weight.flatten(1), requires_grad=False), convolution.bias
    return product


_HUB_REASONS = (  # pattern in the error's text → explanation
    (
        r"GatedRepo|trying to access a gated repo|awaiting a review",
        "access is gated: accept its terms on the hub and log in with `hf auth login`",
    ),
    (
        r"not a valid model identifier|RepositoryNotFound|HFValidation",
        "there is no such folder here and no such model on the hub; check the spelling",
    ),
    (
        r"couldn't connect|offline mode|OfflineMode|LocalEntryNotFound|Name or service not known|timed out|ConnectError",
        "the hub cannot be reached and the local cache does not contain the complete model; connect, or give a local folder",
    ),
)
_REASONS = (
    (
        r"no file named model\.safetensors|does not appear to have (a )?files? named",
        "it has no complete safetensors weights; convert it, or give another checkpoint",
    ),
    (r"trust_remote_code", "it runs its publisher's Python code; if you trust it, pass trust_remote_code=True"),
    (
        r"Unrecognized configuration class|does not recognize this architecture|Unrecognized model|Unrecognized processing class",
        "it is not a vision-language model, or a language model for clips of text, known to this version of transformers",
    ),
)
_MISSING = "Missing optional dependencies: "
_PACKAGES = re.compile(r"(?i)\b(torchvision|timm|num2words|sentencepiece|protobuf|tiktoken|mistral[-_]common|einops)\b")


def _without_token(text: str) -> str:
    """What the hub said, without the token that we sent."""
    from huggingface_hub import get_token

    return Mask(get_token() or "")(text[:10_000])


def _explain(name: str, folder: Path | None, error: Exception) -> ScorerSetupError:
    """A readable error: what is wrong, then the start of the library's own message."""
    chain: list[str] = []  # the cause is often in a wrapped error
    link: BaseException | None = error
    while link is not None and len(chain) < 8:
        chain.append(f"{type(link).__name__}: {link}")
        link = link.__cause__ or link.__context__
    text = "\n".join(chain)
    detail = _without_token(f"{type(error).__name__}: {' '.join(str(error).split())}")[:220]
    package = _PACKAGES.search(text.rpartition(_MISSING)[2])
    if package and (isinstance(error, ImportError) or any(sign in text for sign in (_MISSING, "requires the", "torchvision::"))):
        return ScorerSetupError(f"scorer hf:{name} needs the package {package[1].lower()}: {_EXTRA} ({detail})")
    for pattern, reason in (*(() if folder else _HUB_REASONS), *_REASONS):
        if re.search(pattern, text):
            return ScorerSetupError(f"scorer hf:{name}: {reason} ({detail})")
    place = f"the folder {folder}" if folder else "the hub's checkpoint"
    return ScorerSetupError(f"scorer hf:{name}: {place} cannot be loaded ({detail})")
