"""A shared scorer's models on Ray: as many replicas of a Ray Serve deployment as there is work for, on any node of a cluster.

The server that runs talk to stays as it is (`serving.py`), and so do turns, batches and bounds (`sharing.py`): it sends each
batch to the deployment, several at a time. Serve opens no port of its own. Batches travel through Ray's object store, pickled, as
between all processes of a cluster, which trust each other.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from typing import Any

from vlmrb.errors import ConfigError, ScorerError
from vlmrb.ray_address import TOKEN_WORDS, make_token, running_here, unreachable, use_token
from vlmrb.scoring.backends import ScorerOptions, make_scorer
from vlmrb.scoring.worker import leave_the_learner_a_core
from vlmrb.types import ClipScore, Prompt, ScoringRequest

_EXTRA = "pip install 'vlmrb[ray]'"
_STORE_BYTES = 80 * 2**20
"""Object store of a cluster that is started here: mosaics are small, and what does not fit goes to the disk."""

_TIMEOUT_S = 600.0


def connect(address: str = "") -> bool:
    """Connect to a Ray cluster.

    Args:
        address: of the cluster; '' for that in RAY_ADDRESS or one on this machine, else a new one that ends with this process.

    Returns:
        Whether it is a new one.

    Raises:
        ConfigError: Ray Serve is not installed, there is no cluster at this address, or none can be started here.
        LauncherError: no token can be made for a new one.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(f"--on ray needs Ray Serve; install it: {_EXTRA}")
    named = address or os.environ.get("RAY_ADDRESS", "")
    found = named or running_here()
    problem = _unreachable(found)
    if found and (named or not problem):
        use_token(found)
    else:  # nothing is here, or nothing any more
        found = ""
        make_token()
    try:
        import ray
        from ray import serve  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"--on ray needs Ray Serve ({error}); install it: {_EXTRA}") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if found:
        try:
            if not problem:
                ray.init(address=found, **quiet)
                return False
        except (ConnectionError, ValueError, RuntimeError) as error:
            problem = str(error)
        if named:
            raise ConfigError(
                f"--on ray: there is no Ray cluster at {named!r} ({problem[:200]}; {TOKEN_WORDS}); start one with "
                "`ray start --head`, correct the address, or leave it out (and RAY_ADDRESS unset) for one on this machine"
            )
    local: dict[str, Any] = {"address": "local", "_node_ip_address": "127.0.0.1", "include_dashboard": False}
    try:
        ray.init(**local, object_store_memory=_STORE_BYTES, **quiet)
    except Exception as error:  # Ray raises plain ones
        raise ConfigError(
            f"--on ray: no cluster could be started on this machine: {' '.join(str(error).split())[:300]}; try again when it has "
            "less to do, or start one with `ray start --head --node-ip-address=127.0.0.1` and look at what it says"
        ) from error
    return True


def _unreachable(address: str) -> str:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        return ""  # of another form: Ray knows
    return unreachable(host, int(port))


def disconnect() -> None:
    """End what `connect` has started; a cluster that was there stays."""
    import ray

    ray.shutdown()


class RayModel:
    """A back end whose replicas are in a Ray cluster. Several threads may use it at once.

    Attributes:
        frames_per_clip, model, revision: of the model.
        reads_mosaics: its replicas draw what they must.
    """

    reads_mosaics = True

    def __init__(self, name: str, scorer: str, options: ScorerOptions, *, replicas: int, cpus: float, gpus: float) -> None:
        """Deploy it; waits until one replica has loaded its model.

        Args:
            name: of the application in the cluster; one of this name is replaced.
            scorer: as for `make_scorer`.
            options: likewise.
            replicas: maximum number; there is at least one.
            cpus, gpus: of each replica, for Ray's scheduler.

        Raises:
            ScorerError: no replica could be started; its message says why.
        """
        from ray import serve

        self._name = name
        serve.start(proxy_location="Disabled")
        deployment: Any = serve.deployment(
            _Replica,
            name="model",
            max_ongoing_requests=2,
            autoscaling_config={"min_replicas": 1, "max_replicas": replicas, "target_ongoing_requests": 1.0},
            ray_actor_options={"num_cpus": cpus, "num_gpus": gpus},
            logging_config={"log_level": "WARNING", "enable_access_log": False},
        )
        try:
            self._handle = serve.run(deployment.bind(scorer, options), name=name, route_prefix=None)
            self.frames_per_clip, self.model, self.revision = self._handle.about.remote().result(timeout_s=_TIMEOUT_S)
        except Exception as error:  # Serve's own, and whatever the replica raised
            why = str(serve.status().applications.get(name) or error)
            serve.delete(name, _blocking=False)
            raise ScorerError(f"Ray Serve could not start {scorer}: {why[:1000]}") from error

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        """One score per request, in order, by one of the replicas.

        Raises:
            ScorerError: it failed, or did not answer in time.
        """
        try:
            scores: list[ClipScore] = self._handle.score.remote(requests, prompt).result(timeout_s=_TIMEOUT_S)
        except Exception as error:  # Ray's own, and whatever the replica raised
            cause = getattr(error, "cause", None) or error
            raise ScorerError(f"a replica on Ray failed: {type(cause).__name__}: {str(cause)[:500]}") from error
        return scores

    def close(self) -> None:
        """Remove the deployment."""
        from ray import serve

        serve.delete(self._name)


class _Replica:
    """Holds a model in a process of the cluster."""

    def __init__(self, scorer: str, options: ScorerOptions) -> None:
        leave_the_learner_a_core()
        self._scorer: Any = make_scorer(scorer, options)

    def about(self) -> tuple[int, str, str]:
        return self._scorer.frames_per_clip, str(getattr(self._scorer, "model", "")), str(getattr(self._scorer, "revision", ""))

    def score(self, requests: list[ScoringRequest], prompt: Prompt) -> list[ClipScore]:
        return list(self._scorer.score(requests, prompt))
